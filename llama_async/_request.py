"""The parameters of a chat completion -> a frozen request, or a BadRequestError naming the one at fault.

Cheap and strict: nothing is clamped, dropped or guessed. What becomes of each parameter stands in `_compat`.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pydantic

from ._abi import MAX_CHOICES, MAX_TOP_LOGPROBS, SEED_RANDOM, Request, RequestFlag
from ._compat import CHAT_PARAMETERS, EXTRA_BODY_PARAMETERS, Effect, ExtraParameter
from ._errors import bad_request, shown
from ._messages import ChatPrompt, chat_prompt
from ._types import NotGiven, Omit

__all__ = ["ChatRequest", "chat_request", "timeout_seconds"]

_INT32_MAX = 2**31 - 1
_MAX_STOP = 4
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_PRIORITIES: Mapping[str, int] = {"auto": 0, "default": 0, "scale": 0, "flex": -1, "priority": 1, "fast": 1}
# Variables of a chat template that the conversation itself fills.
_TEMPLATE_OWN_NAMES = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})
# What extra_body may not override: it decides the type of the result, or was checked before.
_NOT_IN_EXTRA_BODY = frozenset({"stream", "model", "messages", "extra_body", "extra_headers", "extra_query", "timeout"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked chat completion request.

    Attributes:
        model: The name asked for, which the answer repeats.
        prompt: The conversation.
        native: All of the native request but its prompt and timeout.
        include_usage: Whether a stream ends with a chunk of usage.
        logprobs: Whether the answer carries log probabilities.
    """

    model: str
    prompt: ChatPrompt
    native: Request
    include_usage: bool
    logprobs: bool

    @property
    def stream(self) -> bool:
        """Whether the answer is streamed."""
        return RequestFlag.STREAM in self.native.flags


def chat_request(model: str, parameters: Mapping[str, object]) -> ChatRequest:
    """Check the parameters of a chat completion.

    Args:
        model: The model asked for, known to exist.
        parameters: All others by name, with their sentinels.

    Raises:
        BadRequestError: One has a wrong type, range or combination, or asks for what this engine cannot do.
        TypeError: response_format is a class, which only `parse` takes.
    """
    given = {
        name: value
        for name, value in parameters.items()
        if value is not None and not isinstance(value, (Omit, NotGiven))
    }
    extra = _merge_extra_body(given)
    _check_table(given)
    stream = _boolean(given, "stream")
    flags = RequestFlag.STREAM if stream else RequestFlag.NONE
    if not extra.get("cache_prompt", True):
        flags |= RequestFlag.NO_CACHE
    logprobs = _boolean(given, "logprobs")
    sampling = _sampling(given, logprobs)
    for name, value in extra.items():
        field = EXTRA_BODY_PARAMETERS[name].field
        if field:
            sampling[field] = value
    options: dict[str, object] = {}
    if "chat_template_kwargs" in extra:
        options["chat_template_kwargs"] = extra["chat_template_kwargs"]
    if "reasoning_effort" in given:
        options["reasoning_effort"] = _one_of(given, "reasoning_effort", _EFFORTS)
    priority = _PRIORITIES[_one_of(given, "service_tier", _PRIORITIES)] if "service_tier" in given else 0
    native = Request(
        segments=(),
        sampling=MappingProxyType(sampling),
        logit_bias=_logit_bias(given.get("logit_bias")),
        dry_breakers=extra.get("dry_sequence_breakers"),
        samplers=extra.get("samplers"),
        grammar=extra.get("grammar", ""),
        stop=_stop(given.get("stop")),
        n_choices=_integer("n", given.get("n", 1), 1, MAX_CHOICES),
        max_tokens=_max_tokens(given),
        flags=flags,
        priority=extra.get("priority", priority),
    )
    return ChatRequest(
        model=model,
        prompt=chat_prompt(given.get("messages"), options),
        native=native,
        include_usage=_include_usage(given, stream),
        logprobs=logprobs,
    )


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
    return _real("timeout", timeout, 0, math.inf)


def _merge_extra_body(given: dict[str, Any]) -> dict[str, Any]:
    """Move keys of extra_body that are ordinary parameters to `given`; return the others, checked."""
    body = given.pop("extra_body", {})
    if not isinstance(body, Mapping):
        raise bad_request("extra_body", f"extra_body is {shown(body)}, but must be a mapping")
    extra: dict[str, Any] = {}
    for name, value in body.items():
        if name in EXTRA_BODY_PARAMETERS:
            if value is not None:
                extra[name] = _extra(name, EXTRA_BODY_PARAMETERS[name], value)
        elif name in CHAT_PARAMETERS and name not in _NOT_IN_EXTRA_BODY:
            given.pop(name, None)
            if value is not None:
                given[name] = value
        else:
            raise bad_request(shown(name).strip("'"), f"extra_body has an unknown key {shown(name)}")
    return extra


def _check_table(given: Mapping[str, Any]) -> None:
    response_format = given.get("response_format")
    if inspect.isclass(response_format) and issubclass(response_format, pydantic.BaseModel):
        raise TypeError("response_format is a class: pass it to `chat.completions.parse()` instead")
    for name, value in given.items():
        parameter = CHAT_PARAMETERS[name]
        if parameter.effect is not Effect.REJECTED:
            continue
        asked = tuple(value) if isinstance(value, (list, tuple)) else value
        if not any(asked == neutral and type(asked) is type(neutral) for neutral in parameter.neutral):
            raise bad_request(name, f"{name} is not supported: {parameter.note}", code="unsupported_parameter")
    for name in ("user", "safety_identifier", "prompt_cache_key"):
        if name in given and not isinstance(given[name], str):
            raise bad_request(name, f"{name} is {shown(given[name])}, but must be text")
    if "metadata" in given and not isinstance(given["metadata"], Mapping):
        raise bad_request("metadata", f"metadata is {shown(given['metadata'])}, but must be a mapping")
    if "parallel_tool_calls" in given:
        _boolean(given, "parallel_tool_calls")


