"""Pages of results, and what a `.list()` call returns: awaited it is the first page, iterated it is all items.

Names, fields and methods are those of openai's pages. A page knows a function that fetches another one; who answers it
(an engine, a store, another thread) is not known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload, runtime_checkable

from pydantic import PrivateAttr

from ._models import GenericModel
from ._types import NotGiven, not_given

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from httpx import URL
    from typing_extensions import Self

    from ._types import Body, Query

__all__ = [
    "AsyncCursorPage",
    "AsyncPage",
    "AsyncPaginator",
    "BaseAsyncPage",
    "BasePage",
    "BaseSyncPage",
    "PageInfo",
    "SyncCursorPage",
    "SyncPage",
]

_T = TypeVar("_T")
_PageT = TypeVar("_PageT", bound="BasePage[Any]")
_AsyncPageT = TypeVar("_AsyncPageT", bound="BaseAsyncPage[Any]")


class PageInfo:
    """What the request for the next page adds to that of this one: one of the three.

    Args:
        url: Where it goes; this package never sets it.
        params: Parameters of the call.
        json: Parts of the body; this package never sets it.
    """

    url: URL | NotGiven
    params: Query | NotGiven
    json: Body | NotGiven

    @overload
    def __init__(self, *, url: URL) -> None: ...

    @overload
    def __init__(self, *, params: Query) -> None: ...

    @overload
    def __init__(self, *, json: Body) -> None: ...

    def __init__(
        self,
        *,
        url: URL | NotGiven = not_given,
        json: Body | NotGiven = not_given,
        params: Query | NotGiven = not_given,
    ) -> None:
        self.url = url
        self.json = json
        self.params = params

    def __repr__(self) -> str:
        for name in ("url", "json"):
            if getattr(self, name):
                return f"{type(self).__name__}({name}={getattr(self, name)})"
        return f"{type(self).__name__}(params={self.params})"


class BasePage(GenericModel, Generic[_T]):
    """One part of a list of results."""

    # Takes what `next_page_info` returns; returns the page, or an awaitable of it.
    _fetch: Callable[[PageInfo], Any] = PrivateAttr()

    def has_next_page(self) -> bool:
        """Whether more follows, as far as this page knows."""
        return bool(self._get_page_items()) and self.next_page_info() is not None

    def next_page_info(self) -> PageInfo | None:
        """Return what to ask for next; `None` after the last page."""
        return None

    def _get_page_items(self) -> list[_T]:
        return []

    def _next_info(self) -> PageInfo:
        info = self.next_page_info()
        if not info:
            raise RuntimeError("there is no next page: look at `has_next_page()` first")
        return info


class BaseSyncPage(BasePage[_T], Generic[_T]):
    """A page of a blocking client: `for item in page` goes on with the pages that follow."""

    # pydantic's own __iter__ yields fields, and cannot be had beside this one.
    def __iter__(self) -> Iterator[_T]:  # type: ignore[override]
        for page in self.iter_pages():
            yield from page._get_page_items()  # noqa: SLF001 (another page of the same list)

    def iter_pages(self) -> Iterator[Self]:
        """Yield this page and all that follow."""
        page = self
        yield page
        while page.has_next_page():
            page = page.get_next_page()
            yield page

    def get_next_page(self) -> Self:
        """Fetch the page that follows.

        Raises:
            RuntimeError: This is the last one.
        """
        return cast("Self", self._fetch(self._next_info()))


class BaseAsyncPage(BasePage[_T], Generic[_T]):
    """A page of an async client: `async for item in page` goes on with the pages that follow."""

    def __aiter__(self) -> AsyncIterator[_T]:
        return _Items(self.iter_pages())

    def iter_pages(self) -> AsyncIterator[Self]:
        """Iterate over this page and all that follow."""
        return _Pages(self)

    async def get_next_page(self) -> Self:
        """Fetch the page that follows.

        Raises:
            RuntimeError: This is the last one.
        """
        return cast("Self", await self._fetch(self._next_info()))


# Classes rather than async generators: one that is left early by `break` makes trio warn.
class _Pages(Generic[_AsyncPageT]):
    """Iterates over a page and those that follow it."""

    def __init__(self, first: _AsyncPageT) -> None:
        self._first = first
        self._last: _AsyncPageT | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _AsyncPageT:
        if self._last is None:
            self._last = self._first
        elif self._last.has_next_page():
            self._last = await self._last.get_next_page()
        else:
            raise StopAsyncIteration
        return self._last


class _Items(Generic[_T]):
    """Iterates over the items of pages."""

    def __init__(self, pages: AsyncIterator[BaseAsyncPage[_T]]) -> None:
        self._pages = pages
        self._items: Iterator[_T] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        while True:
            for item in self._items:
                return item
            page = await self._pages.__anext__()
            self._items = iter(page._get_page_items())  # noqa: SLF001 (the public way to them is this iterator)


class AsyncPaginator(Generic[_T, _AsyncPageT]):
    """What an async `.list()` returns: `await` it for the first page, or `async for` over the items of all pages.

    Args:
        page: The class of its pages, such as `AsyncPage[Model]`.
        fetch: Called with parameters; returns the fields of the page they ask for.
        params: The parameters of the first page. Those of a later one are these and what `next_page_info` has.
    """

    def __init__(
        self,
        page: type[_AsyncPageT],
        fetch: Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]],
        params: Mapping[str, object] | None = None,
    ) -> None:
        self._page = page
        self._fetch_fields = fetch
        self._params = params or {}

    def __await__(self) -> Generator[Any, None, _AsyncPageT]:
        return self._get_page(self._params).__await__()

    def __aiter__(self) -> AsyncIterator[_T]:
        pages: AsyncIterator[BaseAsyncPage[_T]] = cast("Any", _FirstPages(self))
        return _Items(pages)

    async def _get_page(self, params: Mapping[str, object]) -> _AsyncPageT:
        async def fetch(info: PageInfo) -> _AsyncPageT:
            more = cast("Mapping[str, object]", info.params)
            return await self._get_page({**params, **more})

        return make_page(self._page, await self._fetch_fields(params), fetch)


class _FirstPages(Generic[_AsyncPageT]):
    """Iterates over the pages of a paginator, the first of which nobody fetched yet."""

    def __init__(self, paginator: AsyncPaginator[Any, _AsyncPageT]) -> None:
        self._paginator = paginator
        self._pages: AsyncIterator[_AsyncPageT] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _AsyncPageT:
        if self._pages is None:
            self._pages = (await self._paginator).iter_pages()
        return await self._pages.__anext__()


def make_page(page: type[_PageT], fields: Mapping[str, Any], fetch: Callable[[PageInfo], Any]) -> _PageT:
    """Return a page without validating its items.

    Args:
        page: Its class.
        fields: Its fields, and any further ones, which it keeps.
        fetch: Called with what its `next_page_info` returns; returns the next page, or an awaitable of it.
    """
    made = page.construct(**fields)
    made.__pydantic_private__ = {"_fetch": fetch}
    return made


# -- the pages of the API ----------------------------------------------------------------------------------------------


class SyncPage(BaseSyncPage[_T], BasePage[_T], Generic[_T]):
    """A list that always comes whole."""

    data: list[_T]
    object: str

    def _get_page_items(self) -> list[_T]:
        return self.data or []

    def next_page_info(self) -> None:
        """Return `None`: nothing follows."""
        return


class AsyncPage(BaseAsyncPage[_T], BasePage[_T], Generic[_T]):
    """A list that always comes whole."""

    data: list[_T]
    object: str

    def _get_page_items(self) -> list[_T]:
        return self.data or []

    def next_page_info(self) -> None:
        """Return `None`: nothing follows."""
        return


class SyncCursorPage(BaseSyncPage[_T], BasePage[_T], Generic[_T]):
    """A part of a list; the next one begins after the id of this one's last item."""

    data: list[_T]
    has_more: bool | None = None

    def _get_page_items(self) -> list[_T]:
        return self.data or []

    def has_next_page(self) -> bool:
        """Whether more follows, as far as this page knows."""
        return self.has_more is not False and super().has_next_page()

    def next_page_info(self) -> PageInfo | None:
        """Return what to ask for next; `None` if this page is empty."""
        return _after_last(self.data)


class AsyncCursorPage(BaseAsyncPage[_T], BasePage[_T], Generic[_T]):
    """A part of a list; the next one begins after the id of this one's last item."""

    data: list[_T]
    has_more: bool | None = None

    def _get_page_items(self) -> list[_T]:
        return self.data or []

    def has_next_page(self) -> bool:
        """Whether more follows, as far as this page knows."""
        return self.has_more is not False and super().has_next_page()

    def next_page_info(self) -> PageInfo | None:
        """Return what to ask for next; `None` if this page is empty."""
        return _after_last(self.data)


@runtime_checkable
class _HasId(Protocol):
    id: str | None


def _after_last(items: list[Any]) -> PageInfo | None:
    last = items[-1] if items else None
    if not isinstance(last, _HasId) or last.id is None:
        return None
    return PageInfo(params={"after": last.id})
