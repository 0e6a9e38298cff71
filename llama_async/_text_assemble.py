"""Deltas -> text completions, streamed and whole. Built without validation, as in `_assemble`."""

from __future__ import annotations

import codecs
import math
import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ._abi import Finish, TokenLogprob, parse_logprobs
from ._assemble import usage_of
from ._errors import new_request_id
from ._generation import Delta, End
from ._models import add_request_id, make_builder
from .types.completion import Completion
from .types.completion_choice import CompletionChoice, Logprobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["TextAssembler"]

_FINISH_REASONS: Mapping[int, str] = {Finish.STOP: "stop", Finish.LENGTH: "length"}


class _Builders(NamedTuple):
    choice: Any
    logprobs: Any


@lru_cache(maxsize=1)
def _builders() -> _Builders:
    return _Builders(choice=make_builder(CompletionChoice), logprobs=make_builder(Logprobs))


class _Offsets:
    """Where each token begins in a text, in characters.

    A token that holds the rest of a character begins where that character does. A control token, which has a name but
    no place in a generated text, begins where the next one does.

    Args:
        start: Characters before the text.
    """

    def __init__(self, start: int) -> None:
        self._at = start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""  # of the text, behind the last token
        self._n_ahead = 0  # characters of tokens that came before their text

    def add(self, text: str, entries: Iterable[TokenLogprob]) -> list[int]:
        """Return the offsets of the tokens of a part of the text.

        Args:
            text: The part. A token's text may be cut by a stop string or come later than its entry.
            entries: The tokens.
        """
        self._rest += text[self._n_ahead :]
        self._n_ahead = max(0, self._n_ahead - len(text))
        offsets = []
        for entry in entries:
            offsets.append(self._at)
            piece = self._decoder.decode(entry.text)
            # A vocabulary of the SentencePiece kind begins a text with a blank that is none of the text's own.
            taken = next((form for form in (piece, piece[1:]) if self._rest.startswith(form)), None)
            if taken is not None and (taken is piece or piece[:1] == " "):
                self._at += len(taken)
                self._rest = self._rest[len(taken) :]
            elif piece.startswith(self._rest):
                self._at += len(piece)
                self._n_ahead += len(piece) - len(self._rest)
                self._rest = ""
        return offsets


