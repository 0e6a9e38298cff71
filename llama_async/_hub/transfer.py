"""One file from a URL to its place: continued where an earlier attempt ended, checked, and only then given its name.

The part that is there lies beside the target until it is whole and right. Whoever calls holds the lock of the target.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

from typing_extensions import Self

from llama_async._errors import DownloadError

from .http import network_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

__all__ = ["Expected", "Transfer", "cache_errors"]

# Attempts in a row that bring nothing.
_N_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_LONGEST_RETRY_AFTER_S = 60.0
_BLOCK_BYTES = 1 << 20
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it comes. Of `sha256` and `git_oid` at most one is given."""

    size_bytes: int | None = None
    sha256: str | None = None
    git_oid: str | None = None

    def hasher(self, size_bytes: int | None) -> Any:
        """Return what the content is to be fed to; git's names count the size in."""
        if self.git_oid is not None and size_bytes is not None:
            return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
        return hashlib.sha256()

    @property
    def digest(self) -> str | None:
        """What the hasher must give in the end; `None`: nobody knows."""
        if self.sha256 is None and self.size_bytes is None:
            return None
        return self.sha256 or self.git_oid


class _Cut(Exception):
    def __init__(self, reason: DownloadError, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


class _Discard(Exception):
    """The part that is there is not the beginning of what the server has."""


@dataclass
class Transfer:
    """A file on its way.

    Args:
        http: To ask with.
        url: Where it is.
        headers: Sent along.
        target: Where it goes; on the same file system as `part`.
        part: Where it grows.
        expected: What it must be.
        source: What error texts call it.
        refusal: Makes the error of an answer that is no content.
        on_bytes: Called with the bytes that are there and the whole size, if known.
        is_cancelled: Asked between blocks.
        if_range: The server's own name of the content that the part is of; where nothing else tells, a part without one
            is not continued.
        on_etag: Called with the server's name of the content, before anything of it is written.
    """

    http: httpx.Client
    url: str
    target: Path
    part: Path
    expected: Expected
    source: str
    refusal: Callable[[httpx.Response], DownloadError]
    headers: Mapping[str, str] = field(default_factory=dict)
    on_bytes: Callable[[int, int | None], object] = lambda done, total: None  # noqa: ARG005
    is_cancelled: Callable[[], bool] = lambda: False
    if_range: str | None = None
    on_etag: Callable[[str | None], object] = lambda etag: None  # noqa: ARG005
    # Whether what is there came in more than one piece.
    _was_continued: bool = field(default=False, init=False)

    def run(self) -> str:
        """Fetch it and return the hash of its content.

        Raises:
            DownloadError: It cannot be had, is not what was expected, or cannot be written. What came is kept, unless
                it is wrong.
        """
        with cache_errors(self.source, self.part.parent):
            self.part.parent.mkdir(parents=True, exist_ok=True)
            digest = self._fetched()
            with self.part.open("r+b") as file:
                # Without it a power cut may leave the name and not the content.
                os.fsync(file.fileno())
            self.part.replace(self.target)
        return digest

    @property
    def _can_continue(self) -> bool:
        """Whether something would tell if the part were of another content than what the server has now."""
        return self.expected.digest is not None or self.if_range is not None

    def _fetched(self) -> str:
        if not self._can_continue:
            self.part.unlink(missing_ok=True)
        for _ in range(2):
            digest = self._attempt()
            if digest is not None:
                return digest
            # Of no use to anybody, and the next attempt must not continue it.
            self.part.unlink(missing_ok=True)
            if not self._was_continued:
                break
        what = f"its hash is not {self.expected.digest}" if self.expected.digest else "it changes while it is read"
        raise DownloadError(self.source, f"it is not what was published: {what}; what came was deleted", code="corrupt")

    def _attempt(self) -> str | None:
        """Return the hash of the content; `None`: what came is wrong."""
        try:
            digest = self._attempts()
        except _Discard:
            return None
        return digest if self.expected.digest in {None, digest} else None

    def _attempts(self) -> str:
        """Ask until all is there. Raises _Discard where the part does not fit what the server has."""
        n_left, wait_s = _N_ATTEMPTS, _FIRST_WAIT_S
        with _Part(self.part, self.expected) as part:
            self._was_continued = part.n_bytes > 0
            while not part.is_whole:
                before = part.n_bytes
                try:
                    self._ask(part)
                    break
                except _Cut as cut:
                    self._was_continued = self._was_continued or part.n_bytes > 0
                    if part.n_bytes > before and self._can_continue:
                        n_left, wait_s = _N_ATTEMPTS, _FIRST_WAIT_S
                    n_left -= 1
                    if n_left <= 0:
                        raise cut.reason from None
                    self._wait(min(cut.wait_s if cut.wait_s is not None else wait_s, _LONGEST_RETRY_AFTER_S))
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            return part.digest()

    def _wait(self, wait_s: float) -> None:
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            self._check_cancelled()
            time.sleep(min(left, 0.1))

    def _check_cancelled(self) -> None:
        if self.is_cancelled():
            raise DownloadError(self.source, "it was cancelled; what came is kept", code="cancelled")

    def _ask(self, part: _Part) -> None:
        import httpx

        self._check_cancelled()
        headers = dict(self.headers)
        if part.n_bytes and not self._can_continue:
            part.restart()
        if part.n_bytes:
            headers["range"] = f"bytes={part.n_bytes}-"
            if self.if_range is not None:
                headers["if-range"] = self.if_range
        try:
            with self.http.stream("GET", self.url, headers=headers) as response:
                self._take(response, part)
        except httpx.TransportError as error:
            raise _Cut(self._cut(part, error)) from error
        except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise DownloadError(self.source, f"the server redirects to nowhere ({error})", code="server") from error

    def _cut(self, part: _Part, error: Exception) -> DownloadError:
        import httpx

        host = httpx.URL(self.url).host
        if not part.n_bytes:
            return network_error(self.source, host, error)
        what = f"the connection to {host} ended after {part.n_bytes} bytes ({str(error) or type(error).__name__})"
        kept = "; what came is kept, and the next attempt goes on from there" if self._can_continue else ""
        return DownloadError(self.source, what + kept, code="network")

    def _take(self, response: httpx.Response, part: _Part) -> None:
        status = response.status_code
        if status == 416 and part.n_bytes:
            if response.headers.get("content-range") == f"bytes */{part.n_bytes}":
                # All of it is here: an earlier attempt ended just before it could say so.
                return
            raise _Discard
        if status in _BUSY:
            raise _Cut(self.refusal(response), _retry_after(response))
        if status not in {200, 206}:
            raise self.refusal(response)
        if response.headers.get("content-encoding", "identity") not in {"", "identity"}:
            raise DownloadError(self.source, "the server sends it compressed, unasked", code="server")
        if status == 200 and part.n_bytes:
            # The whole again: the server knows no ranges, or has something else by now.
            part.restart()
        if status == 206 and _range_start(response) != part.n_bytes:
            raise _Discard
        length = _length(response)
        total = None if length is None else part.n_bytes + length
        if total is not None and self.expected.size_bytes not in {None, total}:
            # The hash would tell too, gigabytes later.
            reason = f"the server has {total} bytes, where {self.expected.size_bytes} were published"
            raise _Discard if status == 206 else DownloadError(self.source, reason, code="corrupt")
        total = self.expected.size_bytes if total is None else total
        self._check_space(total, part.n_bytes)
        if not part.n_bytes:
            self.if_range = _strong(response.headers.get("etag"))
            self.on_etag(self.if_range)
        self.on_bytes(part.n_bytes, total)
        for block in response.iter_raw():
            self._check_cancelled()
            part.append(block)
            self.on_bytes(part.n_bytes, total)
        if total is not None and part.n_bytes < total:
            raise _Cut(self._cut(part, EOFError(f"{total} were promised")))
        if total is not None and part.n_bytes > total:
            raise _Discard

    def _check_space(self, total: int | None, n_bytes: int) -> None:
        if total is None:
            return
        free = shutil.disk_usage(self.part.parent).free
        if total - n_bytes > free:
            raise _no_space(self.source, self.part.parent, f"it needs {total - n_bytes} bytes more, {free} are free")


class _Part:
    """A file that grows, and the hash of what is in it."""

    def __init__(self, path: Path, expected: Expected) -> None:
        self._path = path
        self._expected = expected

    def __enter__(self) -> Self:
        # Not "ab": a part that is wrong is cut.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        self._file: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        self.n_bytes = 0
        self._hash = self._expected.hasher(self._expected.size_bytes)
        size = self._expected.size_bytes
        if size is not None and self._path.stat().st_size > size:
            self._file.truncate(0)
        while block := self._file.read(_BLOCK_BYTES):
            self._hash.update(block)
            self.n_bytes += len(block)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_whole(self) -> bool:
        return self._expected.digest is not None and self.n_bytes == self._expected.size_bytes

    def append(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) or 0 :]
        self._hash.update(block)
        self.n_bytes += len(block)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate(0)
        self.n_bytes = 0
        self._hash = self._expected.hasher(self._expected.size_bytes)

    def digest(self) -> str:
        return cast("str", self._hash.hexdigest())


@contextmanager
def cache_errors(source: str, directory: Path) -> Iterator[None]:
    """Turn what goes wrong when writing below `directory` into a DownloadError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(source, directory, f"{error.strerror}; what came is kept") from error
        raise DownloadError(source, f"the cache at {directory} cannot be used: {error}", code="cache") from error


def _no_space(source: str, directory: Path, what: str) -> DownloadError:
    return DownloadError(source, f"no space left at {directory}: {what}", code="no_space")


def _length(response: httpx.Response) -> int | None:
    value = response.headers.get("content-length", "")
    return int(value) if value.isdecimal() else None


def _range_start(response: httpx.Response) -> int | None:
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdecimal() else None


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _strong(etag: str | None) -> str | None:
    return etag if etag and not etag.startswith("W/") else None
