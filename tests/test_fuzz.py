"""Inputs that nobody would write: an answer or a BadRequestError that names its parameter, never anything else.

The same examples each time; `nox -s fuzz` sets LLAMA_ASYNC_FUZZ_EXAMPLES, which draws so many new ones a test.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import CLIENT_OPTIONS
from tools.tiny_models import llama_model

from llama_async import APITimeoutError, AsyncLlama, BadRequestError

pytestmark = pytest.mark.anyio

ONLY_ASYNCIO = True

_EXAMPLES = int(os.environ.get("LLAMA_ASYNC_FUZZ_EXAMPLES", "0"))
fuzz = settings(
    max_examples=_EXAMPLES or 120,
    derandomize=not _EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# Lone surrogates, NUL and noncharacters among them.
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def joined(*pieces: str, most: int = 30) -> st.SearchStrategy[str]:
    """Texts of pieces that mean something, with others between."""
    return st.lists(st.sampled_from(pieces) | TEXT.map(lambda text: text[:3]), max_size=most).map("".join)


# fmt: off
TEMPLATES = joined(
    "{{ ", " }}", "{% ", " %}", "{%- ", "-%}", "{#", "#}", "for m in messages", "for i in range(", "endfor", "if ",
    "elif ",
    "else", "endif", "macro f(a, b=1)", "endmacro", "{{ f(1) }}", "call f()", "endcall", "set x = ", "endset", "break",
    "messages", "tools", "m.role", "m['content']", "[0]", "[::-1]", " | tojson", " | sort", " | join(',')", " | length",
    " | replace('a', 'b')", " | indent(4)", " | map(attribute='role')", " | dictsort", " is defined",
    " is divisibleby(0)",
    " and ", " or ", " not ", " ~ ", " * ", " % ", "'x'", "999999999999", "-1", "(", ")", "[", "]", "{", "}", ",", "=",
    "namespace(", "loop.index", "raise_exception('x')", ".append(", ".split(", "__class__", "{{ messages[0].content }}",
)
GRAMMARS = joined(
    "root ::= ", "\n", '"a"', "[a-z]", "[^", "]", "(", ")", "{0,2000}", "{,5}", "{3}", "*", "+", "?", " | ", ".", "#",
    "\\x", "\\u00e9", "<[", "]>", "!", "\\", '"', "s ::= ", " s ", " root ", "%llguidance", "[\\x00-\\U0010FFFF]",
)
PATTERNS = joined(
    "^", "$", "a", "(", ")", "(?:", "(?=", "(?<n>", "[a-z", "[^", "]", "*", "+", "?", "{2}", "{1,2000}", "|", ".",
    "\\d",
    "\\w", "\\b", "\\p{L}", "\\1", "\\", "(a+)+", "(a|a)*", "\\u0000", "-", most=12,
)
# fmt: on
SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {},
            True,
            False,
            {"type": "string"},
            {"type": "integer"},
            {"$ref": "#"},
            {"$ref": "#/$defs/a"},
            {"const": None},
        ]
    )
    | st.builds(lambda pattern: {"type": "string", "pattern": pattern}, PATTERNS)
    | st.builds(lambda values: {"enum": values}, st.lists(JSON, max_size=3))
    | st.dictionaries(
        st.sampled_from(["minimum", "maxLength", "minItems", "multipleOf", "format", "type"]), JSON, max_size=2
    ),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["items", "additionalProperties", "not", "if", "then", "contains", "propertyNames"]),
            inner,
            max_size=2,
        )
        | st.builds(
            lambda of, kind: {kind: of}, st.lists(inner, max_size=3), st.sampled_from(["anyOf", "allOf", "oneOf"])
        )
        | st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(TEXT, inner, max_size=3),
            st.lists(TEXT, max_size=2),
        )
        | st.builds(lambda a, b: {"$defs": {"a": a}, "allOf": [b]}, inner, inner)
    ),
    max_leaves=8,
)
CONTENT = TEXT | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=2) | JSON
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "id": TEXT,
            "type": st.sampled_from(["function", "custom"]),
            "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT | JSON.map(str)}),
        }
    ),
    max_size=2,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]), "content": CONTENT},
        optional={"tool_calls": CALLS, "tool_call_id": TEXT, "name": TEXT, "reasoning_content": TEXT, "refusal": TEXT},
    ),
    min_size=1,
    max_size=4,
)
TOOLS = st.lists(
    st.builds(
        lambda name, parameters, strict: {
            "type": "function",
            "function": {"name": name, "parameters": parameters, "strict": strict},
        },
        st.sampled_from(["get", "get_more", "a b"]) | TEXT,
        SCHEMAS,
        st.booleans(),
    ),
    max_size=2,
)


@pytest.fixture(scope="module")
async def tiny(anyio_backend: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncLlama]:
    path: Path = llama_model().save(tmp_path_factory.mktemp("fuzz") / "tiny.gguf")
    async with AsyncLlama(path, **{**CLIENT_OPTIONS, "n_ctx": 512}) as client:
        yield client


async def answered(client: AsyncLlama, **parameters: Any) -> None:
    request = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4, **parameters}
    try:
        answer = await client.chat.completions.create(model="default", timeout=60, **request)
    except APITimeoutError:
        raise AssertionError("it takes longer than a minute") from None
    except BadRequestError as error:
        named = error.param
    else:
        named = ""
        assert answer.choices
    assert named is not None


@fuzz
@given(template=TEMPLATES)
async def test_templates(tiny: AsyncLlama, template: str) -> None:
    await answered(tiny, extra_body={"chat_template": template})


@fuzz
@given(grammar=GRAMMARS)
async def test_grammars(tiny: AsyncLlama, grammar: str) -> None:
    await answered(tiny, extra_body={"grammar": grammar})


@fuzz
@given(schema=SCHEMAS)
async def test_schemas(tiny: AsyncLlama, schema: Any) -> None:
    await answered(tiny, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


@fuzz
@given(messages=MESSAGES, tools=TOOLS, choice=st.sampled_from(["auto", "none", "required"]))
async def test_conversations(tiny: AsyncLlama, messages: Any, tools: Any, choice: str) -> None:
    await answered(tiny, messages=messages, tools=tools, tool_choice=choice if tools else "auto")


@fuzz
@given(
    parameters=st.dictionaries(
        st.sampled_from(
            "messages tools tool_choice response_format stop temperature max_tokens logit_bias seed n top_p "
            "reasoning_effort parallel_tool_calls stream_options metadata user".split()
        ),
        JSON,
        max_size=3,
    ),
    extra=st.dictionaries(
        st.sampled_from(["grammar", "chat_template", "chat_template_kwargs", "min_p", "samplers"]), JSON, max_size=2
    ),
)
async def test_whole_requests(tiny: AsyncLlama, parameters: Any, extra: Any) -> None:
    if isinstance(parameters.get("max_tokens"), int):
        parameters["max_tokens"] = min(parameters["max_tokens"], 8)
    await answered(tiny, **parameters, extra_body=extra)
