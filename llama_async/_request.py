"""The parameters of a chat completion -> a frozen request, or a BadRequestError naming the one at fault.

Cheap and strict: nothing is clamped, dropped or guessed. What becomes of each parameter stands in `_compat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ._abi import MAX_CHOICES, MAX_TOP_LOGPROBS, Request, RequestFlag
from ._compat import CHAT
from ._errors import bad_request, shown
from ._functions import has_functions
from ._messages import ChatPrompt, chat_prompt
from ._metadata import checked_metadata
from ._parameters import (
    INT32_MAX,
    LogitBias,
    boolean,
    given_parameters,
    include_usage,
    integer,
    logit_bias,
    merge_extra_body,
    one_of,
    refuse_unsupported,
    request_flags,
    sampling_numbers,
    stop_strings,
)
from ._response_format import is_ready, response_grammar
from ._speculation import predicted_text, request_speculation
from ._tools import are_ready, is_named, tool_options

__all__ = ["ChatRequest", "chat_request", "takes_long"]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_PRIORITIES: Mapping[str, int] = {"auto": 0, "default": 0, "scale": 0, "flex": -1, "priority": 1, "fast": 1}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked chat completion request.

    Attributes:
        model: The name asked for, which the answer repeats.
        prompt: The conversation.
        logit_bias: What is added to the logits.
        native: All of the native request but its prompt, its logit bias and its timeout.
        include_usage: Whether a stream ends with a chunk of usage.
        logprobs: Whether the answer carries log probabilities.
        tools: Whether the answer may call functions.
        functions: Whether it does so in the older form, `function_call`.
        named: Whether it has to call one, by its name.
        store: Whether the answer is kept.
        metadata: What is kept with it.
    """

    model: str
    prompt: ChatPrompt
    logit_bias: LogitBias
    native: Request
    include_usage: bool
    logprobs: bool
    tools: bool
    functions: bool
    named: bool
    store: bool
    metadata: Mapping[str, str]

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
    given = given_parameters(parameters)
    extra = merge_extra_body(CHAT, given)
    _check(given)
    stream = boolean(given, "stream")
    logprobs = boolean(given, "logprobs")
    sampling = sampling_numbers(given, extra)
    sampling["top_logprobs"] = _top_logprobs(given) if logprobs else -1
    if not logprobs and "top_logprobs" in given:
        raise bad_request("top_logprobs", "top_logprobs is given, but logprobs is not true")
    options: dict[str, object] = {}
    for name in ("chat_template", "chat_template_kwargs"):
        if name in extra:
            options[name] = extra[name]
    if "reasoning_effort" in given:
        options["reasoning_effort"] = one_of(given, "reasoning_effort", _EFFORTS)
    if "reasoning_budget_tokens" in extra:
        options["reasoning_budget_tokens"] = extra["reasoning_budget_tokens"]
    options.update(tool_options(given))
    tools = options.get("tool_choice", "none") != "none"
    if "grammar" in extra and tools:
        raise bad_request("grammar", "tools and grammar are both given: use one of them")
    if "response_format" in given:
        answer = response_grammar(given["response_format"])
        if answer is not None:
            if "grammar" in extra:
                raise bad_request("response_format", "response_format and grammar are both given: use one of them")
            options["answer_grammar"] = answer
    priority = _PRIORITIES[one_of(given, "service_tier", _PRIORITIES)] if "service_tier" in given else 0
    native = Request(
        segments=(),
        sampling=MappingProxyType(sampling),
        dry_breakers=extra.get("dry_sequence_breakers"),
        samplers=extra.get("samplers"),
        grammar=extra.get("grammar", ""),
        stop=stop_strings(given.get("stop")),
        n_choices=integer("n", given.get("n", 1), 1, MAX_CHOICES),
        max_tokens=_max_tokens(given),
        flags=request_flags(stream=stream, extra=extra),
        priority=extra.get("priority", priority),
        speculation=request_speculation(extra),
        prediction=predicted_text(given["prediction"]) if "prediction" in given else "",
    )
    return ChatRequest(
        model=model,
        prompt=chat_prompt(given.get("messages"), options),
        logit_bias=logit_bias(given.get("logit_bias")),
        native=native,
        include_usage=include_usage(given, stream),
        logprobs=logprobs,
        tools=tools,
        functions=has_functions(given),
        named=is_named(given),
        store=boolean(given, "store"),
        metadata=checked_metadata(given.get("metadata", {})),
    )


def takes_long(parameters: Mapping[str, object]) -> bool:
    """Whether checking these is work for another thread: there is a schema that is new, or large."""
    return not (
        is_ready(parameters.get("response_format"))
        and are_ready(parameters.get("tools"))
        and are_ready(parameters.get("functions"))
    )


def _check(given: Mapping[str, Any]) -> None:
    refuse_unsupported(CHAT, given)
    for name in ("safety_identifier", "prompt_cache_key"):
        if name in given and not isinstance(given[name], str):
            raise bad_request(name, f"{name} is {shown(given[name])}, but must be text")


def _top_logprobs(given: Mapping[str, Any]) -> int:
    return integer("top_logprobs", given.get("top_logprobs", 0), 0, MAX_TOP_LOGPROBS)


def _max_tokens(given: Mapping[str, Any]) -> int:
    limits = [integer(name, given[name], 1, None) for name in ("max_completion_tokens", "max_tokens") if name in given]
    if len(limits) == 2 and limits[0] != limits[1]:
        raise bad_request(
            "max_tokens", f"max_tokens is {limits[1]}, but max_completion_tokens is {limits[0]}: give one of them"
        )
    # More than any context: the engine refuses it, with its own count.
    return min(limits[0], INT32_MAX) if limits else -1
