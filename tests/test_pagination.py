"""Pages and paginators behave as openai's, which the same lists are put through."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import openai._base_client
import openai.pagination
import openai.types
import pytest

import llama_async.pagination as ours
from llama_async.pagination import AsyncCursorPage, AsyncPage, AsyncPaginator, SyncCursorPage, SyncPage, make_page
from llama_async.types import Model

PAGES = ("SyncPage", "AsyncPage", "SyncCursorPage", "AsyncCursorPage")


def item(index: int) -> dict[str, Any]:
    return {"id": f"m{index}", "created": index, "object": "model", "owned_by": "me"}


async def fetch(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return two of five items."""
    first = int(str(params["after"])[1:]) + 1 if "after" in params else 0
    items = [item(index) for index in range(first, min(first + 2, 5))]
    return {"data": items, "has_more": first + 2 < 5, "object": "list", "limit": params.get("limit")}


def sync_page(fields: Mapping[str, Any]) -> SyncCursorPage[Model]:
    def fetch_next(info: ours.PageInfo) -> SyncCursorPage[Model]:
        first = int(str(info.params["after"])[1:]) + 1  # type: ignore[index]
        items = [item(index) for index in range(first, min(first + 2, 5))]
        return sync_page({"data": items, "has_more": first + 2 < 5})

    return make_page(SyncCursorPage[Model], fields, fetch_next)


def listing(**params: Any) -> AsyncPaginator[Model, AsyncCursorPage[Model]]:
    return AsyncPaginator(AsyncCursorPage[Model], fetch, params)


# -- async -------------------------------------------------------------------------------------------------------------


async def test_awaiting_gives_the_first_page(anyio_backend: Any) -> None:
    page = await listing(limit=2)
    assert type(page) is AsyncCursorPage[Model]
    assert [type(model) for model in page.data] == [Model, Model]
    assert [model.id for model in page.data] == ["m0", "m1"]
    assert page.has_more is True
    assert page.has_next_page()
    info = page.next_page_info()
    assert info is not None
    assert info.params == {"after": "m1"}
    assert repr(info) == "PageInfo(params={'after': 'm1'})"


async def test_iterating_gives_all_items(anyio_backend: Any) -> None:
    assert [model.id async for model in listing()] == ["m0", "m1", "m2", "m3", "m4"]
    assert [model.id async for model in await listing()] == ["m0", "m1", "m2", "m3", "m4"]


async def test_leaving_early_is_quiet(anyio_backend: Any) -> None:
    async for model in listing():
        assert model.id == "m0"
        break


async def test_pages_keep_the_parameters_of_the_call(anyio_backend: Any) -> None:
    pages = [page async for page in (await listing(limit=7)).iter_pages()]
    assert [[model.id for model in page.data] for page in pages] == [["m0", "m1"], ["m2", "m3"], ["m4"]]
    assert [page.to_dict()["limit"] for page in pages] == [7, 7, 7]
    assert not pages[-1].has_next_page()
    # The last item has an id, so this page could be asked for what follows, as openai's.
    assert (await pages[-1].get_next_page()).data == []


async def test_no_page_after_an_empty_one(anyio_backend: Any) -> None:
    page = await listing(after="m4")
    assert page.data == []
    assert page.next_page_info() is None
    with pytest.raises(RuntimeError, match="no next page"):
        await page.get_next_page()
    assert [model async for model in page] == []


async def test_a_whole_list_has_one_page(anyio_backend: Any) -> None:
    page = await AsyncPaginator(AsyncPage[Model], fetch)
    assert not page.has_next_page()
    assert [model.id async for model in page] == ["m0", "m1"]


# -- blocking ----------------------------------------------------------------------------------------------------------


def test_blocking_pages() -> None:
    page = sync_page({"data": [item(0), item(1)], "has_more": True})
    assert [model.id for model in page] == ["m0", "m1", "m2", "m3", "m4"]
    assert [len(page.data) for page in page.iter_pages()] == [2, 2, 1]
    assert page.get_next_page().data[0].id == "m2"
    last = make_page(SyncPage[Model], {"data": [item(0)], "object": "list"}, lambda info: None)
    assert [model.id for model in last] == ["m0"]
    with pytest.raises(RuntimeError, match="no next page"):
        last.get_next_page()


# -- as openai's -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_class_has_the_same_surface(name: str) -> None:
    theirs, mine = getattr(openai.pagination, name), getattr(ours, name)
    assert [
        (key, field.annotation, field.is_required(), field.default) for key, field in mine.model_fields.items()
    ] == [
        (
            key,
            field.annotation if key != "data" else mine.model_fields["data"].annotation,
            field.is_required(),
            field.default,
        )
        for key, field in theirs.model_fields.items()
    ]
    public = {key for key in dir(theirs) if not key.startswith("_")}
    assert public == {key for key in dir(mine) if not key.startswith("_")}
    for key in ("has_next_page", "next_page_info", "get_next_page", "iter_pages", "__init__"):
        expected, actual = (inspect.signature(getattr(cls, key)).parameters.values() for cls in (theirs, mine))
        assert [(p.name, p.kind, p.default) for p in actual] == [(p.name, p.kind, p.default) for p in expected]


def test_page_info_is_the_same() -> None:
    theirs: Any = openai._base_client.PageInfo
    for fields in ({"params": {"after": "x"}}, {"json": {"a": 1}}, {"url": httpx2.URL("http://x/y")}):
        made: Any = ours.PageInfo(**fields)
        assert repr(made) == repr(theirs(**fields))
        assert vars(made).keys() == vars(theirs(**fields)).keys()


FIELDS: list[dict[str, Any]] = [
    {"data": [item(0)], "has_more": True, "object": "list"},
    {"data": [item(0)], "has_more": False, "object": "list"},
    {"data": [item(0)], "object": "list", "first_id": "m0"},
    {"data": [], "has_more": True, "object": "list"},
    {"data": None, "has_more": None, "object": "list"},
    {"data": [{"id": None}], "object": "list"},
    {"data": [{"name": "no id"}], "object": "list"},
    {},
]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("name", PAGES)
def test_page_behaves_the_same(name: str, fields: dict[str, Any]) -> None:
    theirs = getattr(openai.pagination, name)[openai.types.Model].construct(**fields)
    mine = make_page(getattr(ours, name)[Model], fields, lambda info: None)
    assert mine.has_next_page() == theirs.has_next_page()
    expected = theirs.next_page_info()
    actual = mine.next_page_info()
    assert getattr(actual, "params", None) == getattr(expected, "params", None)
    assert mine.to_dict(warnings=False) == theirs.to_dict(warnings=False)
    assert mine.to_json(warnings=False) == theirs.to_json(warnings=False)
    assert repr(mine).startswith(type(theirs).__name__)
