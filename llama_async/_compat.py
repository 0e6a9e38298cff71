"""What becomes of every parameter: one table, which the request builder, docs/compatibility.md and a test read.

A parameter is honoured; or it can have no effect on an answer that is computed here, and is accepted; or it would
change the answer in a way this engine cannot, and is rejected unless its value is one that asks for nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHAT",
    "CLIENT_PARAMETERS",
    "COMPLETIONS",
    "EMBEDDINGS",
    "ENDPOINTS",
    "EXTRA_BODY_PARAMETERS",
    "Effect",
    "ExtraParameter",
    "Parameter",
]

# Names of endpoints: the path of the method on the client.
CHAT = "chat.completions.create"
COMPLETIONS = "completions.create"
EMBEDDINGS = "embeddings.create"


class Effect(enum.Enum):
    """What happens to a parameter."""

    HONOURED = "honoured"
    NO_EFFECT = "no effect"
    REJECTED = "rejected"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an endpoint.

    Attributes:
        effect: What happens to it.
        note: Why, or how far it is honoured; empty where there is nothing to say.
        neutral: Values of a rejected parameter that ask for nothing and are accepted. `None` always is.
    """

    effect: Effect
    note: str = ""
    neutral: tuple[object, ...] = ()


_HONOURED, _NO_EFFECT, _REJECTED = Effect.HONOURED, Effect.NO_EFFECT, Effect.REJECTED

_CHAT_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "messages": Parameter(_HONOURED, "text only; roles developer, system, user, assistant, tool, function"),
        "model": Parameter(_HONOURED, "the file's stem, `default`, or an alias"),
        "audio": Parameter(_REJECTED, "no audio output"),
        "frequency_penalty": Parameter(_HONOURED),
        "function_call": Parameter(_HONOURED, "none, auto, a function; deprecated by openai in favour of tool_choice"),
        "functions": Parameter(_HONOURED, "called and answered as `function_call`; deprecated in favour of tools"),
        "logit_bias": Parameter(_HONOURED, "token ids of this model; -100 forbids the token"),
        "logprobs": Parameter(_HONOURED, "of the model's own distribution, before penalties and truncation"),
        "max_completion_tokens": Parameter(_HONOURED),
        "max_tokens": Parameter(_HONOURED, "the older name of max_completion_tokens"),
        "metadata": Parameter(_HONOURED, "kept with a stored completion; without `store` it has no effect"),
        "modalities": Parameter(_REJECTED, "text only", neutral=(("text",),)),
        "moderation": Parameter(_REJECTED, "there is no moderation model"),
        "n": Parameter(_HONOURED, "up to 128"),
        "parallel_tool_calls": Parameter(_HONOURED, "by default as the chat template can"),
        "prediction": Parameter(
            _HONOURED, "guessed from; accepted and rejected tokens count what the answer said of it and what not"
        ),
        "presence_penalty": Parameter(_HONOURED),
        "prompt_cache_key": Parameter(_NO_EFFECT, "prefixes are shared without it"),
        "prompt_cache_options": Parameter(_NO_EFFECT, "prefixes are shared without it"),
        "prompt_cache_retention": Parameter(_NO_EFFECT, "prefixes live as long as there is room"),
        "reasoning_effort": Parameter(_HONOURED, "passed to the chat template; many ignore it"),
        "response_format": Parameter(
            _HONOURED, "every schema is enforced, strict or not; what cannot be enforced is refused by its keyword"
        ),
        "safety_identifier": Parameter(_NO_EFFECT, "nothing leaves the process"),
        "seed": Parameter(_HONOURED, "folded into 32 bits"),
        "service_tier": Parameter(_HONOURED, "priority and fast go before, flex after the others in the queue"),
        "stop": Parameter(_HONOURED, "a string, or up to 4"),
        "store": Parameter(_HONOURED, "kept in SQLite: memory or the file that the client's `store=` names, bounded"),
        "stream": Parameter(_HONOURED),
        "stream_options": Parameter(_HONOURED, "include_usage; include_obfuscation has no effect"),
        "temperature": Parameter(_HONOURED),
        "tool_choice": Parameter(_HONOURED, "none, auto, required, a function, allowed_tools"),
        "tools": Parameter(
            _HONOURED,
            "functions; arguments obey a strict schema, and any other as far as it can be enforced",
        ),
        "top_logprobs": Parameter(_HONOURED),
        "top_p": Parameter(_HONOURED),
        "user": Parameter(_NO_EFFECT, "nothing leaves the process"),
        "verbosity": Parameter(_REJECTED, "a prompt for the hosted models", neutral=("medium",)),
        "web_search_options": Parameter(_REJECTED, "there is no web search"),
        "extra_headers": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_query": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_body": Parameter(_HONOURED, "llama.cpp's own parameters, by llama-server's names"),
        "timeout": Parameter(_HONOURED, "seconds, or the read part of an httpx.Timeout"),
    }
)


