"""Stored completions: what `create(store=True)` leaves, and `list`, `retrieve`, `update`, `delete` work on.

Owns a database and the thread that uses it. What is to be stored is queued and never waited for, so that neither a slow
disk nor a full one delays or loses an answer that is there; whoever asks the store later stands behind it in the queue.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from ._database import Database, Position, Query, Row
from ._errors import ClientClosedError, OptionError, StoreError, completion_not_found
from ._threads import Worker
from .types.chat import ChatCompletion, ChatCompletionStoreMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["CompletionStore", "Listing", "completion_store"]

_log = logging.getLogger("llama_async.store")

MEMORY = ":memory:"
_DEFAULT_LIMIT = 10_000
_DEFAULT_LIMIT_BYTES = 64 << 20
# Answers that may wait to be written. A disk that lags further behind loses some, which is logged, rather than memory.
_MAX_QUEUED = 1024

# Closing writes what is queued. Past this it goes on without its caller.
_CLOSE_TIMEOUT_S = 60

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of what is stored.

    Attributes:
        completions: In the order asked for.
        has_more: Whether more follow.
        last: The place of the last one, which is valid even once it is deleted.
    """

    completions: list[ChatCompletion]
    has_more: bool
    last: Position | None


class CompletionStore:
    """The completions of a client.

    Args:
        path: A file, or `":memory:"`.
        limit: Completions it holds; the oldest go first.
        limit_bytes: Bytes of completions it holds; the oldest go first.
    """

    def __init__(self, path: str, limit: int, limit_bytes: int) -> None:
        self.path = path
        self._state = _State(path, limit, limit_bytes)
        self._worker = Worker("llama-async-store")
        self._closed = False
        weakref.finalize(self, self._state.abandon, self._worker).atexit = False

    async def open(self) -> None:
        """Open the file, unless it is open: before an answer is computed that could not be stored.

        Raises:
            StoreError: It cannot be opened.
            ClientClosedError: The store is closed.
        """
        if not self._state.is_open or self._closed:
            await self._run(bool)

    def put(
        self, completion: ChatCompletion, messages: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]
    ) -> None:
        """Store an answer in a moment. Never blocks and never raises: a failure is logged.

        Args:
            completion: The answer.
            messages: The conversation it answers; not changed by anybody any more.
            metadata: The user's.
        """
        n_queued = self._worker.n_queued
        if self._closed or n_queued >= _MAX_QUEUED:
            reason = "the client is closed" if self._closed else f"{n_queued} answers wait to be written"
            _log.warning("completion %s is not stored: %s", completion.id, reason)
            return
        # At once, for the caller may change what he gets. With log probabilities it can be megabytes, which would hold
        # the event loop.
        is_long = any(choice.logprobs is not None for choice in completion.choices)
        body = None if is_long else completion.to_json(indent=None, warnings=False)

        def write(database: Database) -> None:
            row = Row(
                id=completion.id,
                created=completion.created,
                model=completion.model,
                metadata=metadata,
                body=completion.to_json(indent=None, warnings=False) if body is None else body,
                messages=json.dumps(messages, ensure_ascii=False),
            )
            if not database.put(row):
                _log.warning("completion %s is not stored: %d bytes exceed the store", row.id, row.size_bytes)

        def job() -> None:
            try:
                self._state.run(write)
            except Exception as error:
                _log.warning("completion %s is not stored: %s", completion.id, error)

        self._worker.submit(job)

    async def find(self, query: Query, after: str | Position | None) -> Listing:
        """Return a part of what is stored.

        Args:
            query: Which completions.
            after: Begin behind the completion with this id, or behind this place.

        Raises:
            NotFoundError: There is no completion with that id.
            StoreError: The store cannot be read.
        """

        def find(database: Database) -> Listing:
            position = after
            if isinstance(position, str):
                row = database.get(position)
                if row is None:
                    raise completion_not_found(position, "after")
                position = row.position
            rows = database.find(replace(query, limit=query.limit + 1), position)
            has_more = len(rows) > query.limit
            del rows[query.limit :]
            return Listing([_completion(row) for row in rows], has_more, rows[-1].position if rows else None)

        return await self._run(find)

    async def retrieve(self, completion_id: str) -> ChatCompletion:
        """Return a completion.

        Raises:
            NotFoundError: There is no such one.
            StoreError: The store cannot be read.
        """
        return await self._run(lambda database: _completion(_found(database.get(completion_id), completion_id)))

    async def messages(self, completion_id: str) -> list[ChatCompletionStoreMessage]:
        """Return the conversation that a completion answers; raises as `retrieve`."""
        return await self._run(lambda database: _messages(_found(database.get(completion_id), completion_id)))

    async def update(self, completion_id: str, metadata: Mapping[str, str]) -> ChatCompletion:
        """Replace a completion's metadata; raises as `retrieve`."""
        return await self._run(
            lambda database: _completion(_found(database.update(completion_id, metadata), completion_id))
        )

    async def delete(self, completion_id: str) -> None:
        """Remove a completion; raises as `retrieve`."""

        def delete(database: Database) -> None:
            if not database.delete(completion_id):
                raise completion_not_found(completion_id)

        await self._run(delete)

    async def close(self) -> None:
        """Write what is queued and close the file. Idempotent; cancelling it lets the closing go on."""
        if self._closed:
            return
        self._closed = True
        if self._worker.is_started and not self._worker.is_forked:
            self._worker.submit(self._state.close)
            with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
                await self._worker.run(_nothing)
        self._worker.stop()

    async def _run(self, function: Callable[[Database], _T]) -> _T:
        if self._closed:
            raise ClientClosedError
        return await self._worker.run(lambda: self._state.run(function))


