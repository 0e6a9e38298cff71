"""Stored completions: what `create(store=True)` leaves, and list, retrieve, update, delete and messages over it."""

from __future__ import annotations

import inspect
import json
import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import openai.resources.chat.completions as reference
import pytest
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, SHORT, run_child

import llama_async.resources.chat.completions as ours
from llama_async import (
    APITimeoutError,
    AsyncLlama,
    BadRequestError,
    ClientClosedError,
    NotFoundError,
    OptionError,
    StoreError,
)
from llama_async._database import Database, Query, Row
from llama_async._recording import _Record
from llama_async._store import CompletionStore
from llama_async.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionStoreMessage,
)

# The store needs no event loop of its own kind; where the loop matters, the test asks for all three.
ONE_LOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], indirect=True, ids=["asyncio"])


def answer(name: str, created: int = 0, model: str = "m", text: str = "hello") -> ChatCompletion:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return ChatCompletion.construct(id=name, created=created, model=model, object="chat.completion", choices=[choice])


def store(path: object = ":memory:", limit: int = 100, limit_bytes: int = 1 << 20) -> CompletionStore:
    return CompletionStore(str(path), limit, limit_bytes)


async def update_all(client: AsyncLlama, names: list[str], metadata: dict[str, str]) -> None:
    """Give each completion the metadata."""
    for name in names:
        await client.chat.completions.update(name, metadata=metadata)


async def ids(of: CompletionStore, **query: Any) -> list[str]:
    listing = await of.find(Query(limit=100, **query), None)
    return [completion.id for completion in listing.completions]


# -- through the client ------------------------------------------------------------------------------------------------


async def test_an_answer_is_stored_and_found(client: AsyncLlama) -> None:
    completion = await client.chat.completions.create(**SHORT, store=True, metadata={"topic": "towns"})
    found = await client.chat.completions.retrieve(completion.id)
    assert type(found) is ChatCompletion
    assert found.to_dict() == {**completion.to_dict(), "metadata": {"topic": "towns"}}
    page = await client.chat.completions.list()
    assert [item.id for item in page.data] == [completion.id]
    assert not page.has_more
    assert page.to_dict()["object"] == "list"
    messages = await client.chat.completions.messages.list(completion.id)
    assert [type(message) for message in messages.data] == [ChatCompletionStoreMessage]
    assert messages.data[0].to_dict() == {**QUESTION[0], "id": f"{completion.id}-0", "content_parts": None}

    changed = await client.chat.completions.update(completion.id, metadata={"topic": "rivers"})
    assert changed.to_dict() == {**completion.to_dict(), "metadata": {"topic": "rivers"}}
    assert [item.id async for item in client.chat.completions.list(metadata={"topic": "rivers"})] == [completion.id]
    assert [item.id async for item in client.chat.completions.list(metadata={"topic": "towns"})] == []

    deleted = await client.chat.completions.delete(completion.id)
    assert type(deleted) is ChatCompletionDeleted
    assert deleted.to_dict() == {"id": completion.id, "deleted": True, "object": "chat.completion.deleted"}
    for call in (
        client.chat.completions.retrieve(completion.id),
        client.chat.completions.delete(completion.id),
        client.chat.completions.update(completion.id, metadata={}),
        client.chat.completions.messages.list(completion.id)._get_page({"limit": 1, "order": "asc", "after": None}),
    ):
        with pytest.raises(NotFoundError, match="nothing is stored") as caught:
            await call
        assert caught.value.param == "completion_id"


