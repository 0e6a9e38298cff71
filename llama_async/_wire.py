"""How results look to whoever expects HTTP: JSON bodies, server-sent events, error replies.

Knows neither resources nor transports; raw responses, the in-process transport and a server share it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ._errors import APIError, OpenAIError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from ._models import BaseModel

__all__ = ["error_object", "event_stream", "json_body"]


def json_body(result: BaseModel) -> bytes:
    """Return the JSON of a result, one line, without what was never set."""
    return result.to_json(indent=None).encode()


async def event_stream(parts: AsyncIterable[BaseModel]) -> AsyncIterator[bytes]:
    """Yield each part as one server-sent event, and `[DONE]` at the end.

    An error in the middle becomes an event that holds it and ends the stream: the head was sent, so there is no other
    place for it.
    """
    try:
        async for part in parts:
            yield b"data: " + json_body(part) + b"\n\n"
    except OpenAIError as error:
        yield b"data: " + json.dumps({"error": error_object(error)}).encode() + b"\n\n"
        return
    yield b"data: [DONE]\n\n"


def error_object(error: OpenAIError) -> dict[str, object]:
    """Return the `error` object of an error's reply."""
    if isinstance(error, APIError):
        if isinstance(error.body, dict):
            return error.body
        return {"message": error.message, "type": "server_error", "param": error.param, "code": error.code}
    return {"message": str(error), "type": "server_error", "param": getattr(error, "param", None), "code": None}
