"""A client of a model that has to come from elsewhere first. Fetching blocks, so it has a thread; the client has none.

Owns the way from a name to a file; what a hub is knows `_hub`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ._threads import run_in_thread

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator
    from pathlib import Path
    from types import TracebackType

__all__ = ["Pretrained", "fetched_model"]


class _Client(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


_ClientT = TypeVar("_ClientT", bound=_Client)


class Pretrained(Generic[_ClientT]):
    """What `AsyncLlama.from_pretrained` returns: `await` it for the client, or enter it with `async with`.

    Args:
        fetch: Returns the model's file; run in a thread, and told to end by its argument.
        make: Returns the client of a file.
    """

    def __init__(self, fetch: Callable[[Callable[[], bool]], Path], make: Callable[[Path], _ClientT]) -> None:
        self._fetch = fetch
        self._make = make
        self._client: _ClientT | None = None

    def __await__(self) -> Generator[Any, None, _ClientT]:
        return self._fetched().__await__()

    async def __aenter__(self) -> _ClientT:
        self._client = await self._fetched()
        await self._client.__aenter__()
        return self._client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        assert client is not None
        await client.__aexit__(exc_type, exc, traceback)

    async def _fetched(self) -> _ClientT:
        cancelled = threading.Event()
        try:
            path = await run_in_thread(lambda: self._fetch(cancelled.is_set), abandon=True)
        finally:
            # Where this task was cancelled the thread does not know it yet.
            cancelled.set()
        return self._make(path)


def fetched_model(
    repo_id: str,
    filename: str | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    on_download: Callable[[int, int | None], object] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Return the file of a model of the hub, its first where it has several parts. Blocks while it is fetched.

    Args:
        repo_id: As of `AsyncLlama.from_pretrained`, like the others.
        filename: Which model.
        revision: Which state of the repository.
        token: Who asks.
        cache_dir: Where it goes.
        local_files_only: Whether the network is left alone.
        on_download: Told of what arrives.
        is_cancelled: Asked between blocks.

    Raises:
        DownloadError: The model cannot be had.
        OptionError: An argument has a wrong type or value.
    """
    from ._hub import Hub, Settings
    from ._hub.source import repo_source

    source = repo_source(repo_id, filename, revision)
    settings = Settings.from_environment(cache=cache_dir, token=token, local_files_only=local_files_only)

    def report(name: str, done: int, total: int | None) -> None:  # noqa: ARG001
        if on_download is not None:
            on_download(done, total)

    (pulled,) = Hub(settings, report=report, is_cancelled=is_cancelled).pull(source, only_one=True)
    return pulled.path
