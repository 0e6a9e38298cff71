"""The parameters of a text completion -> a frozen request, or a BadRequestError naming the one at fault."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ._abi import MAX_CHOICES, MAX_TOP_LOGPROBS, Request, RequestFlag, Segment, SegmentFlag, SegmentKind
from ._compat import COMPLETIONS
from ._errors import bad_request, shown
from ._inputs import encode_tokens, text_segment, texts_or_tokens
from ._parameters import (
    INT32_MAX,
    LogitBias,
    boolean,
    given_parameters,
    include_usage,
    integer,
    is_utf8,
    logit_bias,
    merge_extra_body,
    refuse_unsupported,
    request_flags,
    sampling_numbers,
    stop_strings,
)
from ._speculation import request_speculation

__all__ = ["TextPrompt", "TextRequest", "completion_request"]

# What openai documents. Unlike chat, a base model seldom ends a text by itself.
_DEFAULT_MAX_TOKENS = 16


class TextPrompt:
    """One text to continue, not yet encoded.

    Args:
        entry: A text, or a sequence of token ids.
        place: What it is called in an error.
        suffix: The text that follows what is generated; `None`: nothing follows.
        facts: The engine's, which know the model's special tokens.

    Raises:
        BadRequestError: The model lacks the tokens for a suffix, or one to begin an empty prompt with.
    """

    __slots__ = ("_entry", "_frame", "_n_vocab", "_place", "_suffix", "n_chars")

    def __init__(self, entry: Any, place: str, suffix: str | None, facts: Mapping[str, Any]) -> None:
        self._entry = entry
        self._place = place
        self._suffix = suffix
        self._n_vocab = facts["n_vocab"]
        self.n_chars = len(entry) + len(suffix or "")
        begin = [facts["token_bos"]] if facts["add_bos"] and facts["token_bos"] >= 0 else []
        if suffix is not None:
            before, after, middle = (facts[f"token_fim_{part}"] for part in ("pre", "suf", "mid"))
            if min(before, after, middle) < 0:
                raise bad_request(
                    "suffix",
                    "suffix is given, but this model has no tokens for filling in the middle",
                    code="unsupported_parameter",
                )
            self._frame = ([*begin, before], [after], [middle])
        elif not entry:
            token = next((facts[name] for name in ("token_bos", "token_eos") if facts[name] >= 0), None)
            if token is None or not isinstance(entry, str):
                raise bad_request(place, f"{place} must not be empty")
            self._frame = ([token], [], [])
        else:
            self._frame = ([], [], [])

    @property
    def text(self) -> str | None:
        """What `echo` repeats; `None` for token ids."""
        return self._entry if isinstance(self._entry, str) else None

    @property
    def tokens(self) -> bytes:
        """The data of the token ids of a prompt that is no text. Raises as `encode`."""
        data = encode_tokens(self._entry, self._place)
        highest = max(memoryview(data).cast("i"), default=0)
        if highest >= self._n_vocab:
            raise bad_request(
                self._place,
                f"{self._place} has the token id {highest}, but the ids of this model end at {self._n_vocab - 1}",
            )
        return data

    def encode(self) -> tuple[Segment, ...]:
        """Return the segments. Called in any thread.

        Raises:
            BadRequestError: The text cannot be encoded, or an entry is no token id.
        """
        # Between the marks of a suffix nothing but text is meant; a plain prompt may spell control tokens.
        flags = SegmentFlag.NONE if self._suffix is not None else SegmentFlag.ADD_SPECIAL | SegmentFlag.PARSE_SPECIAL
        before, after, middle = self._frame
        segments = [_tokens(before)]
        if isinstance(self._entry, str):
            segments.append(text_segment(self._entry, self._place, flags))
        else:
            segments.append(Segment(SegmentKind.TOKENS, self.tokens))
        segments += [_tokens(after), text_segment(self._suffix or "", "suffix", flags), _tokens(middle)]
        return tuple(segment for segment in segments if segment.data)


def _tokens(tokens: Sequence[int]) -> Segment:
    return Segment(SegmentKind.TOKENS, array("i", tokens).tobytes())


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A checked text completion request.

    Attributes:
        model: The name asked for, which the answer repeats.
        entries: The prompts: texts, or sequences of token ids.
        places: What each is called in an error.
        suffix: The text that follows, if the model shall fill in what is between.
        echo: Whether the answer begins with the prompt.
        n: Answers to return for each prompt, of `native.n_choices` that are generated.
        logprobs: Alternatives to return at each token, `None` for no log probabilities.
        native: All of a native request but its prompt, its logit bias and its timeout.
        logit_bias: What is added to the logits.
        include_usage: Whether a stream ends with a chunk of usage.
    """

    model: str
    entries: list[Any]
    places: list[str]
    suffix: str | None
    echo: bool
    n: int
    logprobs: int | None
    native: Request
    logit_bias: LogitBias
    include_usage: bool

    @property
    def stream(self) -> bool:
        """Whether the answer is streamed."""
        return RequestFlag.STREAM in self.native.flags

    def prompts(self, facts: Mapping[str, Any]) -> list[TextPrompt]:
        """Return the prompts. Raises as `TextPrompt`.

        Args:
            facts: Of the engine that will answer.
        """
        return [
            TextPrompt(entry, place, self.suffix, facts) for entry, place in zip(self.entries, self.places, strict=True)
        ]


