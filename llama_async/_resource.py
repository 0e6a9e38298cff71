"""What the resources share: the client they belong to, and what they need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._parameters import timeout_seconds

if TYPE_CHECKING:
    from ._client import AsyncLlama
    from ._model import Model

__all__ = ["AsyncAPIResource"]


class AsyncAPIResource:
    """A group of methods of a client."""

    _client: AsyncLlama

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client

    def _model(self, name: object) -> Model:
        """Return the model of a name, or raise NotFoundError."""
        return self._client._resolve(name)  # noqa: SLF001 (a client and its resources are one)

    def _timeout(self, timeout: object) -> float | None:
        """Return seconds: what the call was given, or the client's."""
        return timeout_seconds(timeout, self._client._timeout_s)  # noqa: SLF001
