"""One request's buffer between the drain and its consumer.

Deltas of a choice that nobody fetched yet are merged, so a consumer that lags gets fewer, longer ones, and memory stays
bounded by the answer's length. Closing cancels, in every way there is: `cancel`, a cancelled task, a collected stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._abi import Finish, Predicted, Status
from ._errors import OpenAIError, StreamClosedError, error_from_status
from ._pump import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._pump import Pump

__all__ = ["Answer", "CallDelta", "Delta", "End", "Generation"]

_NONE = int(Finish.NONE)
_OK = int(Status.OK)


class CallDelta:
    """What one tool call gained; its id and name come once."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int, call_id: str, name: str, arguments: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.arguments = arguments


class Delta:
    """What one choice gained: text, reasoning, tool calls; and its finish reason once it ended."""

    __slots__ = ("calls", "choice", "finish", "logprobs", "n_tokens", "reasoning", "texts")

    def __init__(self, choice: int, text: str, logprobs: bytes, finish: int, n_tokens: int) -> None:
        self.choice = choice
        self.texts = [text]
        self.logprobs = [logprobs] if logprobs else []
        self.finish = finish
        self.n_tokens = n_tokens
        self.reasoning = ""
        self.calls: dict[int, CallDelta] = {}

    @property
    def text(self) -> str:
        """All of its text."""
        texts = self.texts
        return texts[0] if len(texts) == 1 else "".join(texts)

    @property
    def is_text(self) -> bool:
        """Whether it is text and nothing else."""
        return not (self.finish or self.logprobs or self.calls or self.reasoning)


class End(NamedTuple):
    """How a request ended."""

    status: int
    message: str = ""
    param: str = ""
    n_prompt: int = 0
    n_cached: int = 0
    n_generated: int = 0
    prompt_ms: float = 0.0
    decode_ms: float = 0.0
    n_reasoning: int = 0
    predicted: Predicted | None = None


class Answer(Source):
    """What one task reads while it comes: a generation, or several of them as one. Leaving it by an exception ends it.

    Args:
        pump: Where its consumer waits.
    """

    __slots__ = ("_awaited", "pump", "sink")

    def __init__(self, pump: Pump) -> None:
        super().__init__()
        self.pump = pump
        self._awaited = False
        # Takes choice and text where a waiting consumer would do no more with them than that: no task is woken for it.
        # What it does not take, by returning False, is kept for the consumer, who is woken.
        self.sink: Callable[[int, str], bool] | None = None

    def cancel(self) -> None:
        """Stop it."""
        raise NotImplementedError

    def take_text(self) -> Delta | None:
        """Return what comes next if it is there and is text and nothing else; `None` leaves it to `next`."""
        return None

    async def wait(self, sink: Callable[[int, str], bool] | None = None) -> None:
        """Return when `next` would not wait, or earlier. Cancelling the calling task cancels the request.

        Args:
            sink: May be called meanwhile with choice and text of what comes and is nothing else; returns whether it
                took it. Must not raise.
        """
        if self._awaited:
            raise RuntimeError("another task is already waiting for this answer")
        self._awaited = True
        self.sink = sink
        try:
            await self.pump.wait(self)
        except BaseException:
            self.cancel()
            raise
        finally:
            self._awaited = False
            self.sink = None