_EMBEDDINGS_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "input": Parameter(_HONOURED, "text, token ids, or up to 2,048 of either"),
        "model": Parameter(_HONOURED, "the file's stem, `default`, or an alias"),
        "dimensions": Parameter(
            _HONOURED, "any model's vectors are cut and scaled anew; useful where it was trained so"
        ),
        "encoding_format": Parameter(_HONOURED, "base64 is little-endian float32"),
        "user": Parameter(_NO_EFFECT, "nothing leaves the process"),
        "extra_headers": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_query": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_body": Parameter(_HONOURED, "llama.cpp's own parameters, by llama-server's names"),
        "timeout": Parameter(_HONOURED, "seconds, or the read part of an httpx.Timeout"),
    }
)

_COMPLETIONS_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "model": Parameter(_HONOURED, "the file's stem, `default`, or an alias"),
        "prompt": Parameter(
            _HONOURED,
            "names of control tokens in it become these tokens; a BOS token goes before text where the model wants one;"
            " None or empty text: the BOS token alone",
        ),
        "best_of": Parameter(_HONOURED, "up to 128; not with stream, unless it equals n"),
        "echo": Parameter(_HONOURED, "with logprobs the whole prompt is computed anew, cached or not"),
        "frequency_penalty": Parameter(_HONOURED),
        "logit_bias": Parameter(_HONOURED, "token ids of this model; -100 forbids the token"),
        "logprobs": Parameter(_HONOURED, "up to 20, of the model's own distribution, before penalties and truncation"),
        "max_tokens": Parameter(
            _HONOURED, "16 where it is not given, as openai documents; 0 with echo: the prompt only"
        ),
        "n": Parameter(_HONOURED, "up to 128"),
        "presence_penalty": Parameter(_HONOURED),
        "seed": Parameter(_HONOURED, "folded into 32 bits"),
        "stop": Parameter(_HONOURED, "a string, or up to 4"),
        "stream": Parameter(_HONOURED),
        "stream_options": Parameter(_HONOURED, "include_usage; include_obfuscation has no effect"),
        "suffix": Parameter(
            _HONOURED, "if the model has tokens for it: prompt, suffix, then what belongs between them"
        ),
        "temperature": Parameter(_HONOURED),
        "top_p": Parameter(_HONOURED),
        "user": Parameter(_NO_EFFECT, "nothing leaves the process"),
        "extra_headers": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_query": Parameter(_NO_EFFECT, "there is no HTTP"),
        "extra_body": Parameter(_HONOURED, "llama.cpp's own parameters, by llama-server's names"),
        "timeout": Parameter(_HONOURED, "seconds, or the read part of an httpx.Timeout"),
    }
)

ENDPOINTS: Mapping[str, Mapping[str, Parameter]] = MappingProxyType(
    {CHAT: _CHAT_PARAMETERS, COMPLETIONS: _COMPLETIONS_PARAMETERS, EMBEDDINGS: _EMBEDDINGS_PARAMETERS}
)


_ABSENT = Effect.ABSENT

# Of the constructor of openai's client, and of its `copy`.
CLIENT_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "api_key": Parameter(_NO_EFFECT, "kept as `client.api_key`; no environment is read, no function called"),
        "admin_api_key": Parameter(_ABSENT, "there is nothing to administer"),
        "workload_identity": Parameter(_ABSENT, "there is nobody to identify to"),
        "organization": Parameter(_NO_EFFECT, "kept as an attribute"),
        "project": Parameter(_NO_EFFECT, "kept as an attribute"),
        "webhook_secret": Parameter(_ABSENT, "no webhooks"),
        "provider": Parameter(_ABSENT, "the model's file says who answers"),
        "base_url": Parameter(_NO_EFFECT, "stands in the URLs that raw responses show"),
        "data_residency": Parameter(_ABSENT, "nothing leaves the process"),
        "websocket_base_url": Parameter(_ABSENT, "no WebSockets"),
        "timeout": Parameter(_HONOURED, "seconds, or the read part of an httpx.Timeout; 600 by default"),
        "max_retries": Parameter(_NO_EFFECT, "there is nothing to retry; `as_openai()` takes it over"),
        "default_headers": Parameter(_NO_EFFECT, "stand in the requests that raw responses show"),
        "default_query": Parameter(_NO_EFFECT, "there is no HTTP"),
        "http_client": Parameter(
            _ABSENT, "whoever passes one wants something of HTTP, such as a proxy or a mock, that would not happen"
        ),
        "set_default_headers": Parameter(_NO_EFFECT, "of `copy`: replaces default_headers"),
        "set_default_query": Parameter(_NO_EFFECT, "of `copy`: there is no HTTP"),
    }
)


