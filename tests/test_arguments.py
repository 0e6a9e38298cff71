"""Arguments of functions obey the rules of answers: what is refused, what is loosened, what upstream is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grammar_acceptor import Grammars
from tools.json_schema_suite import cases

from llama_async import BadRequestError
from llama_async._grammar.compiler import arguments_of, rules_of, schema_grammar
from llama_async._tools import are_ready, tool_options

ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
def grammars(model_path: Path) -> Iterator[Grammars]:
    grammars = Grammars(model_path)
    yield grammars
    grammars.close()


def of_objects(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def refused(schema: object, *, lenient: bool = False) -> str:
    with pytest.raises(BadRequestError) as caught:
        arguments_of(schema, "tools", lenient=lenient)
    assert caught.value.param == "tools"
    return str(caught.value)


def function(name: str, parameters: object, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **fields}}


def test_arguments_and_answers_are_taken_and_refused_alike() -> None:
    """Over the official suite, each of its schemas as that of one argument."""
    n_taken = 0
    for case in cases():
        schema = of_objects(a=case.schema)
        reason = why_refused(partial(schema_grammar, schema, "tools"))
        assert why_refused(partial(arguments_of, schema, "tools")) == reason, case.name
        n_taken += not reason
    assert n_taken > 300


def why_refused(make: Callable[[], object]) -> str:
    try:
        make()
    except BadRequestError as error:
        return str(error)
    return ""


def test_the_rules_of_arguments_are_those_of_answers(grammars: Grammars) -> None:
    schema = of_objects(a={"type": "number", "minimum": 0}, b={"enum": ["x", "y"]})
    said = arguments_of(schema, "tools")
    assert said.by_name is not None
    rules = rules_of([said], "tools")
    for rule, accepted, others in [
        (said.rule, ['{"a":0.5,"b":"x"}'], ['{"a":-1,"b":"x"}', '{"b":"x"}', '{"a":1,"b":"z"}']),
        (said.by_name["a"].rule, ["0", "17.5"], ["-1", '"a"']),
        (said.by_name["b"].rule, ['"x"', '"y"'], ['"z"', "x"]),
    ]:
        with grammars.compiled(f"root ::= {rule}\n{rules}") as grammar:
            assert all(map(grammar.accepts, accepted))
            assert not any(map(grammar.accepts, others))


def test_what_upstream_is_told() -> None:
    item = of_objects(x={"type": "number", "minimum": 0})
    said = arguments_of(
        {
            "$defs": {"item": item},
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "any"},
                "code": {"type": "string", "maxLength": 3},
                "unit": {"enum": ["C", "F"]},
                "one": {"anyOf": [{"const": "a"}, {"const": "b"}]},
                "mixed": {"enum": ["a", 1]},
                "maybe": {"type": ["string", "null"]},
                "count": {"type": ["string", "integer"]},
                "any": {},
                "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            },
            "required": ["text"],
        },
        "tools",
    )
    assert said.outline == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "any"},
            "code": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "one": {"type": "string", "enum": ["a", "b"]},
            "mixed": {"enum": ["a", 1]},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "count": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "any": {},
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"x": {"type": "number"}},
                    "required": ["x"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    assert said.by_name is not None
    assert {name for name, one in said.by_name.items() if one.free} == {"text", "maybe"}
    texts = {name: one.texts for name, one in said.by_name.items() if one.texts}
    assert texts == {"unit": ("C", "F"), "one": ("a", "b")}


@pytest.mark.parametrize(
    "said",
    [
        {"minProperties": 1},
        {"maxProperties": 1},
        {"dependentRequired": {"a": ["b"]}},
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"propertyNames": {"maxLength": 1}},
        {"const": {"a": "x"}},
    ],
)
def test_what_is_said_of_all_arguments_needs_them_in_one_value(said: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, **said}
    arguments = arguments_of(schema, "tools")
    assert arguments.by_name is None
    assert arguments.outline["type"] == "object"


def test_a_schema_that_holds_itself_is_told_in_part() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/node"} for n in range(60)}}
    said = arguments_of({"$defs": {"node": node}, **of_objects(root={"$ref": "#/$defs/node"}, name={})}, "tools")
    assert list(said.outline["properties"]) == ["root", "name"]
    assert len(json.dumps(said.outline)) < 40_000


def test_an_argument_that_would_never_end_is_not_offered() -> None:
    endless: dict[str, Any] = {"type": "object", "properties": {"n": {"$ref": "#/$defs/e"}}, "required": ["n"]}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/e"}, "b": {}}, "$defs": {"e": endless}}
    said = arguments_of(schema, "tools")
    assert said.by_name is not None
    assert list(said.by_name) == list(said.outline["properties"]) == ["b"]
    assert {one.rule for one in said.by_name.values()} <= said.lines.keys()


LOOSENED: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "[] [1,1]", '"a" ["a"]'),
    ({"type": "string", "pattern": "(?=a)"}, '"b"', "1"),
    ({"anyOf": [{"type": "integer", "unknown": 1}, {"type": "null"}]}, "1 null", '"a"'),
    ({"$ref": "https://example.com/schema"}, '1 "a" []', "x"),
    ({"type": "object", "properties": {"x": {"unknown": 1}}, "required": ["x"]}, '{"x":1} {"x":"a"}', "{} 1"),
    ({"not": {"format": "date"}, "type": "string"}, '"2020-01-01"', "1"),
    ({"type": "strnig"}, '1 "a"', "x"),
    ({"enum": []}, '1 "a"', "x"),
]


@pytest.mark.parametrize(("schema", "accepted", "others"), LOOSENED)
def test_what_cannot_be_enforced_is_loosened(
    schema: dict[str, Any], accepted: str, others: str, grammars: Grammars
) -> None:
    whole = of_objects(a=schema, b={"type": "integer", "minimum": 3})
    refused(whole)
    said = arguments_of(whole, "tools", lenient=True)
    with grammars.compiled(f"root ::= {said.rule}\n{rules_of([said], 'tools')}") as grammar:
        for text in accepted.split():
            assert grammar.accepts(f'{{"a":{text},"b":3}}'), text
            assert not grammar.accepts(f'{{"a":{text},"b":2}}'), "what can be enforced beside it is"
        for text in others.split():
            assert not grammar.accepts(f'{{"a":{text},"b":3}}'), text


def test_of_what_nothing_satisfies_the_names_are_left(grammars: Grammars) -> None:
    schema = of_objects(a={"type": "object", "properties": {"x": {}}, "minProperties": 7})
    assert "no value" in refused(schema)
    said = arguments_of(schema, "tools", lenient=True)
    with grammars.compiled(f"root ::= {said.rule}\n{rules_of([said], 'tools')}") as grammar:
        assert grammar.accepts('{"a":1}')
        assert not grammar.accepts('{"b":1}')


@pytest.mark.parametrize("schema", [{"type": "string"}, {}, {"type": ["object", "null"]}, {"enum": ["a"]}])
@pytest.mark.parametrize("lenient", [False, True])
def test_arguments_are_an_object(schema: dict[str, Any], lenient: bool) -> None:
    assert "object" in refused(schema, lenient=lenient)


def test_work_is_bounded_when_loosened_too() -> None:
    doubling: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    for schema in (
        {**of_objects(a={"$ref": "#/$defs/d0"}), "$defs": {**doubling, "d60": {"unknown": 1}}},
        {**of_objects(a={"$ref": "#"}), "required": []},
        of_objects(a={"pattern": "^.*(a|b).{30}$", "minLength": 50}),
    ):
        started = time.thread_time()
        try:
            arguments_of(schema, "tools", lenient=True)
        except BadRequestError:
            pass
        assert time.thread_time() - started < 5


def test_functions_share_what_their_rules_have_in_common() -> None:
    """Each is a schema of its own, and strings, numbers and the like are written once."""
    schemas = [of_objects(**{f"a{n}": {"type": "string"}, "n": {"type": "number"}}) for n in range(128)]
    tools = [function(f"f{n}", schema) for n, schema in enumerate(schemas)]
    options = tool_options({"tools": tools})
    rules = options["tool_rules"]
    assert isinstance(rules, str)
    assert len(rules) < 100_000
    names = [line.partition(" ::= ")[0] for line in rules.splitlines()]
    assert len(names) == len(set(names))


def test_the_schemas_of_a_request_are_bounded_together() -> None:
    def large(n: int) -> dict[str, Any]:
        return of_objects(**{f"{'x' * 40}{n}_{k}": {"enum": [f"{'y' * 100}{k}"]} for k in range(300)})

    tools = [function(f"f{n}", large(n)) for n in range(12)]
    assert tool_options({"tools": tools[:2]})
    with pytest.raises(BadRequestError, match="together") as caught:
        tool_options({"tools": tools})
    assert caught.value.param == "tools"


def test_what_is_known_needs_no_thread() -> None:
    tools = [function("known_f", of_objects(known_a={"type": "integer"}), strict=True), function("known_g", None)]
    assert not are_ready(tools)
    tool_options({"tools": tools})
    assert are_ready(tools)
    assert are_ready(None)
    assert are_ready("nonsense")
