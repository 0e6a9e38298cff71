"""A checked request -> a generation: load the model, encode a long prompt elsewhere, submit, all within one timeout."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio

from ._abi import RequestFlag
from ._errors import APITimeoutError
from ._parameters import NO_BIAS
from ._request import chat_request, takes_long
from ._threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ._abi import Request, Segment
    from ._engine import Engine
    from ._generation import Generation
    from ._model import Model
    from ._parameters import LogitBias
    from ._request import ChatRequest

__all__ = ["Prompt", "checked", "submit", "submit_all", "within"]

_T = TypeVar("_T")

# A longer prompt is encoded in a worker thread: 1 MB takes 2 ms (measured).
_ENCODE_HERE_CHARS = 1 << 20


class Prompt(Protocol):
    """What a request asks about, not yet encoded."""

    @property
    def n_chars(self) -> int:
        """About how long it is."""

    def encode(self) -> tuple[Segment, ...]:
        """Return the segments. Called in any thread."""


async def checked(model: str, parameters: Mapping[str, object]) -> ChatRequest:
    """Check the parameters of a chat completion as `chat_request` does, in a worker thread if that takes long."""
    if takes_long(parameters):
        return await run_in_thread(lambda: chat_request(model, parameters))
    return chat_request(model, parameters)


async def submit(
    model: Model, request: Request, prompt: Prompt, timeout_s: float | None, *, bias: LogitBias = NO_BIAS
) -> tuple[Engine, Generation]:
    """Load the model if need be and hand it a request.

    Args:
        model: Where to.
        request: All but its segments, its logit bias and its timeout.
        prompt: The segments to be.
        timeout_s: Seconds the answer may take or, when streaming, the engine may stay silent. Loading counts.
        bias: The logit bias.

    Raises:
        BadRequestError: The prompt or the logit bias cannot be encoded.
        APITimeoutError: The timeout passed already.
        OpenAIError: The model cannot be loaded, or the request is not accepted.
    """
    engine, [generation] = await submit_all(model, request, lambda _engine: [prompt], timeout_s, bias=bias)
    return engine, generation


async def submit_all(
    model: Model,
    request: Request,
    make_prompts: Callable[[Engine], Sequence[Prompt]],
    timeout_s: float | None,
    *,
    bias: LogitBias = NO_BIAS,
) -> tuple[Engine, list[Generation]]:
    """Do as `submit` with several requests that differ in their prompts: all are accepted, or none.

    Args:
        model: Where to.
        request: What they have in common.
        make_prompts: Called with the loaded engine.
        timeout_s: As for one.
        bias: The logit bias.
    """
    started = time.monotonic()
    if timeout_s is not None and timeout_s <= 0:
        raise APITimeoutError(None)
    engine = await _acquire(model, timeout_s)
    # No await between the two: what is not held may be unloaded to make room for another model.
    with engine.held():
        prompts = make_prompts(engine)
        if sum(prompt.n_chars for prompt in prompts) <= _ENCODE_HERE_CHARS and not bias.is_long:
            encoded, biases = [prompt.encode() for prompt in prompts], bias.encode()
        else:
            encoded, biases = await run_in_thread(lambda: ([prompt.encode() for prompt in prompts], bias.encode()))
        if timeout_s is None:
            silence_s = 0.0
        elif RequestFlag.STREAM in request.flags:
            silence_s = timeout_s
        else:
            silence_s = max(timeout_s - (time.monotonic() - started), 1e-3)
        request = replace(request, logit_bias=biases, timeout_s=silence_s)
        generations: list[Generation] = []
        try:
            for segments in encoded:
                generations.append(engine.submit(replace(request, segments=segments)))  # noqa: PERF401 (some may be made)
        except BaseException:
            for generation in generations:
                generation.cancel()
            raise
    return engine, generations


async def _acquire(model: Model, timeout_s: float | None) -> Engine:
    if timeout_s is None or model.is_available:
        return await model.acquire()
    return await within(timeout_s, model.acquire)


async def within(timeout_s: float | None, work: Callable[[], Awaitable[_T]]) -> _T:
    """Return what the work returns, or raise APITimeoutError once so many seconds passed; `None`: no limit."""
    try:
        with anyio.fail_after(timeout_s):
            return await work()
    except TimeoutError:
        raise APITimeoutError(None) from None
