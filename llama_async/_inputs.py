"""The parameters of embeddings and of ranking -> a frozen request, or a BadRequestError naming the one at fault."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ._abi import Request, Segment, SegmentFlag, SegmentKind, Task
from ._compat import EMBEDDINGS
from ._errors import APIStatusError, bad_request, shown
from ._parameters import INT32_MAX, boolean, given_parameters, integer, merge_extra_body, one_of, refuse_unsupported

__all__ = [
    "EmbeddingRequest",
    "Inputs",
    "RerankRequest",
    "embedding_request",
    "encode_tokens",
    "rerank_request",
    "text_segment",
    "texts_or_tokens",
]

# openai's limit. A request is one unit of cancelling and of failing, so a larger one is better cut by its caller.
_MAX_INPUTS = 2048
# A segment costs as much as encoding so many characters.
_SEGMENT_CHARS = 512
# Tokens checked and encoded in one call that holds the interpreter: half a millisecond.
_TOKENS_AT_ONCE = 1 << 14


class Inputs:
    """Texts and lists of token ids, not yet encoded.

    Args:
        entries: Each a text or a sequence of token ids; the latter are not checked before `encode`.
        places: What each is called in an error.
        flags: Of the segments with text.
    """

    __slots__ = ("_entries", "_flags", "_places", "n_chars")

    def __init__(self, entries: list[Any], places: list[str], flags: SegmentFlag) -> None:
        self._entries = entries
        self._places = places
        self._flags = flags
        self.n_chars = sum(map(len, entries)) + _SEGMENT_CHARS * len(entries)

    def encode(self) -> tuple[Segment, ...]:
        """Return the segments. Called in any thread.

        Raises:
            BadRequestError: One is empty, cannot be encoded, or has an entry that is no token id.
        """
        return tuple(map(self._segment, self._entries, self._places))

    def _segment(self, entry: Any, place: str) -> Segment:
        if not entry:
            raise bad_request(place, f"{place} must not be empty")
        if not isinstance(entry, str):
            return Segment(SegmentKind.TOKENS, encode_tokens(entry, place))
        return text_segment(entry, place, self._flags)


def text_segment(text: str, place: str, flags: SegmentFlag) -> Segment:
    """Return the segment of a text. Called in any thread.

    Args:
        text: The text.
        place: What it is called in an error.
        flags: Of the segment.

    Raises:
        BadRequestError: It has a lone surrogate, which UTF-8 cannot express.
    """
    try:
        return Segment(SegmentKind.TEXT, text.encode(), flags)
    except UnicodeEncodeError:
        raise bad_request(place, f"{place} is {shown(text)}, but must be text without lone surrogates") from None


def encode_tokens(entry: Any, place: str) -> bytes:
    """Return token ids as the data of a segment. Called in any thread.

    Args:
        entry: A sequence of token ids.
        place: What it is called in an error.

    Raises:
        BadRequestError: An entry is no token id.
    """
    tokens = array("i")
    for start in range(0, len(entry), _TOKENS_AT_ONCE):
        piece = entry[start : start + _TOKENS_AT_ONCE]
        try:
            # Types cost a tenth of looking at each number; subclasses and numpy's integers take the long way.
            plain = piece if set(map(type, piece)) == {int} else list(map(_token, piece))
            if min(plain) < 0:
                raise ValueError
            tokens.fromlist(list(plain))
        except (TypeError, ValueError, OverflowError):
            raise _no_token(piece, start, place) from None
    return tokens.tobytes()


def _token(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError
    token = operator.index(value)  # type: ignore[arg-type]  # what has no index is a TypeError
    if not 0 <= token <= INT32_MAX:
        raise ValueError
    return token


def _no_token(piece: Iterable[object], start: int, place: str) -> APIStatusError:
    for index, value in enumerate(piece, start):
        try:
            _token(value)
        except (TypeError, ValueError):
            return bad_request(place, f"{place} has {shown(value)} at {index}, but must hold token ids")
    return bad_request(place, f"{place} must be a list of token ids")


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A checked embedding request.

    Attributes:
        model: The name asked for, which the answer repeats.
        inputs: What to embed.
        native: All of the native request but its inputs and its timeout.
        base64: Whether the vectors are wanted as text.
    """

    model: str
    inputs: Inputs
    native: Request
    base64: bool


