"""What the endpoints that generate text check alike: types, ranges, sampling, `extra_body`.

Cheap and strict: nothing is clamped, dropped or guessed. What becomes of each parameter stands in `_compat`. `given`
holds the caller's values by name, without `None` and sentinels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ._abi import LOGIT_BIAS_STRUCT, SEED_RANDOM, RequestFlag
from ._chat_formats import chat_template
from ._compat import ENDPOINTS, EXTRA_BODY_PARAMETERS, Effect, ExtraParameter
from ._errors import bad_request, shown
from ._types import NotGiven, Omit

__all__ = [
    "INT32_MAX",
    "NO_BIAS",
    "LogitBias",
    "boolean",
    "given_parameters",
    "include_usage",
    "integer",
    "is_utf8",
    "logit_bias",
    "merge_extra_body",
    "one_of",
    "real",
    "refuse_unsupported",
    "request_flags",
    "sampling_numbers",
    "stop_strings",
    "template_kwargs",
    "timeout_seconds",
]

INT32_MAX = 2**31 - 1
_MAX_STOP = 4
# More than any vocabulary: the largest known have 262,144 tokens.
_MAX_LOGIT_BIAS = 300_000
# Up to this many are encoded at once, in under 2 ms (measured).
_LOGIT_BIAS_SHORT = 2048
# Variables of a chat template that the conversation itself fills.
_TEMPLATE_OWN_NAMES = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})
# What extra_body may not override: it decides the type of the result, or was checked before.
_NOT_IN_EXTRA_BODY = frozenset({"stream", "model", "messages", "extra_body", "extra_headers", "extra_query", "timeout"})


def given_parameters(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return the parameters that were given: neither `None` nor a sentinel."""
    return {
        name: value
        for name, value in parameters.items()
        if value is not None and not isinstance(value, (Omit, NotGiven))
    }


def merge_extra_body(endpoint: str, given: dict[str, Any]) -> dict[str, Any]:
    """Move keys of extra_body that are ordinary parameters to `given`; return the others, checked.

    Args:
        endpoint: A key of `ENDPOINTS`.
        given: Parameters of a request; `extra_body` is taken out of it.

    Raises:
        BadRequestError: A key is unknown, or its value has a wrong type or range.
    """
    body = given.pop("extra_body", {})
    if not isinstance(body, Mapping):
        raise bad_request("extra_body", f"extra_body is {shown(body)}, but must be a mapping")
    extra: dict[str, Any] = {}
    for name, value in body.items():
        if name in EXTRA_BODY_PARAMETERS and endpoint in EXTRA_BODY_PARAMETERS[name].endpoints:
            if value is not None:
                extra[name] = _extra(name, EXTRA_BODY_PARAMETERS[name], value)
        elif name in ENDPOINTS[endpoint] and name not in _NOT_IN_EXTRA_BODY:
            given.pop(name, None)
            if value is not None:
                given[name] = value
        else:
            raise bad_request(shown(name).strip("'"), f"unknown parameter {shown(name)}")
    return extra


def refuse_unsupported(endpoint: str, given: Mapping[str, Any]) -> None:
    """Raise BadRequestError for a parameter that the endpoint's table rejects, unless its value asks for nothing."""
    for name, value in given.items():
        parameter = ENDPOINTS[endpoint][name]
        if parameter.effect is not Effect.REJECTED:
            continue
        asked = tuple(value) if isinstance(value, (list, tuple)) else value
        if not any(asked == neutral and type(asked) is type(neutral) for neutral in parameter.neutral):
            raise bad_request(name, f"{name} is not supported: {parameter.note}", code="unsupported_parameter")
    if "user" in given and not isinstance(given["user"], str):
        raise bad_request("user", f"user is {shown(given['user'])}, but must be text")


def request_flags(*, stream: bool, extra: Mapping[str, Any]) -> RequestFlag:
    """Return the flags of a native request."""
    flags = RequestFlag.STREAM if stream else RequestFlag.NONE
    return flags if extra.get("cache_prompt", True) else flags | RequestFlag.NO_CACHE


