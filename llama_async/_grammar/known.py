"""What became of the schemas that came last. Imports nothing heavy: whoever asks is the event loop."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llama_async._errors import OpenAIError, bad_request, shown

if TYPE_CHECKING:
    from .values import Refused

__all__ = ["ANY_OBJECT", "Outcomes", "is_compiled", "outcomes", "schema_text"]

_MAX_BYTES = 1 << 18
_MAX_CACHED_BYTES = 1 << 24

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
    """The grammars of schemas, or why they have none, which takes as long to find. Any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_text: OrderedDict[str, str | Refused] = OrderedDict()
        self._n_bytes = 0

    def get(self, text: str) -> str | Refused | None:
        """Return what became of a schema, `None` if it is not known."""
        with self._lock:
            if text in self._by_text:
                self._by_text.move_to_end(text)
            return self._by_text.get(text)

    def put(self, text: str, outcome: str | Refused) -> None:
        """Keep what became of a schema, and forget those that were not asked for longest."""
        with self._lock:
            if text not in self._by_text:
                self._by_text[text] = outcome
                self._n_bytes += _size(text, outcome)
            while self._n_bytes > _MAX_CACHED_BYTES:
                self._n_bytes -= _size(*self._by_text.popitem(last=False))


def _size(text: str, outcome: str | Refused) -> int:
    return len(text) + (len(outcome) if isinstance(outcome, str) else 0) + 500


outcomes = Outcomes()


def is_compiled(schema: object) -> bool:
    """Whether a schema's grammar needs only to be looked up, or the schema is refused at once."""
    try:
        return outcomes.get(schema_text(schema, "schema")) is not None
    except OpenAIError:
        return True