@dataclass(frozen=True, slots=True)
class ExtraParameter:
    """A key of `extra_body`.

    Attributes:
        kind: `int`, `float`, `bool`, or `other` for those with rules of their own.
        field: The field of `la_sampling` that takes its number; empty for the others.
        low: Smallest value.
        high: Largest value.
        note: What it does beyond llama-server's documentation of that name.
        endpoints: The endpoints that take it.
    """

    kind: str
    field: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    note: str = ""
    endpoints: tuple[str, ...] = (CHAT, COMPLETIONS)


_INT32_MAX = 2**31 - 1

# Ranges are llama-server's hard limits at the pinned commit (tools/server/server-schema.cpp), and where it clamps or
# has none, what the sampler's definition allows.
EXTRA_BODY_PARAMETERS: Mapping[str, ExtraParameter] = MappingProxyType(
    {
        "top_k": ExtraParameter("int", "top_k", 0, _INT32_MAX, "0: the whole vocabulary"),
        "min_p": ExtraParameter("float", "min_p", 0, 1),
        "typical_p": ExtraParameter("float", "typical_p", 0, 1),
        "top_n_sigma": ExtraParameter("float", "top_n_sigma", -1, 1e6, "below 0: off"),
        "xtc_probability": ExtraParameter("float", "xtc_probability", 0, 1),
        "xtc_threshold": ExtraParameter("float", "xtc_threshold", 0, 1),
        "dynatemp_range": ExtraParameter("float", "dynatemp_range", 0, 100),
        "dynatemp_exponent": ExtraParameter("float", "dynatemp_exponent", 0, 100),
        "repeat_last_n": ExtraParameter("int", "penalty_last_n", -1, _INT32_MAX, "-1: the whole context"),
        "repeat_penalty": ExtraParameter("float", "repeat_penalty", 1e-6, 1e6),
        "dry_multiplier": ExtraParameter("float", "dry_multiplier", 0, 1e6),
        "dry_base": ExtraParameter("float", "dry_base", 1, 1e6),
        "dry_allowed_length": ExtraParameter("int", "dry_allowed_length", 0, _INT32_MAX),
        "dry_penalty_last_n": ExtraParameter("int", "dry_penalty_last_n", -1, _INT32_MAX, "-1: the whole context"),
        "mirostat": ExtraParameter("int", "mirostat", 0, 2),
        "mirostat_tau": ExtraParameter("float", "mirostat_tau", 0, 1e6),
        "mirostat_eta": ExtraParameter("float", "mirostat_eta", 0, 1e6),
        "adaptive_target": ExtraParameter("float", "adaptive_target", -1, 1, "below 0: off"),
        "adaptive_decay": ExtraParameter("float", "adaptive_decay", 0, 0.99),
        "min_keep": ExtraParameter("int", "min_keep", 0, _INT32_MAX),
        "ignore_eos": ExtraParameter("bool", "ignore_eos"),
        "dry_sequence_breakers": ExtraParameter("other", note="a list of strings"),
        "samplers": ExtraParameter("other", note="names in order"),
        "grammar": ExtraParameter("other", note="GBNF"),
        "cache_prompt": ExtraParameter("other", note="false: neither read nor leave a cached prefix"),
        "chat_template": ExtraParameter(
            "other",
            note="Jinja text, or the name of a format in `llama_async/chat_formats`, instead of the model's own",
            endpoints=(CHAT,),
        ),
        "chat_template_kwargs": ExtraParameter("other", note="variables of the chat template", endpoints=(CHAT,)),
        "reasoning_budget_tokens": ExtraParameter(
            "int", "", -1, _INT32_MAX, "tokens of thinking before its end is forced; -1: no limit", endpoints=(CHAT,)
        ),
        "speculative": ExtraParameter(
            "other", note="false, kinds such as `ngram`, or a mapping of `type` and the following; bounds, not orders"
        ),
        "speculative.type": ExtraParameter("other", note="what guesses, preferred first, separated by commas"),
        "speculative.n_max": ExtraParameter("int", "", 0, 256, "tokens guessed at a time, at most; 0: none"),
        "speculative.n_min": ExtraParameter("int", "", 0, 256),
        "speculative.p_min": ExtraParameter("float", "", 0, 1),
        "speculative.ngram_size_n": ExtraParameter("int", "", 1, 1024, "4"),
        "speculative.ngram_size_m": ExtraParameter("int", "", 1, 256, "`n_max`"),
        "speculative.ngram_min_hits": ExtraParameter("int", "", 1, 1024, "of `ngram-map-k4v`"),
        "speculative.adaptive": ExtraParameter("bool", note="false: guess always, whether it pays or not"),
        "embd_normalize": ExtraParameter(
            "int",
            "",
            -1,
            2,
            "-1: not at all, 0: the largest to 32760, 1: taxicab, 2: euclidean",
            endpoints=(EMBEDDINGS,),
        ),
        "priority": ExtraParameter(
            "other",
            note="higher first, 0 is normal; beats service_tier",
            endpoints=(CHAT, COMPLETIONS, EMBEDDINGS),
        ),
    }
)
