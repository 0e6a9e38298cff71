"""The pinned openai's own tests, from its source distribution: by name and hash, through pip, into our cache.

Owns their place in the cache. Nothing of them is committed, and of the archive only the tests of the resources that
exist here are unpacked, without the configuration that starts clients over sockets.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from llama_async._cache import cache_dir

__all__ = ["MODULES", "openai_tests"]

_NAME = "openai-3.54.0"
_SHA256 = "2e393e63f8a38be6452806f9ef0b6534fecd6d41ab3b2165180dfce3599249cd"
_REQUIREMENT = f"openai=={_NAME.rpartition('-')[2]} --hash=sha256:{_SHA256}\n"

MODULES = (
    "tests/api_resources/chat/completions/test_messages.py",
    "tests/api_resources/chat/test_completions.py",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_embeddings.py",
    "tests/api_resources/test_models.py",
)
_PACKAGES = {parent.as_posix() for module in MODULES for parent in Path(module).parents if parent.name}
_MEMBERS = frozenset({*MODULES, "tests/utils.py", *(f"{package}/__init__.py" for package in _PACKAGES)})


def openai_tests() -> Path:
    """Return the directory that holds the package `tests`; fetched first if need be."""
    target = cache_dir() / "openai-tests" / _SHA256[:16]
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as scratch:
            unpacked = Path(scratch) / "unpacked"
            _unpack(_fetch(Path(scratch)), unpacked)
            try:
                unpacked.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another run was faster: its copy is as good
                    raise
    return target


def _fetch(directory: Path) -> Path:
    requirements = directory / "requirements.txt"
    requirements.write_text(_REQUIREMENT, "ascii")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--no-binary", "openai", "--dest", str(directory), "-r", str(requirements)]
    subprocess.run(command, stdout=sys.stderr, check=True)
    (archive,) = directory.glob("*.tar.gz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == _SHA256
    return archive


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.removeprefix(f"{_NAME}/")
            if path not in _MEMBERS or not member.isfile():
                continue
            file = tar.extractfile(member)
            assert file is not None
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(file.read())
    missing = [path for path in sorted(_MEMBERS) if not (target / path).is_file()]
    assert not missing, missing