async def test_a_stream_is_stored_like_a_whole_answer(client: AsyncLlama) -> None:
    asked = {**SHORT, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = await client.chat.completions.create(**asked, store=True)
    stream = await client.chat.completions.create(**asked, store=True, stream=True)
    chunks = [chunk async for chunk in stream]
    with pytest.raises(StopAsyncIteration):
        await stream.__anext__()
    page = await client.chat.completions.list()
    assert [item.id for item in page.data] == [whole.id, chunks[0].id]
    one, other = ({**item.to_dict(), "id": "", "created": 0} for item in page.data)
    assert other == one
    assert one["usage"]["completion_tokens"] == 8  # type: ignore[index]


@ONE_LOOP
async def test_a_stream_left_at_its_finish_reason_is_stored(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**SHORT, store=True, stream=True)
    name = ""
    async for chunk in stream:
        name = chunk.id
        if chunk.choices[0].finish_reason is not None:
            break
    found = await client.chat.completions.retrieve(name)
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content
    assert found.usage is None


@ONE_LOOP
async def test_what_does_not_end_is_not_stored(client: AsyncLlama) -> None:
    stream = await client.chat.completions.create(**ENDLESS, store=True, stream=True)
    await stream.__anext__()
    await stream.close()
    with anyio.move_on_after(0.2):
        await client.chat.completions.create(**ENDLESS, store=True)
    await client.chat.completions.create(**SHORT)
    assert (await client.chat.completions.list()).data == []


@ONE_LOOP
async def test_conversations_keep_their_parts(client: AsyncLlama) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "two and two?"}]
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts, "name": "Ann"},
        {"role": "assistant", "content": "Four \u00e9"},
        {"role": "user", "content": "And three?"},
    ]
    completion = await client.chat.completions.create(**{**SHORT, "messages": messages}, store=True)
    listing = client.chat.completions.messages.list
    found = [message async for message in listing(completion.id, limit=3)]
    assert [message.role for message in found] == ["system", "user", "assistant", "user"]
    assert [message.id for message in found] == [f"{completion.id}-{index}" for index in range(4)]
    assert [message.content for message in found] == ["Be brief.", None, "Four \u00e9", "And three?"]
    assert found[1].content_parts is not None
    assert [part.to_dict() for part in found[1].content_parts] == parts
    assert found[1].to_dict()["name"] == "Ann"
    backwards = await listing(completion.id, limit=2, order="desc")
    assert [message.content for message in backwards.data] == ["And three?", "Four \u00e9"]
    assert backwards.has_more
    rest = await listing(completion.id, after=found[2].id)
    assert [message.content for message in rest.data] == ["And three?"]
    with pytest.raises(NotFoundError) as caught:
        await listing(completion.id, after="nothing")
    assert caught.value.param == "after"


@ONE_LOOP
async def test_bad_parameters(client: AsyncLlama) -> None:
    completions = client.chat.completions
    for empty in ("", None):
        for method in (completions.retrieve, completions.delete):
            with pytest.raises(ValueError, match="completion_id"):
                await method(empty)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="completion_id"):
            await completions.update(empty, metadata={})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="completion_id"):
            completions.messages.list(empty)  # type: ignore[arg-type]
    bad: list[tuple[str, Any]] = [
        ("limit", -1), ("limit", 101), ("limit", "5"), ("limit", True), ("order", "up"), ("model", 5), ("after", 5),
        ("metadata", {"a": 1}), ("metadata", []),
    ]  # fmt: skip
    for name, value in bad:
        with pytest.raises(BadRequestError) as caught:
            await completions.list(**{name: value})
        assert caught.value.param == name
    with pytest.raises(NotFoundError) as not_found:
        await completions.list(after="nothing")
    assert not_found.value.param == "after"
    too_much: list[Any] = [
        {str(index): "" for index in range(17)}, {"k" * 65: ""}, {"k": "v" * 513}, {"k": 1}, {1: "v"}, "text",
        {"k": "\ud800"},
    ]  # fmt: skip
    for metadata in too_much:
        with pytest.raises(BadRequestError) as caught:
            await completions.create(**SHORT, store=True, metadata=metadata)
        assert caught.value.param == "metadata"
        with pytest.raises(BadRequestError):
            await completions.update("some", metadata=metadata)
    with pytest.raises(BadRequestError):
        await completions.create(**SHORT, store="yes")  # type: ignore[call-overload]
    full = {f"{index:064}": "v" * 512 for index in range(16)}
    completion = await completions.create(**SHORT, store=True, metadata=full)
    assert (await completions.retrieve(completion.id)).to_dict()["metadata"] == full
    assert (await completions.update(completion.id, metadata=None)).to_dict()["metadata"] == {}
    with pytest.raises(APITimeoutError):
        await completions.retrieve(completion.id, timeout=0)
    assert (await completions.list(limit=0)).data == []


