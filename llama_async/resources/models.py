"""`client.models`: which models a client knows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llama_async._errors import new_request_id
from llama_async._models import add_request_id, build
from llama_async._resource import AsyncAPIResource
from llama_async._threads import run_in_thread
from llama_async._types import not_given
from llama_async.types.model import Model
from llama_async.types.model_deleted import ModelDeleted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import Timeout

    from llama_async._types import Body, Headers, NotGiven, Query
    from llama_async.pagination import AsyncPage, AsyncPaginator
    from llama_async.resources.raw import AsyncModelsWithRawResponse, AsyncModelsWithStreamingResponse

__all__ = ["AsyncModels"]

_OWNER = "llama-async"


class AsyncModels(AsyncAPIResource):
    """The models a client knows, by each of their names."""

    @cached_property
    def with_raw_response(self) -> AsyncModelsWithRawResponse:
        """The same methods, returning the response around the result: its headers, its bytes, its id."""
        from llama_async.resources.raw import AsyncModelsWithRawResponse

        return AsyncModelsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncModelsWithStreamingResponse:
        """The same methods, returning a context of a response whose body is read when asked for."""
        from llama_async.resources.raw import AsyncModelsWithStreamingResponse

        return AsyncModelsWithStreamingResponse(self)

    async def retrieve(
        self,
        model: str,
        *,
        extra_headers: Headers | None = None,  # noqa: ARG002
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> Model:
        """Describe a model. It need not be loaded, nor is its file opened.

        Args:
            model: One of its names, which becomes the id of the description.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Checked, but nothing here takes time.

        Returns:
            Name and origin; `created` is when the file was last changed, 0 if it is missing.

        Raises:
            ValueError: The name is empty.
            NotFoundError: The client has no such model.
        """
        self._check(model, timeout)
        path = self._model(model).options.path
        described = _model(model, await run_in_thread(lambda: _changed(path)))
        add_request_id(described, new_request_id())
        return described

    def list(
        self,
        *,
        extra_headers: Headers | None = None,  # noqa: ARG002
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> AsyncPaginator[Model, AsyncPage[Model]]:
        """List the models under each of their names, in the order they were given.

        Args:
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Checked, but nothing here takes time.

        Returns:
            What can be awaited for the one page there is, or iterated.
        """
        # Not with the client: most programs list nothing.
        from llama_async.pagination import AsyncPage, AsyncPaginator

        self._timeout(timeout)
        registry = self._client._registry  # noqa: SLF001 (a client and its resources are one)

        async def fetch(params: Mapping[str, object]) -> Mapping[str, object]:  # noqa: ARG001
            paths = {name: registry.resolve(name).options.path for name in registry.names}
            created = await run_in_thread(lambda: [_changed(path) for path in paths.values()])
            return {"object": "list", "data": [_model(*item) for item in zip(paths, created, strict=True)]}

        return AsyncPaginator(AsyncPage[Model], fetch)

    async def delete(
        self,
        model: str,
        *,
        extra_headers: Headers | None = None,  # noqa: ARG002
        extra_query: Query | None = None,  # noqa: ARG002
        extra_body: Body | None = None,  # noqa: ARG002
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> ModelDeleted:
        """Take a name away from this client and its copies. The file stays.

        A model without any other name is unloaded, once its requests in flight are answered, and forgotten. A name that
        only the alias `"*"` answers to is unknown from then on; to delete `"*"` itself takes that alias away.

        Args:
            model: The name.
            extra_headers: No effect: there is no HTTP.
            extra_query: No effect.
            extra_body: No effect.
            timeout: Checked, but has no effect.

        Raises:
            ValueError: The name is empty.
            NotFoundError: The client has no such model.
        """
        self._check(model, timeout)
        await self._client._registry.forget(model)  # noqa: SLF001
        deleted = build(ModelDeleted, id=model, deleted=True, object="model")
        add_request_id(deleted, new_request_id())
        return deleted

    def _check(self, model: str, timeout: object) -> None:
        if not model:
            raise ValueError(f"model is {model!r}, but must be the name of a model")
        self._timeout(timeout)


def _model(name: str, created: int) -> Model:
    return build(Model, id=name, created=created, object="model", owned_by=_OWNER)


def _changed(path: str) -> int:
    try:
        return int(Path(path).stat().st_mtime)
    except OSError:
        return 0
