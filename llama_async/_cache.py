"""Where this package keeps what it fetched or measured. Owns no files itself.

llama.cpp/obtain.py follows the same rule, so that one directory holds everything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The cache directory, which need not exist: `LLAMA_ASYNC_CACHE_DIR`, else the platform's own place."""
    if explicit := os.environ.get("LLAMA_ASYNC_CACHE_DIR"):
        return Path(explicit).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "llama-async"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "llama-async" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/llama-async"
    return Path.home() / ".cache/llama-async"