def embedding_request(model: str, parameters: Mapping[str, object]) -> EmbeddingRequest:
    """Check the parameters of `embeddings.create`.

    Raises:
        BadRequestError: One has a wrong type or range.
    """
    given = given_parameters(parameters)
    extra = merge_extra_body(EMBEDDINGS, given)
    refuse_unsupported(EMBEDDINGS, given)
    encoding = one_of(given, "encoding_format", ("float", "base64")) if "encoding_format" in given else "float"
    return EmbeddingRequest(
        model=model,
        inputs=_embedding_inputs(given.get("input")),
        native=Request(
            segments=(),
            task=Task.EMBED,
            embd_dimensions=integer("dimensions", given.get("dimensions", 0), 1, INT32_MAX)
            if "dimensions" in given
            else 0,
            embd_normalize=extra.get("embd_normalize", 2),
            priority=extra.get("priority", 0),
        ),
        base64=encoding == "base64",
    )


def _embedding_inputs(value: object) -> Inputs:
    entries, places = texts_or_tokens("input", value)
    return Inputs(entries, places, SegmentFlag.ADD_SPECIAL)


def texts_or_tokens(name: str, value: object) -> tuple[list[Any], list[str]]:
    """Return texts or sequences of token ids, not yet looked into, and what each is called in an error.

    Args:
        name: The parameter.
        value: A text, a list of texts, token ids, or lists of them.

    Raises:
        BadRequestError: It is none of these, is empty, or mixes them.
    """
    wanted = "text, a list of texts, token ids, or a list of lists of token ids"
    if isinstance(value, str):
        return [value], [name]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise bad_request(name, f"{name} is {shown(value)}, but must be {wanted}")
    entries = list(value)
    if not entries:
        raise bad_request(name, f"{name} must not be empty")
    if not isinstance(entries[0], str) and not _is_sequence(entries[0]):
        return [entries], [name]
    _check_count(name, len(entries))
    of_texts = isinstance(entries[0], str)
    for index, entry in enumerate(entries):
        if isinstance(entry, str) != of_texts or not (of_texts or _is_sequence(entry)):
            kind = "text" if of_texts else "a list of token ids"
            place = f"{name}[{index}]"
            raise bad_request(place, f"{place} is {shown(entry)}, but must be {kind}, as {name}[0] is")
    if not of_texts:
        entries = [entry if isinstance(entry, (list, tuple)) else list(entry) for entry in entries]
    return entries, [f"{name}[{index}]" for index in range(len(entries))]


def _is_sequence(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _check_count(name: str, n: int) -> None:
    if n > _MAX_INPUTS:
        raise bad_request(name, f"{name} has {n} entries, but at most {_MAX_INPUTS} are allowed")


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A checked rerank request.

    Attributes:
        model: The name asked for, which the answer repeats.
        inputs: The query and the documents.
        native: All of the native request but its inputs and its timeout.
        documents: The documents, where the answer repeats them.
        top_n: How many of them the answer has at most.
    """

    model: str
    inputs: Inputs
    native: Request
    documents: list[str] | None
    top_n: int


def rerank_request(model: str, parameters: Mapping[str, object]) -> RerankRequest:
    """Check the parameters of `rerank`.

    Raises:
        BadRequestError: One has a wrong type or range.
    """
    given = given_parameters(parameters)
    query = given.get("query")
    if not isinstance(query, str):
        raise bad_request("query", f"query is {shown(query)}, but must be text")
    value = given.get("documents")
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise bad_request("documents", f"documents is {shown(value)}, but must be a list of texts")
    documents = list(value)
    if not documents:
        raise bad_request("documents", "documents must not be empty")
    _check_count("documents", len(documents))
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            place = f"documents[{index}]"
            raise bad_request(place, f"{place} is {shown(document)}, but must be text")
    places = ["query", *(f"documents[{index}]" for index in range(len(documents)))]
    return RerankRequest(
        model=model,
        inputs=Inputs([query, *documents], places, SegmentFlag.NONE),
        native=Request(segments=(), task=Task.RERANK),
        documents=documents if boolean(given, "return_documents") else None,
        top_n=integer("top_n", given.get("top_n", len(documents)), 1, None),
    )