class Generation(Answer):
    """The answer to one request, while it comes.

    Args:
        pump: Where its consumer waits.
        streaming: Whether the consumer wants deltas as they come, rather than to be woken once at the end.
    """

    __slots__ = ("_cancel_native", "_pending", "_streaming", "closed", "end", "n_handed_out")

    def __init__(self, pump: Pump, *, streaming: bool) -> None:
        super().__init__(pump)
        self._streaming = streaming
        self._pending: dict[int, Delta] = {}
        self._cancel_native: Callable[[], None] | None = None
        self.closed = False
        self.end: End | None = None
        self.n_handed_out = 0

    @property
    def has_news(self) -> bool:
        """Whether `take` has something for a consumer that does not want to be woken once only."""
        return self._streaming and bool(self._pending)

    def started(self, cancel_native: Callable[[], None]) -> None:
        """Note how to cancel it, now that the engine has accepted it."""
        self._cancel_native = cancel_native

    # -- the drain's side

    def push(self, choice: int, text: str, logprobs: bytes, finish: int, n_tokens: int) -> None:
        """Take a delta."""
        if self.closed:
            return
        pending = self._pending.get(choice)
        if pending is None:
            if self.sink is not None and text and not (finish or logprobs or self._pending) and self.sink(choice, text):
                self.n_handed_out += 1
                return
            self._pending[choice] = Delta(choice, text, logprobs, finish, n_tokens)
        else:
            pending.texts.append(text)
            pending.n_tokens += n_tokens
            if logprobs:
                pending.logprobs.append(logprobs)
            if finish != _NONE:
                pending.finish = finish
        if self._streaming:
            self.wake()

    def push_reasoning(self, choice: int, text: str, n_tokens: int) -> None:
        """Take more of what the model thinks."""
        self.push(choice, "", b"", _NONE, n_tokens)
        if not self.closed:
            self._pending[choice].reasoning += text

    def push_call(self, choice: int, index: int, head: bytes, arguments: str, n_tokens: int) -> None:
        """Take more of a tool call: its arguments, and with the first of them `head`, id and name."""
        self.push(choice, "", b"", _NONE, n_tokens)
        if self.closed:
            return
        calls = self._pending[choice].calls
        call_id, _, name = head.decode("utf-8", "replace").partition("\0")
        if index in calls:
            calls[index].arguments += arguments
        else:
            calls[index] = CallDelta(index, call_id, name, arguments)

    def finish(self, end: End) -> None:
        """Take the end; nothing follows it."""
        self.end = end
        self._cancel_native = None
        self.wake()

    # -- the consumer's side

    def ready(self) -> bool:
        """Whether there is something to fetch."""
        return self.end is not None or self.closed or (self._streaming and bool(self._pending))

    async def wait_first(self) -> None:
        """Return when the first delta is there. Raises as `next` does; what it found stays to be fetched."""
        while not self._pending:
            if self.end is not None or self.closed:
                self._raise_unless_ok()
                return
            await self.wait()

    async def next(self) -> Delta | None:
        """Return what came since the last call, `None` after the end.

        Cancelling the calling task cancels the request.

        Raises:
            APIError: The request failed; this class itself once something was handed out.
            APITimeoutError: It was silent for longer than its timeout.
            ClientClosedError: The client was closed.
            StreamClosedError: `cancel` was called.
            RuntimeError: Another task is waiting for the same.
        """
        while True:
            delta = self.take()
            if delta is not None:
                self.n_handed_out += 1
                return delta
            if self.end is not None or self.closed:
                self._raise_unless_ok()
                return None
            await self.wait()

    def take(self) -> Delta | None:
        """Return what of one choice is there, `None` if nothing is."""
        pending = self._pending
        # First come, first served among the choices.
        return pending.pop(next(iter(pending))) if pending else None

    def take_text(self) -> Delta | None:
        """Return what comes next if it is there and is text and nothing else; `None` leaves it to `next`."""
        pending = self._pending
        for choice, delta in pending.items():
            if not delta.is_text:
                return None
            del pending[choice]
            self.n_handed_out += 1
            return delta
        return None

    async def collect(self) -> list[Delta]:
        """Return one delta per choice when the request has ended. Raises and is cancelled as `next`."""
        while self.end is None and not self.closed:
            await self.wait()
        self._raise_unless_ok()
        deltas = list(self._pending.values())
        self._pending.clear()
        return deltas

    def cancel(self) -> None:
        """Stop the request; what it generated and nobody fetched is dropped. Never blocks; finalizers call it."""
        if self.closed or self.end is not None:
            return
        self.closed = True
        self._pending.clear()
        if self._cancel_native is not None:
            self._cancel_native()
        self.wake()

    def error(self) -> OpenAIError | None:
        """Return why it failed, `None` if it did not."""
        if self.end is None:
            return StreamClosedError() if self.closed else None
        if self.end.status == _OK:
            return None
        if self.closed:
            return StreamClosedError()
        return error_from_status(
            self.end.status, self.end.message, self.end.param, mid_stream=self._streaming and self.n_handed_out > 0
        )

    def _raise_unless_ok(self) -> None:
        error = self.error()
        if error is not None:
            raise error
