"""The SQLite file, or memory, behind a store of completions: its tables, bounds and queries.

One connection, used by one thread at a time; blocks, so never in an event loop. Several processes may work on one file:
each write is a transaction of its own, and waits up to five seconds for another's. Knows rows, not result types.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Database", "NotOurDatabaseError", "Position", "Query", "Row"]

_BUSY_TIMEOUT_S = 5.0
# "llac"; stands in the file's header, as `file` and others who look at it show.
_APPLICATION_ID = 0x6C6C6163
_VERSION = 1

_SCHEMA = """
CREATE TABLE completion (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    model TEXT NOT NULL,
    metadata TEXT NOT NULL,
    body TEXT NOT NULL,
    messages TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX completion_by_time ON completion (created, seq);
CREATE TABLE metadata (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    seq INTEGER NOT NULL REFERENCES completion (seq) ON DELETE CASCADE,
    PRIMARY KEY (key, value, seq)
) WITHOUT ROWID;
CREATE INDEX metadata_by_completion ON metadata (seq);
CREATE TABLE total (n INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER completion_added AFTER INSERT ON completion
    BEGIN UPDATE total SET n = n + 1, size = size + new.size; END;
CREATE TRIGGER completion_removed AFTER DELETE ON completion
    BEGIN UPDATE total SET n = n - 1, size = size - old.size; END;
CREATE TRIGGER completion_changed AFTER UPDATE OF size ON completion
    BEGIN UPDATE total SET size = size + new.size - old.size; END;
"""


class NotOurDatabaseError(sqlite3.DatabaseError):
    """The file is another program's database, or of a later version of this one."""


class Position(NamedTuple):
    """A completion's place in the order of the store, which outlives the completion."""

    created: int
    seq: int


@dataclass(frozen=True, slots=True)
class Row:
    """A stored completion.

    Attributes:
        id: Its id.
        created: Unix time in seconds.
        model: The name it was asked by.
        metadata: The user's.
        body: The answer, JSON.
        messages: The conversation it answers, JSON.
        seq: Set by the database.
    """

    id: str
    created: int
    model: str
    metadata: Mapping[str, str]
    body: str
    messages: str
    seq: int = 0

    @property
    def position(self) -> Position:
        """Its place in the order."""
        return Position(self.created, self.seq)

    @property
    def size_bytes(self) -> int:
        """What it counts towards the limit, about what it takes in the file."""
        return len(self.body.encode()) + len(self.messages.encode()) + len(_json(self.metadata).encode())


@dataclass(frozen=True, slots=True)
class Query:
    """Which completions to list.

    Attributes:
        limit: At most so many.
        model: Only answers of this model.
        metadata: Only those with each of these pairs.
        descending: Newest first.
    """

    limit: int
    model: str | None = None
    metadata: Mapping[str, str] | None = None
    descending: bool = False


class Database:
    """An open store.

    Args:
        path: A file, made unless it is there, or `":memory:"`.
        limit: Completions it holds; the oldest go first.
        limit_bytes: Bytes of completions it holds; the oldest go first.

    Raises:
        sqlite3.Error: It cannot be opened or made.
    """

    def __init__(self, path: str, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        # Transactions are begun by hand: what `sqlite3` begins by itself does not take the write lock at once, and then
        # cannot wait for it.
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA foreign_keys = ON")
        self._check_owner()
        # Readers and a writer at once; where the file system cannot, SQLite keeps its ordinary journal.
        connection.execute("PRAGMA journal_mode = WAL")
        # A crash of the process loses nothing, one of the machine perhaps the last few answers.
        connection.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            # Another process may have made the tables meanwhile.
            if self._check_owner():
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _check_owner(self) -> bool:
        """Return whether the file is empty; raise if it is no store of ours."""
        connection = self._connection
        (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if n_tables == 0:
            return True
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise NotOurDatabaseError("the file is another program's database")
        if version != _VERSION:
            raise NotOurDatabaseError(f"the file has format {version}, but this version reads format {_VERSION}")
        return False

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def put(self, row: Row) -> bool:
        """Store a completion, in place of one with the same id.

        Returns:
            Whether it is stored: one that is larger than the whole store is not.
        """
        size = row.size_bytes
        if size > self._limit_bytes:
            return False
        with self._transaction() as connection:
            values = (row.id, row.created, row.model, _json(row.metadata), row.body, row.messages, size)
            connection.execute(
                "INSERT INTO completion (id, created, model, metadata, body, messages, size) VALUES (?,?,?,?,?,?,?) "
                "ON CONFLICT (id) DO UPDATE SET metadata=excluded.metadata, body=excluded.body,"
                " messages=excluded.messages, size=excluded.size",
                values,
            )
            # Not lastrowid, which an update leaves as it was.
            (seq,) = connection.execute("SELECT seq FROM completion WHERE id = ?", (row.id,)).fetchone()
            self._set_metadata(seq, row.metadata)
            self._evict()
        return True

    def _evict(self) -> None:
        connection = self._connection
        while True:
            n, size = connection.execute("SELECT n, size FROM total").fetchone()
            if n <= self._limit and size <= self._limit_bytes:
                return
            connection.execute(
                "DELETE FROM completion WHERE seq = (SELECT seq FROM completion ORDER BY created, seq LIMIT 1)"
            )

    def get(self, completion_id: str) -> Row | None:
        """Return a completion, `None` if there is no such one."""
        for row in self._select("WHERE id = ?", (completion_id,)):
            return row
        return None

    def find(self, query: Query, after: Position | None) -> list[Row]:
        """Return completions in order of time.

        Args:
            query: Which.
            after: Begin behind this place.
        """
        conditions: list[str] = []
        values: list[object] = []
        if query.model is not None:
            conditions.append("model = ?")
            values.append(query.model)
        if after is not None:
            conditions.append(f"(created, seq) {'<' if query.descending else '>'} (?, ?)")
            values += after
        for key, value in (query.metadata or {}).items():
            conditions.append("seq IN (SELECT seq FROM metadata WHERE key = ? AND value = ?)")
            values += (key, value)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if query.descending else "ASC"
        values.append(query.limit)
        return self._select(f"{where} ORDER BY created {order}, seq {order} LIMIT ?", values)

    def update(self, completion_id: str, metadata: Mapping[str, str]) -> Row | None:
        """Replace a completion's metadata and return it, `None` if there is no such one."""
        with self._transaction() as connection:
            row = self.get(completion_id)
            if row is None:
                return None
            row = replace(row, metadata=metadata)
            values = (_json(metadata), row.size_bytes, row.seq)
            connection.execute("UPDATE completion SET metadata = ?, size = ? WHERE seq = ?", values)
            self._set_metadata(row.seq, metadata)
            return row

    def delete(self, completion_id: str) -> bool:
        """Remove a completion; return whether it was there."""
        with self._transaction() as connection:
            return connection.execute("DELETE FROM completion WHERE id = ?", (completion_id,)).rowcount > 0

    def _set_metadata(self, seq: int, metadata: Mapping[str, str]) -> None:
        self._connection.execute("DELETE FROM metadata WHERE seq = ?", (seq,))
        self._connection.executemany(
            "INSERT INTO metadata (key, value, seq) VALUES (?, ?, ?)",
            [(key, value, seq) for key, value in metadata.items()],
        )

    def _select(self, rest: str, values: tuple[object, ...] | list[object]) -> list[Row]:
        # What is put into the statement is written here; what users gave is bound.
        statement = f"SELECT id, created, model, metadata, body, messages, seq FROM completion {rest}"  # noqa: S608
        return [
            Row(id_, created, model, json.loads(metadata), body, messages, seq)
            for id_, created, model, metadata, body, messages, seq in self._connection.execute(statement, values)
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself where the disk was full.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; `executescript` would commit the transaction that is open."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
