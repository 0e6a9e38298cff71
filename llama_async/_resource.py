"""What the resources share: the client they belong to, and what they need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ._errors import StoreError
from ._parameters import timeout_seconds
from ._submit import within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._client import AsyncLlama
    from ._model import Model
    from ._store import CompletionStore

__all__ = ["AsyncAPIResource"]

_T = TypeVar("_T")


class AsyncAPIResource:
    """A group of methods of a client."""

    _client: AsyncLlama

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client

    def _model(self, name: object) -> Model:
        """Return the model of a name, or raise NotFoundError."""
        return self._client._registry.resolve(name)  # noqa: SLF001 (a client and its resources are one)

    def _timeout(self, timeout: object) -> float | None:
        """Return seconds: what the call was given, or the client's."""
        return timeout_seconds(timeout, self._client._timeout_s)  # noqa: SLF001

    def _store(self) -> CompletionStore:
        """Return the client's store, or raise StoreError."""
        store = self._client._store  # noqa: SLF001
        if store is None:
            raise StoreError(None, "this client stores no completions: it was made with store=None")
        return store

    async def _within(self, timeout: object, work: Callable[[], Awaitable[_T]]) -> _T:
        """Return what the work returns, or raise APITimeoutError once the call's timeout, or the client's, passed."""
        return await within(self._timeout(timeout), work)
