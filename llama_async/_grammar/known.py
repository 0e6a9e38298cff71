"""What became of the schemas that came last. Imports nothing heavy: whoever asks is the event loop."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any

from llama_async._errors import OpenAIError, bad_request, shown

__all__ = [
    "ANSWER",
    "ANY_OBJECT",
    "LENIENT",
    "STRICT",
    "Outcomes",
    "is_compiled",
    "is_large",
    "outcomes",
    "schema_text",
]

_MAX_BYTES = 1 << 18
_MAX_CACHED_BYTES = 1 << 24
_LARGE = 1000  # values, or as many times 64 characters: 1 ms

ANY_OBJECT: Mapping[str, Any] = MappingProxyType({"type": "object"})


def schema_text(schema: object, param: str) -> str:
    """Return a schema as JSON, by which it is known.

    Args:
        schema: Any JSON schema.
        param: The parameter it came with, for the error.

    Raises:
        BadRequestError: It is no object, not JSON or too large.
    """
    if not isinstance(schema, Mapping):
        raise bad_request(param, f"{param} has the schema {shown(schema)}, but a schema must be an object")
    try:
        text = json.dumps(dict(schema), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise bad_request(param, f"{param} has a schema that is not JSON") from None
    if len(text) > _MAX_BYTES:
        raise bad_request(param, f"{param} has a schema of {len(text)} bytes, but at most {_MAX_BYTES} are supported")
    return text


class Outcomes:
    """What was made of schemas, or why nothing was, which takes as long to find. Any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_key: OrderedDict[tuple[str, str], tuple[object, int]] = OrderedDict()
        self._n_bytes = 0

    def get(self, kind: str, text: str) -> object:
        """Return what was made of a schema, `None` if it is not known."""
        with self._lock:
            found = self._by_key.get((kind, text))
            if found is None:
                return None
            self._by_key.move_to_end((kind, text))
            return found[0]

    def put(self, kind: str, text: str, outcome: object, size_bytes: int) -> None:
        """Keep what was made of a schema, and forget those that were not asked for longest."""
        with self._lock:
            if (kind, text) not in self._by_key:
                size_bytes += len(text) + 500
                self._by_key[kind, text] = outcome, size_bytes
                self._n_bytes += size_bytes
            while self._n_bytes > _MAX_CACHED_BYTES:
                self._n_bytes -= self._by_key.popitem(last=False)[1][1]


outcomes = Outcomes()

# Of an answer; of the arguments of a function whose schema is enforced, and as far as it can be.
ANSWER, STRICT, LENIENT = "answer", "strict", "lenient"


def is_compiled(schema: object, kind: str = ANSWER) -> bool:
    """Whether what is made of a schema needs only to be looked up, or the schema is refused at once."""
    try:
        return outcomes.get(kind, schema_text(schema, "schema")) is not None
    except OpenAIError:
        return True


def is_large(value: object) -> bool:
    """Whether reading a value of JSON takes long. Looks at a bounded part of it."""
    left = _LARGE
    todo = [value]
    while todo:
        item = todo.pop()
        left -= 1
        if isinstance(item, str):
            left -= len(item) >> 6
        elif isinstance(item, (list, tuple, Mapping)):
            if len(item) > left:
                return True
            todo += item.values() if isinstance(item, Mapping) else item
        if left < 0:
            return True
    return False