def completion_request(model: str, parameters: Mapping[str, object]) -> TextRequest:
    """Check the parameters of `completions.create`.

    Args:
        model: The model asked for, known to exist.
        parameters: All others by name, with their sentinels.

    Raises:
        BadRequestError: One has a wrong type, range or combination, or asks for what this engine cannot do.
    """
    given = given_parameters(parameters)
    extra = merge_extra_body(COMPLETIONS, given)
    refuse_unsupported(COMPLETIONS, given)
    stream = boolean(given, "stream")
    echo = boolean(given, "echo")
    n = integer("n", given.get("n", 1), 1, MAX_CHOICES)
    n_choices = _best_of(given, n, stream)
    logprobs = integer("logprobs", given["logprobs"], 0, MAX_TOP_LOGPROBS) if "logprobs" in given else None
    suffix = _suffix(given)
    flags = request_flags(stream=stream, extra=extra)
    if echo and logprobs is not None:
        if suffix is not None:
            raise bad_request("suffix", "suffix is given, but echo with logprobs scores plain prompts only")
        flags |= RequestFlag.PROMPT_LOGPROBS
    sampling = sampling_numbers(given, extra)
    # The best of several are chosen by their log probabilities.
    sampling["top_logprobs"] = logprobs if logprobs is not None else 0 if n_choices > n else -1
    entries, places = texts_or_tokens("prompt", given.get("prompt", ""))
    return TextRequest(
        model=model,
        entries=entries,
        places=places,
        suffix=suffix,
        echo=echo,
        n=n,
        logprobs=logprobs,
        native=Request(
            segments=(),
            sampling=MappingProxyType(sampling),
            dry_breakers=extra.get("dry_sequence_breakers"),
            samplers=extra.get("samplers"),
            grammar=extra.get("grammar", ""),
            stop=stop_strings(given.get("stop")),
            n_choices=n_choices,
            max_tokens=_max_tokens(given, echo),
            flags=flags,
            priority=extra.get("priority", 0),
            speculation=request_speculation(extra),
        ),
        logit_bias=logit_bias(given.get("logit_bias")),
        include_usage=include_usage(given, stream),
    )


def _best_of(given: Mapping[str, Any], n: int, stream: bool) -> int:
    if "best_of" not in given:
        return n
    best_of = integer("best_of", given["best_of"], 1, MAX_CHOICES)
    if best_of < n:
        raise bad_request("best_of", f"best_of is {best_of}, but must be at least n, which is {n}")
    if stream and best_of > n:
        raise bad_request("best_of", "best_of is given with stream, but the best is known only at the end")
    return best_of


def _max_tokens(given: Mapping[str, Any], echo: bool) -> int:
    if "max_tokens" not in given:
        return _DEFAULT_MAX_TOKENS
    max_tokens = integer("max_tokens", given["max_tokens"], 0, None)
    if max_tokens == 0 and not echo:
        raise bad_request("max_tokens", "max_tokens is 0, but must be an integer from 1 unless echo is true")
    # More than any context: the engine refuses it, with its own count.
    return min(max_tokens, INT32_MAX)


def _suffix(given: Mapping[str, Any]) -> str | None:
    suffix = given.get("suffix")
    if suffix is not None and (not isinstance(suffix, str) or not is_utf8(suffix)):
        raise bad_request("suffix", f"suffix is {shown(suffix)}, but must be text")
    # openai's servers take an empty one for none.
    return suffix or None