class _State:
    """What the worker's thread uses; it does not know the store, which may be collected before."""

    def __init__(self, path: str, limit: int, limit_bytes: int) -> None:
        self._arguments = (path, limit, limit_bytes)
        self._path = path
        self._database: Database | None = None

    @property
    def is_open(self) -> bool:
        return self._database is not None

    def run(self, function: Callable[[Database], _T]) -> _T:
        try:
            if self._database is None:
                self._database = Database(*self._arguments)
            return function(self._database)
        except sqlite3.Error as error:
            raise StoreError(self._path, str(error)) from error

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def abandon(self, worker: Worker) -> None:
        """Close in a moment; finalizers call it."""
        if worker.is_started and not worker.is_forked:
            worker.submit(self.close)
        worker.stop()


def completion_store(path: object, limit: object, limit_bytes: object) -> CompletionStore | None:
    """Return the store that a client's options ask for, `None` for none.

    Raises:
        OptionError: An option has a wrong type or value.
    """
    limits: list[int] = []
    for name, value, default in (
        ("store_limit", limit, _DEFAULT_LIMIT),
        ("store_limit_bytes", limit_bytes, _DEFAULT_LIMIT_BYTES),
    ):
        number = default if value is None else value
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63:
            raise OptionError(name, value, "an integer from 1")
        limits.append(number)
    if path is None:
        return None
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise OptionError("store", path, f"the path of a file, {MEMORY!r} or None")
    return CompletionStore(text, *limits)


def _nothing() -> None:
    pass


def _found(row: Row | None, completion_id: str) -> Row:
    if row is None:
        raise completion_not_found(completion_id)
    return row


def _completion(row: Row) -> ChatCompletion:
    return ChatCompletion.construct(**json.loads(row.body), metadata=dict(row.metadata))


def _messages(row: Row) -> list[ChatCompletionStoreMessage]:
    result: list[ChatCompletionStoreMessage] = []
    for index, message in enumerate(json.loads(row.messages)):
        content = message.get("content")
        is_text = content is None or isinstance(content, str)
        message["content"] = content if is_text else None
        message["content_parts"] = None if is_text else content
        result.append(ChatCompletionStoreMessage.construct(id=f"{row.id}-{index}", **message))
    return result
