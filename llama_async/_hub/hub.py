"""Models fetched from a hub, or from any web server, into the cache; and found there where nothing may be fetched.

Blocks; `_pretrained` gives it a thread. Two processes that want the same file wait for each other, content by content.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from llama_async._errors import DownloadError

from .cache import HubCache, is_commit
from .http import authorization, http_client, network_error, refusal
from .listing import ModelFiles, RemoteFile, is_safe_path, select, select_one
from .transfer import Expected, Transfer, cache_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from .settings import Settings
    from .source import RepoSource

__all__ = ["Hub", "Pulled", "Report", "locked"]

_log = logging.getLogger("llama_async.hub")
_LOCK_POLL_S = 0.2
# Everybody who shares a cache may wait for the others.
_LOCK_MODE = 0o664
_N_LISTING_ATTEMPTS = 3
_N_MOVES = 5

Report = Callable[[str, int, "int | None"], object]
"""Called with a file's name, the bytes of it that are there, and its size if known."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that is in the cache.

    Attributes:
        name: What was asked for, and which file it became.
        paths: Its files; the first is what is opened.
        size_bytes: Of all of them.
        is_new: Whether anything was fetched.
        note: What the user should know: that the hub was not asked, and why.
    """

    name: str
    paths: tuple[Path, ...]
    size_bytes: int
    is_new: bool
    note: str | None = None

    @property
    def path(self) -> Path:
        """The file that is opened."""
        return self.paths[0]


def _silent(name: str, done: int, total: int | None) -> None:
    """Report nothing."""


class Hub:
    """The hub of some settings, and its cache.

    Args:
        settings: Where both are.
        report: Told of every block that arrives.
        is_cancelled: Asked between blocks, and while another process is waited for.
    """

    def __init__(
        self, settings: Settings, *, report: Report = _silent, is_cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self.settings = settings
        self.cache = HubCache(settings.cache)
        self._report = report
        self._is_cancelled = is_cancelled

    def pull(self, source: RepoSource, *, only_one: bool) -> list[Pulled]:
        """Return the models that `source` names, fetched as far as they are not here.

        Without network, what is in the cache will do.

        Args:
            source: Which.
            only_one: Whether a glob must mean one model.

        Raises:
            DownloadError: Something cannot be had.
        """
        if self.settings.is_offline:
            reason = "the network may not be used (HF_HUB_OFFLINE, or local_files_only)"
            return self._cached(source, only_one, DownloadError(str(source), reason, code="offline"))
        with http_client(self.settings) as http:
            try:
                commit, files = self._listing(http, source)
            except DownloadError as error:
                if error.code not in {"network", "server"}:
                    raise
                return self._cached(source, only_one, error)
            models = self._chosen(source, files, only_one)
            pulled = [self._model(http, source, commit, model) for model in models]
        try:
            self.cache.note_revision(source.repo_id, source.revision, commit)
        except OSError as error:
            # A cache that may be read only, where everything is there already.
            _log.info("%s cannot be noted as %s: %s", source, commit, error)
        return pulled

    def _chosen(self, source: RepoSource, files: list[RemoteFile], only_one: bool) -> list[ModelFiles]:
        if only_one:
            return [select_one(str(source), files, source.selection)]
        return select(str(source), files, source.selection)

    # -- without the network

    def find(self, source: RepoSource) -> Pulled | None:
        """Return the one model that `source` means, if the cache has it; asks nobody."""
        try:
            (found,) = self._cached(source, True, DownloadError(str(source), "", code="offline"))
        except DownloadError:
            return None
        return found

    def _cached(self, source: RepoSource, only_one: bool, error: DownloadError) -> list[Pulled]:
        """Return what the cache has; raises `error`, and what is there, if it has nothing that fits."""
        misfit: DownloadError | None = None
        for commit in self.cache.commits(source.repo_id, source.revision):
            try:
                models = self._chosen(source, self.cache.files(source.repo_id, commit), only_one)
            except DownloadError as unfit:
                misfit = misfit or unfit
                continue
            _log.info("%s comes from the cache: %s", source, error.reason)
            return [self._pulled(source, commit, model, is_new=False, note=error.reason) for model in models]
        what = "nothing of it is in the cache" if misfit is None else f"in the cache {misfit.reason}"
        raise DownloadError(error.source, f"{error.reason}; {what}", code=error.code)

    def _pulled(
        self, source: RepoSource, commit: str, model: ModelFiles, *, is_new: bool, note: str | None = None
    ) -> Pulled:
        paths = tuple(self.cache.pointer(source.repo_id, commit, file.path) for file in model.files)
        size_bytes = sum(path.stat().st_size for path in paths)
        return Pulled(f"{source.repo_id}:{model.path}", paths, size_bytes, is_new, note)

    # -- with it

    def _listing(self, http: httpx.Client, source: RepoSource) -> tuple[str, list[RemoteFile]]:
        """Return the commit that the revision is now, and its files."""
        revision = quote(source.revision, safe="")
        url = f"{self.settings.endpoint}/api/models/{source.repo_id}/revision/{revision}"
        response = self._asked(http, "GET", f"{url}?blobs=true", str(source))
        if response.status_code != 200:
            raise refusal(source, response, self.settings)
        try:
            answer = response.json()
            commit, siblings = answer["sha"], answer["siblings"]
            files = [_remote_file(sibling) for sibling in siblings]
        except (ValueError, KeyError, TypeError) as error:
            what = f"{self.settings.endpoint} does not answer as a hub does"
            raise DownloadError(str(source), what, code="server") from error
        if not isinstance(commit, str) or not is_commit(commit):
            raise DownloadError(str(source), "the hub names no commit", code="server")
        unsafe = [file.path for file in files if not is_safe_path(file.path)]
        if unsafe:
            reason = f"the repository has a file whose name leads elsewhere: {unsafe[0]!r}"
            raise DownloadError(str(source), reason, code="server")
        return commit, files

    def _asked(self, http: httpx.Client, method: str, url: str, name: str, **options: Any) -> httpx.Response:
        """Return the answer to a short question. A server that is busy, or hangs up, is asked again."""
        import httpx

        for attempt in range(_N_LISTING_ATTEMPTS):
            is_last = attempt == _N_LISTING_ATTEMPTS - 1
            try:
                response = http.request(method, url, headers=authorization(self.settings), **options)
            except httpx.TransportError as error:
                # Nobody there, or no way there: that does not change within a second.
                if is_last or isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)):
                    raise network_error(name, httpx.URL(url).host, error) from error
            except (httpx.TooManyRedirects, httpx.InvalidURL) as error:
                raise DownloadError(name, f"the hub redirects to nowhere ({error})", code="server") from error
            else:
                if response.status_code < 500 or is_last:
                    return response
        raise AssertionError("unreachable")

    def _model(self, http: httpx.Client, source: RepoSource, commit: str, model: ModelFiles) -> Pulled:
        news = [self._file(http, source, commit, file) for file in model.files]
        return self._pulled(source, commit, model, is_new=any(news))

    def _file(self, http: httpx.Client, source: RepoSource, commit: str, file: RemoteFile) -> bool:
        """Make a file part of the revision; returns whether it had to be fetched."""
        name = f"{source.repo_id}/{file.path}"
        if self.cache.pointer(source.repo_id, commit, file.path).exists():
            return False
        url = f"{self.settings.endpoint}/{source.repo_id}/resolve/{commit}/{quote(file.path)}"
        if file.etag is None:
            file = self._asked_for(http, source, url, file)
        assert file.etag is not None
        blob = self.cache.blob(source.repo_id, file.etag)
        lock = self.cache.lock(source.repo_id, file.etag)
        with cache_errors(name, self.cache.root), locked(lock, name, self._is_cancelled):
            is_new = not blob.exists()
            if is_new:
                Transfer(
                    http=http,
                    url=url,
                    headers=authorization(self.settings),
                    target=blob,
                    # The name that huggingface_hub gave it while it continued what was cut.
                    part=blob.with_name(f"{blob.name}.incomplete"),
                    expected=Expected(file.size_bytes, file.sha256, file.git_oid),
                    source=name,
                    refusal=lambda response: refusal(source, response, self.settings),
                    on_bytes=lambda done, total: self._report(file.path, done, total),
                    is_cancelled=self._is_cancelled,
                ).run()
            self.cache.link(source.repo_id, commit, file.path, file.etag)
        return is_new

    def _asked_for(self, http: httpx.Client, source: RepoSource, url: str, file: RemoteFile) -> RemoteFile:
        """Return the file with its hash, which some mirrors have only in the headers of the file itself."""
        response = self._asked(http, "HEAD", url, str(source), follow_redirects=False)
        for _ in range(_N_MOVES):
            # A repository that was renamed is still at the hub; where the content is, nobody knows its hash.
            moved = None if "x-linked-etag" in response.headers else response.next_request
            if moved is None or moved.url.host != response.url.host:
                break
            response = self._asked(http, "HEAD", str(moved.url), str(source), follow_redirects=False)
        if response.status_code >= 400:
            raise refusal(source, response, self.settings)
        headers = response.headers
        etag = headers.get("x-linked-etag") or headers.get("etag", "")
        etag = etag.removeprefix("W/").strip('"')
        size = headers.get("x-linked-size") or ("" if response.is_redirect else headers.get("content-length", ""))
        size_bytes = int(size) if size.isdecimal() else None
        if len(etag) == 64 and is_hexadecimal(etag):
            return RemoteFile(file.path, size_bytes, sha256=etag)
        # Elsewhere forty digits may be a hash of another kind.
        if len(etag) == 40 and is_hexadecimal(etag) and "x-repo-commit" in headers:
            return RemoteFile(file.path, size_bytes, git_oid=etag)
        raise DownloadError(str(source), f"the hub has no hash of {file.path}", code="server")


def is_hexadecimal(text: str) -> bool:
    """Whether it could be a hash: what a server sends becomes a file's name."""
    return bool(text) and set(text) <= set("0123456789abcdef")


