"""Where the hub is, who asks, and where files go: from the environment variables that every tool of the hub reads.

Read anew at each use, so that a process may change them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]

_DEFAULT_ENDPOINT = "https://huggingface.co"
_DEFAULT_READ_TIMEOUT_S = 30.0
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are fetched.

    Attributes:
        endpoint: The hub's address, without a slash at its end (`HF_ENDPOINT`).
        token: Sent to the hub, and to nobody it redirects to (`HF_TOKEN`, or the file that logging in leaves).
        cache: The directory that all tools of the hub share (`HF_HUB_CACHE`, `HF_HOME`).
        is_offline: Only the cache may be used (`HF_HUB_OFFLINE`).
        read_timeout_s: How long a server may be silent (`HF_HUB_DOWNLOAD_TIMEOUT`).
    """

    endpoint: str
    token: str | None
    cache: Path
    is_offline: bool
    read_timeout_s: float

    @staticmethod
    def from_environment(
        *, cache: str | os.PathLike[str] | None = None, token: str | None = None, local_files_only: bool = False
    ) -> Settings:
        """Return the settings of this process.

        Args:
            cache: Overrides the environment's.
            token: Overrides the environment's; empty: none is sent.
            local_files_only: Whether the network must not be used even if the environment allows it.
        """
        environment = os.environ
        offline = environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE")
        return Settings(
            endpoint=(environment.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/"),
            token=(_token() if token is None else token) or None,
            cache=_hub_cache() if cache is None else Path(cache).expanduser(),
            is_offline=local_files_only or _is_true(offline),
            read_timeout_s=_seconds(environment.get("HF_HUB_DOWNLOAD_TIMEOUT")),
        )


def _home() -> Path:
    if home := os.environ.get("HF_HOME"):
        return _path(home)
    base = os.environ.get("XDG_CACHE_HOME")
    return (_path(base) if base else Path.home() / ".cache") / "huggingface"


def _hub_cache() -> Path:
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _path(explicit) if explicit else _home() / "hub"


def _token() -> str | None:
    if _is_true(os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN")):
        return None
    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    if token is None:
        file = os.environ.get("HF_TOKEN_PATH")
        try:
            token = (_path(file) if file else _home() / "token").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    return token.strip() or None


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()


def _is_true(value: str | None) -> bool:
    return value is not None and value.upper() in _TRUE


def _seconds(value: str | None) -> float:
    try:
        seconds = float(value) if value else _DEFAULT_READ_TIMEOUT_S
    except ValueError:
        return _DEFAULT_READ_TIMEOUT_S
    return seconds if seconds > 0 else _DEFAULT_READ_TIMEOUT_S