def sampling_numbers(given: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the fields of `la_sampling` that the request sets, but for `top_logprobs`."""
    sampling: dict[str, int | float] = {}
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("frequency_penalty", -2, 2),
        ("presence_penalty", -2, 2),
    ):
        if name in given:
            sampling[name] = real(name, given[name], low, high)
    if "seed" in given:
        sampling["seed"] = _seed(integer("seed", given["seed"], -(2**63), 2**63 - 1))
    for name, value in extra.items():
        field = EXTRA_BODY_PARAMETERS[name].field
        if field:
            sampling[field] = value
    return sampling


def _seed(seed: int) -> int:
    """Fold 64 bits into 32: small seeds stay what they are, none becomes "a random one"."""
    low = seed & 0xFFFFFFFF
    high = 0 if 0 <= seed < 2**32 else (seed >> 32) & 0xFFFFFFFF
    folded = low ^ high
    return folded if folded != SEED_RANDOM else SEED_RANDOM - 1


def stop_strings(stop: object) -> tuple[str, ...]:
    """Return the strings that end an answer."""
    if stop is None:
        return ()
    strings = (stop,) if isinstance(stop, str) else stop
    if isinstance(strings, (bytes, Mapping)) or not isinstance(strings, Iterable):
        raise bad_request("stop", f"stop is {shown(stop)}, but must be text or a list of up to {_MAX_STOP}")
    result = tuple(strings)
    if len(result) > _MAX_STOP:
        raise bad_request("stop", f"stop has {len(result)} strings, but at most {_MAX_STOP} are allowed")
    for index, text in enumerate(result):
        if not isinstance(text, str) or not text or not is_utf8(text):
            place = "stop" if isinstance(stop, str) else f"stop[{index}]"
            raise bad_request(place, f"{place} is {shown(text)}, but must be text that is not empty")
    return result


class LogitBias:
    """Token ids and what is added to their logits.

    Args:
        entries: As the caller gave them. A few are checked and encoded here, many by `encode`.

    Attributes:
        is_long: Whether `encode` has work to do, for another thread: a hundred thousand entries take 80 ms.

    Raises:
        BadRequestError: A key is no token id, or a value no number from -100 to 100.
    """

    __slots__ = ("_encoded", "_entries", "is_long")

    def __init__(self, entries: Mapping[object, object]) -> None:
        # A copy: the caller's may change while another thread reads it.
        self._entries = dict(entries)
        self.is_long = len(entries) > _LOGIT_BIAS_SHORT
        self._encoded = b"" if self.is_long else self._encode()

    def encode(self) -> bytes:
        """Return the `la_logit_bias` entries. Raises as the constructor."""
        return self._encode() if self.is_long else self._encoded

    def _encode(self) -> bytes:
        pack = LOGIT_BIAS_STRUCT.pack
        return b"".join([pack(_token_id(key), _bias(key, value)) for key, value in self._entries.items()])


NO_BIAS = LogitBias({})


def logit_bias(bias: object) -> LogitBias:
    """Return a logit bias, whose entries may not have been checked yet."""
    if bias is None:
        return NO_BIAS
    if not isinstance(bias, Mapping):
        raise bad_request("logit_bias", f"logit_bias is {shown(bias)}, but must be a mapping of token ids to numbers")
    if len(bias) > _MAX_LOGIT_BIAS:
        raise bad_request(
            "logit_bias", f"logit_bias has {len(bias)} entries, but at most {_MAX_LOGIT_BIAS} are allowed"
        )
    return LogitBias(bias)


def _token_id(key: object) -> int:
    token = -1
    if isinstance(key, str):
        # int() would also take " 5 ", "1_0" and the digits of other scripts.
        if len(key) <= 10 and key.isascii() and key.isdecimal():
            token = int(key)
    elif isinstance(key, int) and not isinstance(key, bool):
        token = key
    if not 0 <= token <= INT32_MAX:
        raise bad_request("logit_bias", f"logit_bias has the key {shown(key)}, but keys must be token ids")
    return token


def _bias(key: object, value: object) -> float:
    number = real(f"logit_bias[{key}]", value, -100, 100, param="logit_bias")
    # openai documents -100 as a ban; a large negative bias alone could still lose to a larger logit.
    return -math.inf if number == -100 else number


def include_usage(given: Mapping[str, Any], stream: bool) -> bool:
    """Return whether `stream_options` asks for usage."""
    options = given.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, Mapping):
        raise bad_request("stream_options", f"stream_options is {shown(options)}, but must be a mapping")
    if not stream:
        raise bad_request("stream_options", "stream_options is given, but stream is not true")
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation"):
            raise bad_request("stream_options", f"stream_options has an unknown key {shown(name)}")
        if value is not None and not isinstance(value, bool):
            raise bad_request(
                f"stream_options.{name}", f"stream_options.{name} is {shown(value)}, but must be a boolean"
            )
    return bool(options.get("include_usage"))


def timeout_seconds(timeout: object, default: float | None) -> float | None:
    """Return the longest time to wait for an answer, or for the next part of one; `None` for no limit.

    Args:
        timeout: Seconds, an `httpx.Timeout` (of any httpx), `None`, or a sentinel for the default.
        default: The client's own.
    """
    if isinstance(timeout, (NotGiven, Omit)):
        return default
    if timeout is not None and hasattr(timeout, "read"):
        timeout = timeout.read
    if timeout is None:
        return None
    return real("timeout", timeout, 0, math.inf)


def _extra(name: str, parameter: ExtraParameter, value: object) -> Any:
    if parameter.kind == "int":
        return integer(name, value, int(parameter.low), int(parameter.high))
    if parameter.kind == "float":
        return real(name, value, parameter.low, parameter.high)
    if parameter.kind == "bool" or name == "cache_prompt":
        if not isinstance(value, bool):
            raise bad_request(name, f"{name} is {shown(value)}, but must be a boolean")
        return int(value)
    if name == "priority":
        return integer(name, value, -1000, 1000)
    if name.startswith("speculative"):
        return value
    if name == "grammar":
        if not isinstance(value, str) or not value or not is_utf8(value):
            raise bad_request(name, f"{name} is {shown(value)}, but must be GBNF text")
        return value
    if name == "chat_template_kwargs":
        return template_kwargs(name, value)
    if name == "chat_template":
        try:
            return chat_template(value)
        except ValueError as error:
            raise bad_request(name, f"{name} is {shown(value)}, but must be {error}") from None
    texts = tuple(value) if isinstance(value, (list, tuple)) else ()
    if not texts or not all(isinstance(text, str) and text and is_utf8(text) for text in texts):
        raise bad_request(name, f"{name} is {shown(value)}, but must be a list of texts, at least one")
    return texts


def template_kwargs(name: str, value: object) -> dict[str, object]:
    """Return variables for a chat template."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise bad_request(name, f"{name} is {shown(value)}, but must be a mapping of names to JSON values")
    kwargs = dict(value)
    for key in kwargs.keys() & _TEMPLATE_OWN_NAMES:
        raise bad_request(name, f"{name} has the key {key!r}, which this client sets itself")
    try:
        json.dumps(kwargs, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise bad_request(name, f"{name} is {shown(value)}, but must hold JSON values (no NaN, no infinity)") from None
    return kwargs


def integer(name: str, value: object, low: int, high: int | None) -> int:
    """Return `value`, an integer within bounds."""
    allowed = f"an integer from {low}" + ("" if high is None else f" to {high}")
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise bad_request(name, f"{name} is {shown(value)}, but must be {allowed}")
    return value


def real(name: str, value: object, low: float, high: float, *, param: str | None = None) -> float:
    """Return `value`, a number within bounds, as a float. `param`: the parameter to blame, if it is not `name`."""
    # NaN fails every comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        limit = f"a number from {low:g}" + ("" if high == math.inf else f" to {high:g}")
        raise bad_request(param or name, f"{name} is {shown(value)}, but must be {limit}")
    return float(value)


def boolean(given: Mapping[str, Any], name: str) -> bool:
    """Return a boolean parameter, false where it was not given."""
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(name, f"{name} is {shown(value)}, but must be a boolean")
    return value


def one_of(given: Mapping[str, Any], name: str, allowed: Iterable[str]) -> str:
    """Return a parameter that has one of a few values."""
    value = given[name]
    if not isinstance(value, str) or value not in allowed:
        raise bad_request(name, f"{name} is {shown(value)}, but must be one of {', '.join(allowed)}")
    return value


def is_utf8(text: str) -> bool:
    """Whether a text can be encoded: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