@contextmanager
def locked(path: Path, name: str, is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold a lock that other processes, those of huggingface_hub among them, respect.

    Raises:
        DownloadError: Cancelled while it waited.
        OSError: The lock cannot be made.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(path), mode=_LOCK_MODE)
    has_waited = False
    while True:
        try:
            lock.acquire(timeout=_LOCK_POLL_S)
            break
        except Timeout:
            if is_cancelled():
                raise DownloadError(name, "it was cancelled", code="cancelled") from None
            if not has_waited:
                _log.info("another process is fetching %s: waiting for it", name)
                has_waited = True
    try:
        yield
    finally:
        lock.release()


def _remote_file(sibling: dict[str, Any]) -> RemoteFile:
    """Raises ValueError, KeyError or TypeError where it is not as documented."""
    path = sibling["rfilename"]
    lfs = sibling.get("lfs") or {}
    size = lfs.get("size", sibling.get("size"))
    sha256, oid = lfs.get("sha256"), None if lfs else sibling.get("blobId")
    for value in (sha256, oid):
        if value is not None and not is_hexadecimal(value):
            raise ValueError(value)
    if not isinstance(path, str) or (size is not None and (not isinstance(size, int) or size < 0)):
        raise TypeError(json.dumps(sibling))
    return RemoteFile(path, size, cast("str | None", sha256), cast("str | None", oid))
