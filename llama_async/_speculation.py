"""What may guess an answer's tokens: the client's option, a request's own wishes, the answer that a request predicts.

Names are llama.cpp's own (`common_speculative_type_from_name_map` and llama-server's `speculative.*` at the pinned
commit). Checks types and ranges; what the model can do the engine knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ._errors import bad_request, shown

__all__ = ["GUESS_KINDS", "SPECULATION_FIELDS", "guess_kinds", "predicted_text", "request_speculation"]

# Short names, and all of the engine's.
_SHORT: Mapping[str, str] = MappingProxyType({"ngram": "ngram-simple", "draft": "draft-simple", "mtp": "draft-mtp"})
GUESS_KINDS = (
    "ngram-simple",
    "ngram-map-k",
    "ngram-map-k4v",
    "ngram-mod",
    "ngram-cache",
    "draft-simple",
    "draft-mtp",
)

# Numbers of `la_speculation`: type, smallest and largest value.
SPECULATION_FIELDS: Mapping[str, tuple[str, float, float]] = MappingProxyType(
    {
        "n_max": ("int", 0, 256),
        "n_min": ("int", 0, 256),
        "p_min": ("float", 0, 1),
        "ngram_size_n": ("int", 1, 1024),
        "ngram_size_m": ("int", 1, 256),
        "ngram_min_hits": ("int", 1, 1024),
    }
)


def guess_kinds(names: object) -> str:
    """Return the engine's names of what guesses, separated by commas.

    Args:
        names: One name, several separated by commas, or a sequence of names; `"none"` for nothing.

    Raises:
        ValueError: What it must be, in words.
    """
    texts = names.split(",") if isinstance(names, str) else names
    if not isinstance(texts, (list, tuple)) or not texts:
        raise ValueError(_kinds_in_words())
    kinds = [_SHORT.get(name.strip(), name.strip()) if isinstance(name, str) else "" for name in texts]
    if kinds == ["none"]:
        return "none"
    if not set(kinds) <= set(GUESS_KINDS):
        raise ValueError(_kinds_in_words())
    return ",".join(dict.fromkeys(kinds))


def request_speculation(extra: Mapping[str, Any]) -> Mapping[str, int | float | str]:
    """Return the fields of `la_speculation` that a request sets.

    Args:
        extra: Its `extra_body`, checked: `speculative` is `False`, kinds, or a mapping; the keys `speculative.*` hold
            numbers.

    Raises:
        BadRequestError: A value has a wrong type or range.
    """
    fields: dict[str, int | float | str] = {}
    given = extra.get("speculative")
    if given is False:
        fields["n_max"] = 0
    elif isinstance(given, Mapping):
        for name, value in given.items():
            if name in ("type", "types"):
                fields["kinds"] = _request_kinds(f"speculative.{name}", value)
            elif name == "adaptive" and isinstance(value, bool):
                fields[name] = int(value)
            elif name in SPECULATION_FIELDS:
                fields[name] = _number(f"speculative.{name}", value, *SPECULATION_FIELDS[name])
            else:
                raise bad_request("speculative", f"speculative has an unknown key {shown(name)}")
    elif given is not None:
        fields["kinds"] = _request_kinds("speculative", given)
    for name, value in extra.items():
        _, dot, field = name.partition("speculative.")
        if dot and field in ("type", "types"):
            fields["kinds"] = _request_kinds(name, value)
        elif dot:
            fields[field] = value
    return fields


def predicted_text(prediction: object) -> str:
    """Return the text of a `prediction`.

    Raises:
        BadRequestError: It is none.
    """
    if not isinstance(prediction, Mapping) or prediction.get("type") != "content":
        raise bad_request("prediction", f'prediction is {shown(prediction)}, but must be {{"type": "content", ...}}')
    content = prediction.get("content")
    parts = [content] if isinstance(content, str) else content
    if not isinstance(parts, (list, tuple)):
        raise bad_request(
            "prediction.content", f"prediction.content is {shown(content)}, but must be text or a list of text parts"
        )
    texts = []
    for index, part in enumerate(parts):
        text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else part
        if not isinstance(text, str):
            place = f"prediction.content[{index}]"
            raise bad_request(place, f"{place} is {shown(part)}, but must be a text part")
        texts.append(text)
    whole = "".join(texts)
    try:
        whole.encode()
    except UnicodeEncodeError:
        raise bad_request("prediction.content", "prediction.content has lone surrogates, but must be text") from None
    return whole


def _kinds_in_words() -> str:
    return f"none, or any of {', '.join((*_SHORT, *GUESS_KINDS))}"


def _request_kinds(name: str, value: object) -> str:
    try:
        return guess_kinds(value)
    except ValueError as error:
        raise bad_request(name, f"{name} is {shown(value)}, but must be {error}") from None


def _number(name: str, value: object, kind: str, low: float, high: float) -> int | float:
    right = isinstance(value, int) if kind == "int" else isinstance(value, (int, float))
    # NaN fails every comparison.
    if isinstance(value, bool) or not right or not isinstance(value, (int, float)) or not low <= value <= high:
        what = "an integer" if kind == "int" else "a number"
        raise bad_request(name, f"{name} is {shown(value)}, but must be {what} from {low:g} to {high:g}")
    return value