def _sampling(given: Mapping[str, Any], logprobs: bool) -> dict[str, int | float]:
    sampling: dict[str, int | float] = {}
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("frequency_penalty", -2, 2),
        ("presence_penalty", -2, 2),
    ):
        if name in given:
            sampling[name] = _real(name, given[name], low, high)
    if "seed" in given:
        sampling["seed"] = _seed(_integer("seed", given["seed"], -(2**63), 2**63 - 1))
    top_logprobs = given.get("top_logprobs")
    if top_logprobs is not None:
        _integer("top_logprobs", top_logprobs, 0, MAX_TOP_LOGPROBS)
        if not logprobs:
            raise bad_request("top_logprobs", "top_logprobs is given, but logprobs is not true")
    sampling["top_logprobs"] = (top_logprobs or 0) if logprobs else -1
    return sampling


def _seed(seed: int) -> int:
    """Fold 64 bits into 32: small seeds stay what they are, none becomes "a random one"."""
    low = seed & 0xFFFFFFFF
    high = 0 if 0 <= seed < 2**32 else (seed >> 32) & 0xFFFFFFFF
    folded = low ^ high
    return folded if folded != SEED_RANDOM else SEED_RANDOM - 1


def _max_tokens(given: Mapping[str, Any]) -> int:
    limits = [_integer(name, given[name], 1, None) for name in ("max_completion_tokens", "max_tokens") if name in given]
    if len(limits) == 2 and limits[0] != limits[1]:
        raise bad_request(
            "max_tokens", f"max_tokens is {limits[1]}, but max_completion_tokens is {limits[0]}: give one of them"
        )
    # More than any context: the engine refuses it, with its own count.
    return min(limits[0], _INT32_MAX) if limits else -1


def _stop(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    strings = (stop,) if isinstance(stop, str) else stop
    if isinstance(strings, (bytes, Mapping)) or not isinstance(strings, Iterable):
        raise bad_request("stop", f"stop is {shown(stop)}, but must be text or a list of up to {_MAX_STOP}")
    result = tuple(strings)
    if len(result) > _MAX_STOP:
        raise bad_request("stop", f"stop has {len(result)} strings, but at most {_MAX_STOP} are allowed")
    for index, text in enumerate(result):
        if not isinstance(text, str) or not text or not _is_utf8(text):
            place = "stop" if isinstance(stop, str) else f"stop[{index}]"
            raise bad_request(place, f"{place} is {shown(text)}, but must be text that is not empty")
    return result


def _logit_bias(bias: object) -> tuple[tuple[int, float], ...]:
    if bias is None:
        return ()
    if not isinstance(bias, Mapping):
        raise bad_request("logit_bias", f"logit_bias is {shown(bias)}, but must be a mapping of token ids to numbers")
    result: list[tuple[int, float]] = []
    for key, value in bias.items():
        try:
            token = int(key) if isinstance(key, (int, str)) and not isinstance(key, bool) else -1
        except ValueError:
            token = -1
        if not 0 <= token <= _INT32_MAX:
            raise bad_request("logit_bias", f"logit_bias has the key {shown(key)}, but keys must be token ids")
        number = _real(f"logit_bias[{token}]", value, -100, 100, param="logit_bias")
        # openai documents -100 as a ban; a large negative bias alone could still lose to a larger logit.
        result.append((token, -math.inf if number == -100 else number))
    return tuple(result)


def _include_usage(given: Mapping[str, Any], stream: bool) -> bool:
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


def _extra(name: str, parameter: ExtraParameter, value: object) -> Any:
    if parameter.kind == "int":
        return _integer(name, value, int(parameter.low), int(parameter.high))
    if parameter.kind == "float":
        return _real(name, value, parameter.low, parameter.high)
    if parameter.kind == "bool" or name == "cache_prompt":
        if not isinstance(value, bool):
            raise bad_request(name, f"{name} is {shown(value)}, but must be a boolean")
        return int(value)
    if name == "priority":
        return _integer(name, value, -1000, 1000)
    if name == "grammar":
        if not isinstance(value, str) or not value or not _is_utf8(value):
            raise bad_request(name, f"{name} is {shown(value)}, but must be GBNF text")
        return value
    if name == "chat_template_kwargs":
        return _template_kwargs(name, value)
    texts = tuple(value) if isinstance(value, (list, tuple)) else ()
    if not texts or not all(isinstance(text, str) and text and _is_utf8(text) for text in texts):
        raise bad_request(name, f"{name} is {shown(value)}, but must be a list of texts, at least one")
    return texts


def _template_kwargs(name: str, value: object) -> dict[str, object]:
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


def _integer(name: str, value: object, low: int, high: int | None) -> int:
    allowed = f"an integer from {low}" + ("" if high is None else f" to {high}")
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise bad_request(name, f"{name} is {shown(value)}, but must be {allowed}")
    return value


def _real(name: str, value: object, low: float, high: float, *, param: str | None = None) -> float:
    # NaN fails every comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        limit = f"a number from {low:g}" + ("" if high == math.inf else f" to {high:g}")
        raise bad_request(param or name, f"{name} is {shown(value)}, but must be {limit}")
    return float(value)


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(name, f"{name} is {shown(value)}, but must be a boolean")
    return value


def _one_of(given: Mapping[str, Any], name: str, allowed: Iterable[str]) -> str:
    value = given[name]
    if not isinstance(value, str) or value not in allowed:
        raise bad_request(name, f"{name} is {shown(value)}, but must be one of {', '.join(allowed)}")
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
