"""Texts, tokens and rendered conversations: what the engine tells of a model's vocabulary and template."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from ._abi import Request, Segment, SegmentFlag, SegmentKind, Task
from ._inputs import encode_tokens, text_segment
from ._submit import submit
from ._threads import run_in_thread

if TYPE_CHECKING:
    from ._engine import Engine
    from ._messages import ChatPrompt
    from ._model import Model

__all__ = ["detokenize", "detokenize_segments", "n_tokens", "render", "tokenize"]

# A list of so many integers is made in a millisecond; a longer one elsewhere, in pieces.
_TOKENS_HERE = 1 << 16
_INT_BYTES = array("i").itemsize


class _Texts:
    """Texts to tokenize."""

    def __init__(self, texts: list[str], places: list[str], flags: SegmentFlag) -> None:
        self._texts = texts
        self._places = places
        self._flags = flags
        self.n_chars = sum(map(len, texts)) + len(texts)

    def encode(self) -> tuple[Segment, ...]:
        return tuple(
            text_segment(text, place, self._flags) for text, place in zip(self._texts, self._places, strict=True)
        )


class _TokenLists:
    """Lists of token ids to turn into text."""

    def __init__(self, lists: list[Any], places: list[str]) -> None:
        self._lists = lists
        self._places = places
        self.n_chars = sum(map(len, lists)) + len(lists)

    def encode(self) -> tuple[Segment, ...]:
        return tuple(
            Segment(SegmentKind.TOKENS, encode_tokens(entry, place))
            for entry, place in zip(self._lists, self._places, strict=True)
        )


async def tokenize(
    model: Model, texts: list[str], places: list[str], flags: SegmentFlag, timeout_s: float | None
) -> list[list[int]]:
    """Return the tokens of each text."""
    _, generation = await submit(model, Request((), task=Task.TOKENIZE), _Texts(texts, places, flags), timeout_s)
    found = {delta.choice: b"".join(delta.logprobs) for delta in await generation.collect()}
    packed = [found[index] for index in range(len(texts))]
    if sum(map(len, packed)) <= _TOKENS_HERE * _INT_BYTES:
        return [_integers(data) for data in packed]
    return await run_in_thread(lambda: [_integers(data) for data in packed])


def _integers(data: bytes) -> list[int]:
    step = _TOKENS_HERE * _INT_BYTES
    result: list[int] = []
    for start in range(0, len(data), step):
        result += array("i", data[start : start + step])
    return result


async def n_tokens(model: Model, text: str, flags: SegmentFlag, timeout_s: float | None) -> int:
    """Return how many tokens a text has."""
    _, generation = await submit(model, Request((), task=Task.TOKENIZE), _Texts([text], ["text"], flags), timeout_s)
    await generation.collect()
    assert generation.end is not None
    return generation.end.n_prompt


async def detokenize(model: Model, lists: list[Any], places: list[str], timeout_s: float | None) -> list[str]:
    """Return the text of each list of token ids."""
    request = Request((), task=Task.DETOKENIZE)
    _, generation = await submit(model, request, _TokenLists(lists, places), timeout_s)
    found = {delta.choice: delta.text for delta in await generation.collect()}
    return [found[index] for index in range(len(lists))]


async def detokenize_segments(engine: Engine, segments: list[bytes], timeout_s: float | None) -> list[str]:
    """Do as `detokenize` with the data of segments and an engine that is loaded."""
    request = Request(
        tuple(Segment(SegmentKind.TOKENS, data) for data in segments), task=Task.DETOKENIZE, timeout_s=timeout_s or 0.0
    )
    found = {delta.choice: delta.text for delta in await engine.submit(request).collect()}
    return [found[index] for index in range(len(segments))]


async def render(model: Model, prompt: ChatPrompt, timeout_s: float | None) -> tuple[str, int]:
    """Return a conversation as the model's template renders it, and how many tokens that is."""
    _, generation = await submit(model, Request((), task=Task.RENDER), prompt, timeout_s)
    [delta] = await generation.collect()
    return delta.text, delta.n_tokens