@ONE_LOOP
async def test_pages_go_on_while_completions_are_deleted(anyio_backend: Any, model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    held = client._store
    assert held is not None
    for index in range(7):
        held.put(answer(f"c{index}", created=index // 2), QUESTION, {"even": str(index % 2 == 0)})
    seen = []
    async for completion in client.chat.completions.list(limit=2):
        seen.append(completion.id)
        await client.chat.completions.delete(completion.id)
    assert seen == [f"c{index}" for index in range(7)]
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.chat.completions.list()


@ONE_LOOP
async def test_a_client_without_store(anyio_backend: Any, model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, store=None) as client:
        with pytest.raises(StoreError, match="store=None"):
            await client.chat.completions.create(**SHORT, store=True)
        with pytest.raises(StoreError, match="store=None"):
            await client.chat.completions.list()
        await client.chat.completions.create(**SHORT, metadata={"a": "b"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", ""), ("store", 5), ("store", b"x"), ("store", "a\0b"),
        ("store_limit", 0), ("store_limit", True), ("store_limit", 1.5),
        ("store_limit_bytes", 0), ("store_limit_bytes", 2**63),
    ],
)  # fmt: skip
def test_bad_options(name: str, value: Any, model_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        AsyncLlama(model_path, **{name: value})
    assert caught.value.param == name


async def test_a_store_that_cannot_be_opened_fails_before_the_answer(
    anyio_backend: Any, model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "store.db"
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, store=path) as client:
        with pytest.raises(StoreError, match=r"missing.*unable to open") as caught:
            await client.chat.completions.create(**SHORT, store=True)
        assert caught.value.path == str(path)
        with pytest.raises(StoreError):
            await client.chat.completions.list()
        path.parent.mkdir()
        completion = await client.chat.completions.create(**SHORT, store=True)
        assert (await client.chat.completions.retrieve(completion.id)).id == completion.id


@ONE_LOOP
async def test_an_answer_that_cannot_be_stored_is_not_lost(
    anyio_backend: Any, model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, store=path) as client:
        await client.chat.completions.list()
        held = client._store
        assert held is not None
        database = held._state._database
        assert database is not None
        # The disk is full.
        (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        with caplog.at_level(logging.WARNING, "llama_async.store"):
            last = ""
            for _ in range(20):
                completion = await client.chat.completions.create(**SHORT, store=True, metadata={"k": "v" * 500})
                assert completion.choices[0].message.content
                last = completion.id
                await client.chat.completions.list()
                if caplog.records:
                    break
        assert "is not stored" in caplog.text
        assert "full" in caplog.text
        with pytest.raises(NotFoundError):
            await client.chat.completions.retrieve(last)
        stored = (await client.chat.completions.list()).data
        metadata = {f"{n}": "v" * 512 for n in range(16)}
        with pytest.raises(StoreError, match="full"):
            await update_all(client, [item.id for item in stored], metadata)


# -- the store ---------------------------------------------------------------------------------------------------------


async def test_order_and_pages(anyio_backend: Any) -> None:
    held = store()
    for name, created in (("late", 9), ("first", 1), ("tie a", 5), ("tie b", 5)):
        held.put(answer(name, created, model="x" if "tie" in name else "y"), [], {"k": name[:3], "all": "yes"})
    assert await ids(held) == ["first", "tie a", "tie b", "late"]
    assert await ids(held, descending=True) == ["late", "tie b", "tie a", "first"]
    assert await ids(held, model="x") == ["tie a", "tie b"]
    assert await ids(held, metadata={"k": "tie", "all": "yes"}) == ["tie a", "tie b"]
    assert await ids(held, metadata={"k": "tie", "all": "no"}) == []
    assert await ids(held, metadata={}) == ["first", "tie a", "tie b", "late"]
    page = await held.find(Query(limit=2), "first")
    assert [item.id for item in page.completions] == ["tie a", "tie b"]
    assert page.has_more
    page = await held.find(Query(limit=2, descending=True), page.last)
    assert [item.id for item in page.completions] == ["tie a", "first"]
    assert not page.has_more
    await held.close()
    await held.close()
    with pytest.raises(ClientClosedError):
        await held.retrieve("first")


@ONE_LOOP
async def test_the_oldest_go_first(anyio_backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    held = store(limit=3)
    for index in range(6):
        held.put(answer(f"c{index}", created=index), [], {"k": str(index)})
    assert await ids(held) == ["c3", "c4", "c5"]
    assert await ids(held, metadata={"k": "1"}) == []
    await held.delete("c4")
    held.put(answer("c6", created=6), [], {})
    assert await ids(held) == ["c3", "c5", "c6"]
    await held.close()

    held = store(limit_bytes=4000)
    for index in range(6):
        held.put(answer(f"c{index}", created=index, text="x" * 1000), [], {})
    assert await ids(held) == ["c3", "c4", "c5"]
    held.put(answer("large", created=9, text="x" * 4000), [], {})
    assert await ids(held) == ["c3", "c4", "c5"]
    assert "large is not stored: 4" in caplog.text
    # The same one again takes the place it had, with its new size.
    held.put(answer("c5", created=5, text="x" * 10), [], {})
    held.put(answer("c6", created=6, text="x" * 1000), [], {})
    assert await ids(held) == ["c3", "c4", "c5", "c6"]
    database = held._state._database
    assert database is not None
    n, size = database._connection.execute("SELECT n, size FROM total").fetchone()
    assert (n, size) == database._connection.execute("SELECT count(*), sum(size) FROM completion").fetchone()
    assert database._connection.execute("SELECT count(*) FROM metadata").fetchone() == (0,)
    await held.close()


async def test_a_file_survives_its_client(anyio_backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = store(path)
    # Closing writes what is queued.
    for index in range(50):
        first.put(answer(f"c{index:02}", created=index), QUESTION, {"n": str(index)})
    await first.close()
    second = store(path)
    assert await ids(second) == [f"c{index:02}" for index in range(50)]
    assert [message.content for message in await second.messages("c07")] == [QUESTION[0]["content"]]
    await second.close()
    assert not (tmp_path / "store.db-wal").exists()


@ONE_LOOP
async def test_a_store_that_was_dropped_writes_what_is_queued(anyio_backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = store(path)
    for index in range(20):
        first.put(answer(f"c{index:02}"), [], {})
    jobs = first._worker
    del first
    await jobs.run(int)
    second = store(path)
    assert len(await ids(second)) == 20
    await second.close()


def test_the_interpreter_waits_for_what_is_queued(tmp_path: Path) -> None:
    code = """
        import sys
        from llama_async._store import CompletionStore
        from llama_async.types.chat import ChatCompletion
        store = CompletionStore(sys.argv[1], 1000, 1 << 20)
        for index in range(100):
            completion = ChatCompletion.construct(id=f"c{index}", created=index, model="m", choices=[])
            store.put(completion, [], {})
    """
    result = run_child(code, str(tmp_path / "store.db"))
    assert (result.returncode, result.stderr) == (0, "")
    database = Database(str(tmp_path / "store.db"), 1000, 1 << 20)
    assert len(database.find(Query(limit=1000), None)) == 100
    database.close()


def test_processes_share_a_file(tmp_path: Path) -> None:
    code = """
        import sys
        from llama_async._database import Database, Row
        database = Database(sys.argv[1], 150, 1 << 20)
        for index in range(100):
            database.put(Row(f"{sys.argv[2]}{index}", created=index, model="m", metadata={}, body="{}", messages="[]"))
        database.close()
    """
    path = str(tmp_path / "store.db")
    with ThreadPoolExecutor(3) as executor:
        results = list(executor.map(lambda name: run_child(code, path, name), "abc"))
    assert [(result.returncode, result.stderr) for result in results] == [(0, "")] * 3
    database = Database(path, 150, 1 << 20)
    rows = database.find(Query(limit=1000), None)
    assert len(rows) == 150
    assert {row.id for row in rows} >= {f"{name}{index}" for name in "abc" for index in range(99, 100)}
    database.close()


@ONE_LOOP
async def test_a_locked_file_is_an_error_and_then_works(
    anyio_backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_async._database._BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "store.db"
    held = store(path)
    held.put(answer("c"), [], {})
    await held.retrieve("c")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await held.delete("c")
    assert (await held.retrieve("c")).id == "c"  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    await held.delete("c")
    await held.close()


@ONE_LOOP
async def test_files_that_are_no_store(anyio_backend: Any, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all, but long enough to look at" * 100)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    later = tmp_path / "later.db"
    Database(str(later), 1, 1).close()
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path, reason in ((garbage, "not a database"), (foreign, "another program"), (later, "format 99")):
        before = path.read_bytes()
        held = store(path)
        with pytest.raises(StoreError, match=reason):
            await held.open()
        await held.close()
        assert path.read_bytes() == before


@ONE_LOOP
async def test_a_queue_that_grows_too_long_drops_and_says_so(
    anyio_backend: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llama_async._store._MAX_QUEUED", 3)
    held = store()
    await held.open()
    gate, reached = threading.Event(), threading.Event()
    held._worker.submit(lambda: reached.set() or gate.wait())
    reached.wait()
    for index in range(6):
        held.put(answer(f"c{index}"), [], {})
    gate.set()
    stored = await ids(held)
    assert stored == ["c0", "c1", "c2"]
    assert "answers wait to be written" in caplog.text
    await held.close()


async def test_cancelling_a_wait_keeps_the_order(anyio_backend: Any) -> None:
    held = store()
    await held.open()
    gate = threading.Event()
    held._worker.submit(gate.wait)
    with anyio.move_on_after(0.01) as scope:
        await held.retrieve("c")
    assert scope.cancelled_caught
    held.put(answer("c"), [], {})
    gate.set()
    assert (await held.retrieve("c")).id == "c"
    await held.close()


def test_the_body_is_json(tmp_path: Path) -> None:
    """What stands in the file is plain: another program can read it."""
    database = Database(str(tmp_path / "store.db"), 10, 1 << 20)
    database.put(Row("c", 1, "m", {"k": "\u00e9"}, '{"id": "c"}', "[]"))
    database.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        ((metadata,),) = connection.execute("SELECT metadata FROM completion")
    connection.close()
    assert json.loads(metadata) == {"k": "\u00e9"}


# -- as openai's -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["retrieve", "update", "list", "delete"])
def test_signatures_are_openais(name: str) -> None:
    pairs = [(getattr(reference.AsyncCompletions, name), getattr(ours.AsyncCompletions, name))]
    if name == "list":
        pairs.append((reference.AsyncMessages.list, ours.AsyncMessages.list))
    for theirs, mine in pairs:
        assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(mine)
        expected, actual = (inspect.signature(method).parameters.values() for method in (theirs, mine))
        assert [(p.name, p.kind, type(p.default).__name__) for p in actual] == [
            (p.name, p.kind, type(p.default).__name__) for p in expected
        ]


def test_streamed_tool_calls_are_put_together() -> None:
    def chunk(*calls: dict[str, Any], finish: str | None = None) -> ChatCompletionChunk:
        choice = {"index": 0, "finish_reason": finish, "delta": {"tool_calls": list(calls)} if calls else {}}
        return ChatCompletionChunk.construct(
            id="c", created=1, model="m", object="chat.completion.chunk", choices=[choice]
        )

    record = _Record(1)
    head = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
    for part in (
        chunk({**head, "index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}),
        chunk(head, {"index": 0, "function": {"arguments": '": 1}'}}),
        chunk({"index": 1, "function": {"arguments": "{}"}}),
    ):
        assert not record.add(part)
    assert record.add(chunk(finish="tool_calls"))
    calls = record.completion(None).choices[0].message.tool_calls
    assert [call.to_dict() for call in calls or ()] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
