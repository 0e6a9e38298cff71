"""A schema is rewritten into keywords that are enforced, or refused with keyword and place."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest

from llama_async import BadRequestError
from llama_async._grammar.rewriter import enforceable_schema


def rewritten(schema: object) -> dict[str, Any]:
    return dict(enforceable_schema(schema, "response_format"))


def refused(schema: object) -> str:
    with pytest.raises(BadRequestError) as caught:
        rewritten(schema)
    assert caught.value.param == "response_format"
    return str(caught.value)


OBJECT = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {}),
        ({"title": "T", "description": "D", "default": 1, "examples": [1], "x-note": 0, "$comment": "c"}, {}),
        ({"type": "string"}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"minLength": 2}, {"type": "string", "minLength": 2}),
        ({"type": "string", "minimum": 3}, {"type": "string"}),
        ({"type": "integer", "exclusiveMinimum": 2.5, "maximum": 9.9}, {"type": "integer", "minimum": 3, "maximum": 9}),
        ({"type": "integer", "multipleOf": 1}, {"type": "integer"}),
        ({"enum": ["a", 1, None], "type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"const": 5}, {"type": "integer", "enum": [5]}),
        ({"const": 5, "maxLength": 1}, {"type": "integer", "enum": [5]}),
        ({"type": "string", "pattern": "^$"}, {"type": "string", "enum": [""]}),
        ({"type": "string", "pattern": r"^\d$", "maxLength": 1}, {"type": "string", "pattern": "^[0-9]$"}),
        ({"type": "array", "items": True}, {"type": "array"}),
        ({"type": "array", "items": False}, {"type": "array", "maxItems": 0}),
        (
            {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
            {"type": "array", "prefixItems": [{"type": "null"}]},
        ),
        ({"type": "object"}, {"type": "object", "additionalProperties": True}),
        (
            {"required": ["a"]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False},
        ),
        (
            {"properties": {"a": {}}, "minProperties": 1, "required": ["a"], "maxProperties": 1},
            {**OBJECT, "properties": {"a": {}}, "required": ["a"]},
        ),
        (
            {"allOf": [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"type": "integer"}}}]},
            {**OBJECT, "properties": {"a": {"type": "integer", "minimum": 1}}, "required": []},
        ),
        ({"allOf": [{"type": "integer"}, {"type": ["number", "null"]}]}, {"type": "integer"}),
        (
            {"type": "object", "anyOf": [{"required": ["a"]}], "properties": {"a": {"const": 1}}},
            {**OBJECT, "properties": {"a": {"type": "integer", "enum": [1]}}, "required": ["a"]},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}}}},
            {"$ref": "#/$defs/d0", "$defs": {"d0": {"type": "array", "items": {"$ref": "#/$defs/d0"}}}},
        ),
        ({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "minLength": 3}, {"type": "string", "minLength": 3}),
    ],
)
def test_rewritten(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rewritten(schema) == expected
    jsonschema.Draft202012Validator.check_schema(expected)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"not": {}}, "not"),
        ({"if": {}, "then": {}}, "if"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"type": "array", "unevaluatedItems": False}, "unevaluatedItems"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems"),
        ({"type": "array", "maxItems": 5000}, "maxItems"),
        ({"type": "array", "prefixItems": [{}], "minItems": 2}, "prefixItems"),
        ({"type": "object", "patternProperties": {"a": {}}}, "patternProperties"),
        ({"type": "object", "minProperties": 1}, "minProperties"),
        ({"type": "object", "maxProperties": 1}, "maxProperties"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"type": "object", "dependentSchemas": {"a": {}}}, "dependentSchemas"),
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "'a' is required"),
        ({"properties": {"a]": {}}, "additionalProperties": True}, "additionalProperties"),
        ({"properties": {"b": {"properties": {"c": {"not": {}}}}}}, "#/properties/b/properties/c"),
        ({"type": "number", "minimum": 0}, "minimum"),
        ({"type": "number", "multipleOf": 0.1}, "multipleOf"),
        ({"type": "integer", "multipleOf": 2}, "multipleOf"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no integer"),
        ({"type": "integer", "minimum": 10**18}, "bounds"),
        ({"type": "string", "format": "regex"}, "format"),
        ({"type": "string", "pattern": "(?=a)"}, "pattern"),
        ({"type": "string", "pattern": "^a+$", "maxLength": 3}, "maxLength"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength"),
        ({"type": "string", "maxLength": 100000}, "maxLength"),
        ({"type": "string", "contentSchema": {}}, "contentSchema"),
        ({"type": "strnig"}, "strnig"),
        ({"type": []}, "type"),
        ({"enum": []}, "enum"),
        ({"enum": [1], "type": "string"}, "no value"),
        ({"enum": ["abc"], "maxLength": 2}, "maxLength"),
        ({"const": 2**70}, "64 bits"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf"),
        ({"oneOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, "oneOf"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "types"),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "pattern"),
        (
            {"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}]},
            "additional",
        ),
        ({"$ref": "#/$defs/no"}, "$ref"),
        ({"$ref": "https://example.com/schema"}, "$ref"),
        ({"$ref": "#", "title": "t", "type": "string"}, "deeper"),
        ({"$dynamicRef": "#a"}, "$dynamicRef"),
        ({"maxlength": 3}, "maxlength"),
        (False, "object"),
        ({"properties": {"a": False}}, "false"),
        ("string", "object"),
    ],
)
def test_refused(schema: object, word: str) -> None:
    assert word in refused(schema)


def test_a_discriminated_union_is_taken() -> None:
    def variant(kind: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]}

    schema = {
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "discriminator": {"propertyName": "kind"},
        "$defs": {"Cat": variant("cat"), "Dog": variant("dog")},
    }
    assert len(rewritten(schema)["anyOf"]) == 2


def test_definitions_never_collide_with_the_rules_of_properties() -> None:
    schema = {"properties": {"ref--defs-d0": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}
    assert rewritten(schema)["properties"]["ref--defs-d0"] == {"$ref": "#/$defs/dx0"}


def test_what_is_not_json_is_refused() -> None:
    assert "not JSON" in refused({"const": float("nan")})
    assert "not JSON" in refused({"const": object()})
    circular: dict[str, Any] = {}
    circular["properties"] = {"a": circular}
    assert "not JSON" in refused(circular)


def test_limits() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    assert "deeper" in refused(deep)
    deepest: dict[str, Any] = {}
    for _ in range(100_000):
        deepest = {"items": deepest}
    assert "JSON" in refused(deepest)
    wide = {"properties": {f"p{index}": {"type": "string"} for index in range(3000)}}
    assert "subschemas" in refused(wide)
    optional = {"properties": {f"p{index}": {"type": "string"} for index in range(200)}}
    assert "required" in refused(optional)
    assert "bytes" in refused({"description": "x" * 300_000})
    doubling = {
        "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)},
        "$ref": "#/$defs/d0",
    }
    doubling["$defs"]["d60"] = {}
    start = time.perf_counter()
    refused(doubling)
    assert time.perf_counter() - start < 1
