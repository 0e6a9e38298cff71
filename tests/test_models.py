"""`client.models`: list, retrieve, delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from support import gather, until
from tiny_models import tiny_llama

from llama_async import AsyncLlama, NotFoundError
from llama_async.pagination import AsyncPage
from llama_async.types import Model, ModelDeleted

pytestmark = pytest.mark.anyio


ONLY_ASYNCIO = True


async def test_list_can_be_awaited_and_iterated(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"")
    client = AsyncLlama(models={"a": path, "b": tmp_path / "missing.gguf"}, aliases={"c": "a", "*": "b"})
    page = await client.models.list()
    assert isinstance(page, AsyncPage)
    assert page.object == "list"
    assert not page.has_next_page()
    assert [model.id for model in page.data] == ["a", "b", "c"]
    assert [model async for model in client.models.list()] == page.data
    created = int(path.stat().st_mtime)
    assert [model.created for model in page.data] == [created, 0, created]
    assert page.data[0].to_dict() == {"id": "a", "created": created, "object": "model", "owned_by": "llama-async"}
    await client.close()


async def test_retrieve(tmp_path: Path) -> None:
    client = AsyncLlama(tmp_path / "small.gguf", alias="gpt-4o")
    for name in ("small", "default", "gpt-4o"):
        model = await client.models.retrieve(name)
        assert isinstance(model, Model)
        assert model.id == name
        assert model._request_id
    with pytest.raises(NotFoundError):
        await client.models.retrieve("gpt-5")
    with pytest.raises(ValueError, match="model is ''"):
        await client.models.retrieve("")
    await client.close()


async def test_a_star_answers_to_any_name_until_that_is_deleted(tmp_path: Path) -> None:
    client = AsyncLlama(tmp_path / "small.gguf", alias="*")
    assert (await client.models.retrieve("ft:gpt-4o:acme")).id == "ft:gpt-4o:acme"
    deleted = await client.models.delete("ft:gpt-4o:acme")
    assert isinstance(deleted, ModelDeleted)
    assert (deleted.id, deleted.deleted, deleted.object) == ("ft:gpt-4o:acme", True, "model")
    for call in (client.models.retrieve, client.models.delete):
        with pytest.raises(NotFoundError):
            await call("ft:gpt-4o:acme")
    assert (await client.models.retrieve("another")).id == "another"
    await client.models.delete("small")
    with pytest.raises(NotFoundError):
        await client.models.retrieve("small")
    await client.models.delete("*")
    with pytest.raises(NotFoundError):
        await client.models.retrieve("another")
    assert (await client.models.retrieve("default")).id == "default"
    with pytest.raises(ValueError, match="must be the name"):
        await client.models.delete("")
    await client.close()


async def test_a_model_goes_with_its_last_name_once_idle(tmp_path: Path) -> None:
    paths = {name: tiny_llama(tmp_path / f"{name}.gguf") for name in ("a", "b")}
    async with AsyncLlama(models=dict(paths), aliases={"c": "a"}, n_ctx=1024, n_threads=1) as client:
        model = client._registry.resolve("a")
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 200,
            "extra_body": {"ignore_eos": True},
        }
        await client.models.delete("a")
        assert not model.is_closed

        async def ask() -> Any:
            return await client.chat.completions.create(model="c", **request)

        async def delete() -> Any:
            await until(lambda: getattr(client.stats("c"), "n_running", 0) > 0)
            return await client.models.delete("c")

        answer, deleted = await gather(ask, delete)
        assert answer.usage.completion_tokens == 200
        assert deleted.id == "c"
        assert model.is_closed
        assert not model.has_memory
        assert [known.id async for known in client.models.list()] == ["b"]
        with pytest.raises(NotFoundError):
            await client.chat.completions.create(model="c", **request)
        # The only one left needs no name.
        await client.load()
    assert all(path.exists() for path in paths.values())


async def test_the_only_model_may_go(model_path: Path) -> None:
    client = AsyncLlama(model_path)
    await client.models.delete(model_path.stem)
    await client.models.delete("default")
    assert [known async for known in client.models.list()] == []
    with pytest.raises(NotFoundError):
        await client.models.retrieve("default")
    await client.close()
