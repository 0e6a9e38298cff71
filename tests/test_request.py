"""Parameters become a request or a BadRequestError that names the one at fault; no model is needed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_async import BadRequestError, not_given, omit
from llama_async._abi import LOGIT_BIAS_STRUCT, SEED_RANDOM, RequestFlag, SegmentKind
from llama_async._compat import CHAT, ENDPOINTS, EXTRA_BODY_PARAMETERS, Effect
from llama_async._parameters import timeout_seconds
from llama_async._request import chat_request
from llama_async.types.chat import ChatCompletionMessage

HELLO = [{"role": "user", "content": "hello"}]


def build(**parameters: Any) -> Any:
    return chat_request("m", {"messages": HELLO, **parameters})


def encoded(messages: Any, **parameters: Any) -> Any:
    (segment,) = build(messages=messages, **parameters).prompt.encode()
    assert segment.kind is SegmentKind.CHAT
    return json.loads(segment.data)


def refused(**parameters: Any) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        build(**parameters).prompt.encode()
    assert caught.value.status_code == 400
    assert caught.value.type == "invalid_request_error"
    return caught.value


def test_nothing_given_means_the_models_defaults() -> None:
    request = build(temperature=None, n=omit, seed=not_given)
    assert dict(request.native.sampling) == {"top_logprobs": -1}
    assert request.native.max_tokens == -1
    assert request.native.n_choices == 1
    assert request.native.flags == RequestFlag.NONE
    assert not request.stream


def test_a_long_logit_bias_is_not_checked_on_the_event_loop() -> None:
    # 300,000 entries take a quarter of a second.
    request = build(logit_bias={**dict.fromkeys(range(2048), 1), "x": 1})
    assert request.logit_bias.is_long
    with pytest.raises(BadRequestError, match="the key 'x'"):
        request.logit_bias.encode()
    assert not build(logit_bias=dict.fromkeys(range(2048), 1)).logit_bias.is_long


def test_everything_given() -> None:
    request = build(
        temperature=0.5,
        top_p=1,
        frequency_penalty=-2,
        presence_penalty=2,
        seed=42,
        max_completion_tokens=10,
        n=3,
        stop=["a", "b"],
        logprobs=True,
        top_logprobs=5,
        logit_bias={"5": -100, 7: 1.5},
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        service_tier="flex",
        reasoning_effort="low",
        extra_body={"top_k": 3, "typical_p": 0.5, "repeat_last_n": -1, "ignore_eos": True, "cache_prompt": False},
    )
    native = request.native
    assert dict(native.sampling) == {
        "temperature": 0.5,
        "top_p": 1.0,
        "frequency_penalty": -2.0,
        "presence_penalty": 2.0,
        "seed": 42,
        "top_logprobs": 5,
        "top_k": 3,
        "typical_p": 0.5,
        "penalty_last_n": -1,
        "ignore_eos": 1,
    }
    packed = request.logit_bias.encode()
    assert list(LOGIT_BIAS_STRUCT.iter_unpack(packed)) == [(5, -math.inf), (7, 1.5)]
    assert (native.n_choices, native.max_tokens, native.stop, native.priority) == (3, 10, ("a", "b"), -1)
    assert native.flags == RequestFlag.STREAM | RequestFlag.NO_CACHE
    assert request.include_usage
    assert json.loads(request.prompt.encode()[0].data)["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("frequency_penalty", 3),
        ("presence_penalty", -3),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_completion_tokens", 0),
        ("n", 0),
        ("n", 129),
        ("n", "2"),
        ("seed", "x"),
        ("seed", 2**63),
        ("stop", ["a"] * 5),
        ("stop", 5),
        ("logit_bias", []),
        ("logit_bias", {"a": 1}),
        ("logit_bias", {"-1": 1}),
        ("logit_bias", {"1": 101}),
        ("logit_bias", {"1": math.nan}),
        ("logit_bias", {True: 1}),
        ("logit_bias", {" 5 ": 1}),
        ("logit_bias", {"1_0": 1}),
        ("logit_bias", {"+5": 1}),
        ("logit_bias", {"\u0665": 1}),
        ("logit_bias", {"": 1}),
        ("logit_bias", {5.0: 1}),
        ("logit_bias", dict.fromkeys(range(300_001), 1)),
        ("logprobs", 1),
        ("top_logprobs", 3),
        ("stream", "yes"),
        ("stream_options", {"include_usage": True}),
        ("reasoning_effort", "extreme"),
        ("service_tier", "gold"),
        ("user", 5),
        ("safety_identifier", 5),
        ("metadata", "x"),
        ("extra_body", [1]),
        ("parallel_tool_calls", 1),
    ],
)
def test_a_wrong_value_is_named(param: str, value: object) -> None:
    error = refused(**{param: value})
    assert error.param == param
    assert param in str(error)


@pytest.mark.parametrize("value", [-1, 21, 1.0, True])
def test_top_logprobs_range(value: object) -> None:
    assert refused(logprobs=True, top_logprobs=value).param == "top_logprobs"


def test_stop_strings_are_named_by_place() -> None:
    assert refused(stop="").param == "stop"
    assert refused(stop=["a", ""]).param == "stop[1]"
    assert refused(stop=["\ud800"]).param == "stop[0]"
    assert build(stop=[]).native.stop == ()
    assert build(stop="end").native.stop == ("end",)


def test_both_names_of_max_tokens() -> None:
    assert build(max_tokens=5, max_completion_tokens=5).native.max_tokens == 5
    assert refused(max_tokens=5, max_completion_tokens=6).param == "max_tokens"
    # Beyond any context: left to the engine, which says how long the context is.
    assert build(max_tokens=10**12).native.max_tokens == 2**31 - 1


def test_stream_options_need_a_stream_and_known_keys() -> None:
    assert refused(stream=True, stream_options={"include_everything": True}).param == "stream_options"
    assert refused(stream=True, stream_options={"include_usage": 1}).param == "stream_options.include_usage"
    assert refused(stream=True, stream_options=[1]).param == "stream_options"
    assert not build(stream=True, stream_options={}).include_usage


@given(st.integers(-(2**63), 2**63 - 1))
def test_seeds_fold_into_32_bits(seed: int) -> None:
    folded = build(seed=seed).native.sampling["seed"]
    assert 0 <= folded < SEED_RANDOM
    if 0 <= seed < SEED_RANDOM:
        assert folded == seed


REJECTED: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni"},
    "verbosity": "low",
    "web_search_options": {},
}


def test_every_rejected_parameter_is_tried_here() -> None:
    assert set(REJECTED) == {name for name, entry in ENDPOINTS[CHAT].items() if entry.effect is Effect.REJECTED}


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_unless_neutral(name: str) -> None:
    error = refused(**{name: REJECTED[name]})
    assert error.param == name
    assert error.code == "unsupported_parameter"
    build(**{name: None})
    for neutral in ENDPOINTS[CHAT][name].neutral:
        build(**{name: list(neutral) if isinstance(neutral, tuple) else neutral})


@pytest.mark.parametrize("name", [n for n, entry in ENDPOINTS[CHAT].items() if entry.effect is Effect.NO_EFFECT])
def test_no_effect_is_accepted(name: str) -> None:
    value: Any = {"metadata": {"a": "b"}}.get(name, "x")
    assert build(**{name: value}).native == build().native


NUMBERS = [
    name
    for name, parameter in EXTRA_BODY_PARAMETERS.items()
    if parameter.field and parameter.kind in {"int", "float"} and CHAT in parameter.endpoints
]


@pytest.mark.parametrize("name", NUMBERS)
def test_extra_body_numbers(name: str) -> None:
    parameter = EXTRA_BODY_PARAMETERS[name]
    kind = int if parameter.kind == "int" else float
    for value in (kind(parameter.low), kind(parameter.high)):
        assert build(extra_body={name: value}).native.sampling[parameter.field] == value
    for value in (kind(parameter.low) - 1, kind(parameter.high) * 2 + 1, math.nan, "1", True, [1]):
        assert refused(extra_body={name: value}).param == name


def test_extra_body_others() -> None:
    native = build(
        extra_body={
            "samplers": ["top_k"],
            "dry_sequence_breakers": ["\n"],
            "grammar": 'root ::= "x"',
            "priority": 7,
            "temperature": 0.25,
            "max_tokens": 3,
        },
        temperature=1,
        service_tier="flex",
    ).native
    assert (native.samplers, native.dry_breakers, native.grammar) == (("top_k",), ("\n",), 'root ::= "x"')
    assert (native.priority, native.sampling["temperature"], native.max_tokens) == (7, 0.25, 3)
    kwargs = {"enable_thinking": False, "n": [1, 2.5, None]}
    assert encoded(HELLO, extra_body={"chat_template_kwargs": kwargs})["chat_template_kwargs"] == kwargs


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("topk", 5),
        ("n_probs", 3),
        ("n_predict", 3),
        ("stream", True),
        ("model", "x"),
        ("samplers", []),
        ("samplers", "top_k"),
        ("samplers", [1]),
        ("dry_sequence_breakers", [""]),
        ("grammar", ""),
        ("grammar", 5),
        ("chat_template_kwargs", {1: 2}),
        ("chat_template_kwargs", {"f": object()}),
        ("chat_template_kwargs", {"f": [math.nan]}),
        ("chat_template_kwargs", {"f": {"g": math.inf}}),
        ("chat_template_kwargs", {"messages": []}),
        ("chat_template_kwargs", {"add_generation_prompt": False}),
        ("cache_prompt", 1),
        ("ignore_eos", "no"),
        ("priority", 1001),
    ],
)
def test_extra_body_refusals(key: str, value: object) -> None:
    assert refused(extra_body={key: value}).param == key


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        (None, "messages"),
        ("hello", "messages"),
        ({"role": "user", "content": "x"}, "messages"),
        (5, "messages"),
        (["hello"], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([*HELLO, *HELLO, {"role": "wizard", "content": "x"}], "messages[2].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": {"type": "text", "text": "x"}}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": "\ud800"}], "messages[0].content"),
        ([{"role": "user", "content": "x" * 100_000 + "\udfff"}], "messages[0].content"),
        ([*HELLO, {"role": "user", "content": [{"type": "text", "text": "a\udc00"}]}], "messages[1].content"),
        ([{"role": "user", "content": "x", "name": "\ud800"}], "messages[0].name"),
        ([{"role": "user", "content": "x", "name": 5}], "messages[0].name"),
        ([{"role": "user", "content": "x", "colour": "red"}], "messages[0].colour"),
        ([{"role": "assistant"}], "messages[0].content"),
        ([{"role": "assistant", "content": "x", "audio": {"id": "a"}}], "messages[0].audio"),
        (
            [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}],
            "messages[0].tool_calls[0].function.arguments",
        ),
        ([{"role": "assistant", "tool_calls": 5}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [5]}], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [{"type": "custom"}]}], "messages[0].tool_calls[0].type"),
        ([{"role": "assistant", "tool_calls": [{"type": "function"}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "function", "content": "x", "name": "f"}], "messages[0]"),
    ],
)
def test_wrong_messages(messages: Any, param: str) -> None:
    assert refused(messages=messages).param == param


def test_messages_are_passed_on() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": "x", "name": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "\0<|im_end|>"}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "y", "annotations": [{"type": "url_citation"}]},
        {"role": "assistant", "refusal": "no"},
    ]
    assert encoded(iter(messages)) == {
        "add_generation_prompt": True,
        "messages": [
            messages[0],
            messages[1],
            messages[2],
            {"role": "assistant", "content": "", "tool_calls": [call]},
            messages[4],
            {"role": "assistant", "content": "y"},
            {"role": "assistant", "content": "no"},
        ],
    }


def test_a_message_of_an_answer_can_be_sent_back() -> None:
    message = ChatCompletionMessage(role="assistant", content="Paris", refusal=None, annotations=[])
    assert encoded([*HELLO, message])["messages"][1] == {"role": "assistant", "content": "Paris"}


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=50), min_size=1, max_size=3))
def test_any_text_is_passed_on_or_refused(texts: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    bad = [index for index, text in enumerate(texts) if any("\ud800" <= c <= "\udfff" for c in text)]
    if bad:
        assert refused(messages=messages).param == f"messages[{bad[0]}].content"
    else:
        assert encoded(messages)["messages"] == messages


def test_long_text_is_encoded_in_pieces_without_a_seam() -> None:
    text = ('né "\\\n\0🙂' * 60_000)[: 3 * 65536 + 17]
    assert encoded([{"role": "user", "content": text}])["messages"] == [{"role": "user", "content": text}]


def test_timeouts() -> None:
    class Timeout:
        read = 7.0

    assert timeout_seconds(not_given, 600) == 600
    assert timeout_seconds(Timeout(), 600) == 7
    assert timeout_seconds(None, 600) is None
    assert timeout_seconds(5, 600) == 5.0
    for wrong in (math.nan, -1, "x", True):
        with pytest.raises(BadRequestError) as caught:
            timeout_seconds(wrong, 600)
        assert caught.value.param == "timeout"


def test_no_parameter_is_forgotten() -> None:
    """A parameter that changed nothing and was not in the table would be dropped silently."""
    with pytest.raises(KeyError):
        build(new_parameter=1)
