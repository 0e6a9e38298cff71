"""Tests that others publish in their source distributions: by name and hash, through pip, into our cache.

Owns their place in the cache. Nothing of them is committed, and of an archive only what is asked for is unpacked.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llama_async._cache import cache_dir

__all__ = ["SourceDistribution"]


@dataclass(frozen=True)
class SourceDistribution:
    """A pinned source distribution.

    Attributes:
        name: Of the package.
        version: The pinned one.
        sha256: Of its archive.
        wanted: Whether a file of the archive is unpacked, by its path.
    """

    name: str
    version: str
    sha256: str
    wanted: Callable[[str], bool]

    def unpacked(self) -> Path:
        """Return the directory that holds the wanted files; fetched first if need be."""
        target = cache_dir() / f"{self.name}-tests" / self.sha256[:16]
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as scratch:
                unpacked = Path(scratch) / "unpacked"
                self._unpack(self._fetch(Path(scratch)), unpacked)
                try:
                    unpacked.rename(target)
                except OSError:
                    if not target.is_dir():  # otherwise another run was faster: its copy is as good
                        raise
        return target

    def _fetch(self, directory: Path) -> Path:
        requirements = directory / "requirements.txt"
        requirements.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n", "ascii")
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--no-binary", self.name, "--dest", str(directory), "-r", str(requirements)]
        subprocess.run(command, stdout=sys.stderr, check=True)
        (archive,) = directory.glob("*.tar.gz")
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == self.sha256
        return archive

    def _unpack(self, archive: Path, target: Path) -> None:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = member.name.removeprefix(f"{self.name}-{self.version}/")
                if not member.isfile() or not self.wanted(path):
                    continue
                file = tar.extractfile(member)
                assert file is not None
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_bytes(file.read())