class TextAssembler:
    """Builds the results of one text completion request.

    Args:
        model: The name asked for.
        fingerprint: What build and model answer.
        echo: What each prompt's answers begin with; `None`: nothing is repeated.
        n: Answers to return for each prompt.
        n_choices: Answers generated for each prompt.
        logprobs: Alternatives to return at each token, `None` for no log probabilities.
        include_usage: Whether a stream ends with a chunk of usage.
    """

    path = "completions"

    def __init__(
        self,
        *,
        model: str,
        fingerprint: str | None,
        echo: Sequence[str] | None,
        n_prompts: int,
        n: int,
        n_choices: int,
        logprobs: int | None,
        include_usage: bool,
    ) -> None:
        self.request_id = new_request_id()
        self._echo = echo
        self._n_prompts = n_prompts
        self._n = n
        self._n_choices = n_choices
        self._logprobs = logprobs
        # Whether the chunk of a delta that is text and nothing else depends on its choice and its text alone.
        self.has_plain_text = logprobs is None
        self._include_usage = include_usage
        self._offsets: dict[int, _Offsets] = {}
        self._choice = _builders().choice
        constants: dict[str, Any] = {
            "id": f"cmpl-{os.urandom(16).hex()}",
            "created": int(time.time()),
            "model": model,
            "object": "text_completion",
            "system_fingerprint": fingerprint,
        }
        self._completion = make_builder(Completion, **constants)
        # With include_usage the reference's server sends a null on every chunk but the last.
        self._chunk = make_builder(Completion, **constants, **({"usage": None} if include_usage else {}))

    # -- streaming

    def opening(self) -> list[Completion]:
        """Return the chunks that repeat the prompts, unless their log probabilities are to come with them."""
        if self._echo is None or self._logprobs is not None:
            return []
        return [
            self._part(prompt * self._n + index, text)
            for prompt, text in enumerate(self._echo)
            for index in range(self._n)
        ]

    def chunk(self, delta: Delta) -> Completion | None:
        """Return the chunk for the text of a delta, `None` if it has none."""
        if delta.choice < 0:
            return self._scored_prompt(delta)
        text = delta.text
        if not text and not delta.logprobs:
            return None
        return self._part(delta.choice, text, self._entries(delta.choice, text, delta.logprobs))

    def finish(self, delta: Delta) -> Completion | None:
        """Return the chunk that ends the delta's choice, `None` if it goes on."""
        reason = _FINISH_REASONS.get(delta.finish)
        return None if reason is None else self._part(delta.choice, "", finish_reason=reason)

    def closing(self, end: End) -> Completion | None:
        """Return the chunk that ends the stream, if usage was asked for."""
        return self._completion(choices=[], usage=usage_of(end)) if self._include_usage else None

    def _part(
        self, index: int, text: str, logprobs: Logprobs | None = None, finish_reason: str | None = None
    ) -> Completion:
        choice = self._choice(finish_reason=finish_reason, index=index, logprobs=logprobs, text=text)
        chunk: Completion = self._chunk(choices=[choice])
        return chunk

    def _scored_prompt(self, delta: Delta) -> Completion:
        prompt = -1 - delta.choice
        assert self._echo is not None
        text = self._echo[prompt]
        entries = list(_entries(delta.logprobs))
        logprobs = self._columns(_Offsets(0).add(text, entries), entries)
        chunk: Completion = self._chunk(
            choices=[
                self._choice(finish_reason=None, index=prompt * self._n + index, logprobs=logprobs, text=text)
                for index in range(self._n)
            ]
        )
        return chunk

    # -- whole

    def completion(self, deltas: Iterable[Delta], end: End) -> Completion:
        """Return the whole answer.

        Args:
            deltas: One per choice that has any, and one per prompt that was scored.
            end: The request's end.
        """
        by_choice = {delta.choice: delta for delta in deltas}
        choices = []
        for prompt in range(self._n_prompts):
            first = prompt * self._n_choices
            answers = [
                by_choice.get(index) or Delta(index, "", b"", int(Finish.STOP), 0)
                for index in range(first, first + self._n_choices)
            ]
            if self._n_choices > self._n:
                answers = sorted(answers, key=_mean_logprob, reverse=True)[: self._n]
            scored = by_choice.get(-1 - prompt)
            choices += [
                self._whole(prompt * self._n + rank, prompt, answer, scored) for rank, answer in enumerate(answers)
            ]
        completion: Completion = self._completion(choices=choices, usage=usage_of(end))
        add_request_id(completion, self.request_id)
        return completion

    def _whole(self, index: int, prompt: int, answer: Delta, scored: Delta | None) -> CompletionChoice:
        echo = self._echo[prompt] if self._echo is not None else ""
        logprobs = None
        if self._logprobs is not None:
            before = list(_entries(scored.logprobs)) if scored is not None else []
            after = list(_entries(answer.logprobs))
            offsets = _Offsets(0).add(echo, before) + _Offsets(len(echo)).add(answer.text, after)
            logprobs = self._columns(offsets, before + after)
        choice: CompletionChoice = self._choice(
            finish_reason=_FINISH_REASONS.get(answer.finish, "stop"),
            index=index,
            logprobs=logprobs,
            text=echo + answer.text,
        )
        return choice

    # -- log probabilities

    def _entries(self, index: int, text: str, packed: Iterable[bytes]) -> Logprobs | None:
        if self._logprobs is None:
            return None
        entries = list(_entries(packed))
        offsets = self._offsets.get(index)
        if offsets is None:
            echo = self._echo[index // self._n] if self._echo is not None else ""
            offsets = self._offsets[index] = _Offsets(len(echo))
        return self._columns(offsets.add(text, entries), entries)

    def _columns(self, offsets: list[int], entries: list[TokenLogprob]) -> Logprobs:
        # A prompt's first token has no probability: nothing predicts it.
        known = [not math.isnan(entry.logprob) for entry in entries]
        logprobs: Logprobs = _builders().logprobs(
            text_offset=offsets,
            token_logprobs=[entry.logprob if ok else None for entry, ok in zip(entries, known, strict=True)],
            tokens=[_name(entry.text) for entry in entries],
            top_logprobs=[self._top(entry) if ok else None for entry, ok in zip(entries, known, strict=True)],
        )
        return logprobs

    def _top(self, entry: TokenLogprob) -> dict[str, float]:
        """Return the likeliest tokens and the chosen one; of two with the same text the likelier stays."""
        top: dict[str, float] = {}
        for other in (*entry.top, entry):
            top.setdefault(_name(other.text), other.logprob)
        return top


def _entries(packed: Iterable[bytes]) -> Iterable[TokenLogprob]:
    for part in packed:
        yield from parse_logprobs(part)


def _name(text: bytes) -> str:
    """Return a token's text; the bytes of one that is no text by itself are spelled out, as in openai's answers."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in text)


def _mean_logprob(delta: Delta) -> float:
    logprobs = [entry.logprob for entry in _entries(delta.logprobs)]
    return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf
