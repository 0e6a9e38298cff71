"""How results look to whoever expects HTTP: JSON bodies, server-sent events, error replies.

Knows neither resources nor transports; raw responses, the in-process transport and a server share it.
"""

from __future__ import annotations

import json
import os
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ._errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    OpenAIError,
    new_request_id,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ._models import BaseModel

__all__ = ["ErrorReply", "EventStream", "error_event", "error_object", "error_reply", "json_body"]

_DONE = b"data: [DONE]\n\n"
# Stands for the text of a chunk that is made only to see what stands around it. Nobody can guess it, so that nobody's
# model name holds it.
_MARK = os.urandom(16).hex()
_KEPT_HEADERS = ("allow", "retry-after", "www-authenticate", "x-request-id")


class _Parts(Protocol):
    """What an EventStream reads: a stream of chunks."""

    async def __anext__(self) -> BaseModel: ...

    def _close(self) -> None: ...

    def _has_next(self) -> bool: ...

    async def _wait(self, sink: Callable[[int, str], bool] | None = None) -> None: ...

    def _take_text(self) -> tuple[int, str] | None: ...

    def _text_part(self, choice: int, text: str) -> BaseModel: ...


class EventStream:
    """The parts of an answer as server-sent events, `[DONE]` at the end; closing it ends the request.

    An error in the middle becomes an event that holds it, and the last one: the head was sent, so there is no other
    place for it. Errors of the connection (a timeout, a closed client) are raised instead: what becomes of them is for
    whoever owns the connection to say.

    Most parts are a piece of text of one choice. They differ in nothing else, so of each choice one is made, and of the
    others only the text: a sixth of the time that a chunk and its JSON take.
    """

    # A class for the reason that `AsyncStream` is one: leaving it early needs no clean-up by the event loop.
    __slots__ = ("_ended", "_error", "_frames", "_parts")

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._ended = False
        # Of each choice: what stands before the text of its events, and behind.
        self._frames: dict[int, tuple[bytes, bytes]] = {}
        # Found by `batch` behind events that it returned.
        self._error: APIConnectionError | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next event.

        Raises:
            StopAsyncIteration: There is none.
            APIConnectionError: The answer broke off by a timeout, or since the client was closed.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._ended:
            raise StopAsyncIteration
        parts = self._parts
        try:
            if not parts._has_next():  # noqa: SLF001 (as in `cancel`)
                await parts._wait()  # noqa: SLF001
            taken = parts._take_text()  # noqa: SLF001
            if taken is not None:
                return self._text_event(*taken)
            part = await parts.__anext__()
        except StopAsyncIteration:
            self._ended = True
            return _DONE
        except APIConnectionError:
            self._ended = True
            raise
        except OpenAIError as error:
            self._ended = True
            return error_event(error)
        return _event(json_body(part))

    def _text_event(self, choice: int, text: str) -> bytes:
        frame = self._frames.get(choice)
        if frame is None:
            part = self._parts._text_part(choice, _MARK)  # noqa: SLF001 (as in `cancel`)
            before, _, after = _event(json_body(part)).partition(f'"{_MARK}"'.encode())
            frame = self._frames[choice] = before, after
        before, after = frame
        return before + encode_basestring(text).encode() + after

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to read."""
        return self._ended and self._error is None

    async def batch(self, write: Callable[[bytes], bool] | None = None) -> bytes:
        """Return the next event and all that can be had without waiting: what one write should hold.

        Raises as `__anext__`; what was read before is returned first.

        Args:
            write: Called with events that come while this waits, in their order; returns whether it wrote them. Those
                that it did not are returned. Called by whoever brings them, and must neither wait nor raise.
        """
        if write is not None and self._error is None and not self._ended:
            await self._parts._wait(lambda choice, text: write(self._text_event(choice, text)))  # noqa: SLF001
        events = await self.__anext__()
        while not self._ended and self._error is None and self._parts._has_next():  # noqa: SLF001 (as in `cancel`)
            try:
                events += await self.__anext__()
            except APIConnectionError as error:
                self._error = error
        return events

    async def aclose(self) -> None:
        """End the request, if it has not ended."""
        self.cancel()

    def cancel(self) -> None:
        """Do as `aclose`. Never blocks; only in the event loop's thread."""
        self._ended = True
        self._parts._close()  # noqa: SLF001 (a stream and its events are one)


class ErrorReply(NamedTuple):
    """The reply that tells of an error."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes


def json_body(result: BaseModel) -> bytes:
    """Return the JSON of a result, one line, without what was never set."""
    # Without warnings: an embedding in base64 is text where the type has numbers, by the reference's own contract.
    return result.to_json(indent=None, warnings=False).encode()


def error_object(error: OpenAIError) -> dict[str, object]:
    """Return the `error` object of an error's reply."""
    if isinstance(error, APIError):
        if isinstance(error.body, dict):
            return error.body
        return {"message": error.message, "type": "server_error", "param": error.param, "code": error.code}
    return {"message": str(error), "type": "server_error", "param": getattr(error, "param", None), "code": None}


def error_event(error: OpenAIError) -> bytes:
    """Return the server-sent event that tells of an error in the middle of an answer."""
    return _event(_error_json(error))


def error_reply(error: OpenAIError) -> ErrorReply:
    """Return the reply for an error before anything was sent.

    Of the faults that are not the request's own, only those that pass by themselves invite another try: a full queue,
    a model that is not ready, a timeout, a client about to be closed. openai's clients retry all of them otherwise, and
    what failed in this process fails again.
    """
    headers = {"content-type": "application/json"}
    if isinstance(error, APIStatusError):
        status_code = error.status_code
        given = error._response.headers  # noqa: SLF001 (`response` would make an httpx.Response of it)
        headers |= {name: given[name] for name in _KEPT_HEADERS if name in given}
    elif isinstance(error, APITimeoutError):
        status_code = 504
    elif isinstance(error, ClientClosedError):
        status_code = 503
    else:
        status_code = 500
    if status_code == 500:
        headers["x-should-retry"] = "false"
    headers.setdefault("x-request-id", new_request_id())
    return ErrorReply(status_code, headers, _error_json(error))


def _event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


def _error_json(error: OpenAIError) -> bytes:
    return json.dumps({"error": error_object(error)}).encode()
