"""What a JSON schema says of one value: types, text, numbers, enumerations; for `_schema`, which knows the rest.

Each function takes a schema without annotations and returns it in the words that are enforced, or raises `Refused`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llama_async._errors import shown

from .formats import FORMATS
from .pattern import PatternError, translate

__all__ = [
    "ANNOTATIONS",
    "BY_TYPE",
    "MAX_REPEAT",
    "TYPES",
    "Refused",
    "Schema",
    "TooLarge",
    "both_properties",
    "common_types",
    "compact",
    "count",
    "enumeration",
    "equal",
    "identity",
    "is_number",
    "is_of_type",
    "is_outside",
    "named_types",
    "number",
    "refuse",
    "string",
]

_MAX_ENUM_VALUES = 2000
MAX_REPEAT = 2000  # upstream's limit of a repetition
_MAX_INTEGER = 10**15

Schema = dict[str, Any]

# Keywords that say nothing about a value.
ANNOTATIONS = frozenset(
    {
        "$comment",
        "$defs",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "example",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)

BY_TYPE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "object": frozenset(
            {
                "additionalProperties",
                "dependentRequired",
                "dependentSchemas",
                "dependencies",
                "maxProperties",
                "minProperties",
                "patternProperties",
                "properties",
                "propertyNames",
                "required",
                "unevaluatedProperties",
            }
        ),
        "array": frozenset(
            {
                "additionalItems",
                "contains",
                "items",
                "maxContains",
                "maxItems",
                "minContains",
                "minItems",
                "prefixItems",
                "unevaluatedItems",
                "uniqueItems",
            }
        ),
        "string": frozenset({"contentSchema", "format", "maxLength", "minLength", "pattern"}),
        "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
        "boolean": frozenset(),
        "null": frozenset(),
    }
)
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


class Refused(Exception):
    """What a schema says at `place` cannot be enforced."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(place, message)
        self.place = place
        self.message = message


class TooLarge(Refused):
    """It passes a limit of the whole schema, which loosening a part of it does not help."""


def enumeration(node: Schema, place: str) -> Schema:
    values = node.get("enum", [node.get("const")])
    if not isinstance(values, list) or not values:
        raise Refused(place, "enum must be a list of values, at least one")
    if len(values) > _MAX_ENUM_VALUES:
        raise Refused(place, f"enum has {len(values)} values, the limit is {_MAX_ENUM_VALUES}")
    if "const" in node:
        values = [value for value in values if equal(value, node["const"])]
    if "type" in node:
        types = named_types(node["type"], place)
        values = [value for value in values if any(is_of_type(value, name) for name in types)]
    for keyword in node.keys() - {"enum", "const", "type"}:
        family = next(name for name, keywords in BY_TYPE.items() if keyword in keywords)
        if any(is_of_type(value, family) for value in values):
            raise Refused(place, f"enum or const beside {keyword!r} is not supported")
    if not values:
        raise Refused(place, "no value satisfies enum, const and type together")
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            raise Refused(place, "an integer of more than 64 bits is not supported")
    result: Schema = {"enum": values}
    for name in ("string", "integer", "number", "boolean"):
        if all(is_of_type(value, name) for value in values):
            # Says nothing more, but templates ask for the type of a tool's parameter.
            return {"type": name, **result}
    return result


def string(node: Schema, place: str) -> Schema:
    refuse(node, place, "contentSchema")
    least = count(node, "minLength", place) or 0
    most = count(node, "maxLength", place)
    if most is not None and most < least:
        raise Refused(place, f"minLength is {least}, but maxLength is {most}")
    source, what = node.get("pattern"), "pattern"
    if "format" in node:
        if source is not None:
            raise Refused(place, "pattern beside format is not supported")
        if node["format"] not in FORMATS:
            raise Refused(place, f"the format {shown(node['format'])} is not supported")
        source, what = FORMATS[node["format"]], "format"
    if source is None:
        if max(least, most or 0) > MAX_REPEAT:
            raise Refused(place, f"minLength and maxLength must be at most {MAX_REPEAT}")
        result: Schema = {"type": "string"}
        if least:
            result["minLength"] = least
        if most is not None:
            result["maxLength"] = most
        return result
    if not isinstance(source, str):
        raise Refused(place, f"pattern is {shown(source)}, but must be text")
    try:
        pattern = translate(source)
    except PatternError as error:
        raise Refused(place, f"the pattern {shown(source)} is not supported: {error}") from None
    if pattern.min_length < least or (most is not None and (pattern.max_length is None or pattern.max_length > most)):
        raise Refused(place, f"minLength or maxLength beside {what} is not supported unless the {what} implies it")
    return {"type": "string", "enum": [""]} if pattern.text == "^$" else {"type": "string", "pattern": pattern.text}


def number(name: str, node: Schema, place: str) -> Schema:
    bounds = {
        keyword: node[keyword]
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if keyword in node
    }
    for keyword, value in bounds.items():
        if not is_number(value):
            raise Refused(place, f"{keyword} is {shown(value)}, but must be a number")
    if name == "number":
        for keyword in bounds:
            raise Refused(place, f"{keyword} of type number is not supported; type integer is")
        refuse(node, place, "multipleOf")
        return {"type": "number"}
    refuse(node, place, "multipleOf", neutral=(1,))
    result: Schema = {"type": "integer"}
    lows = [math.ceil(bounds["minimum"])] if "minimum" in bounds else []
    lows += [math.floor(bounds["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in bounds else []
    highs = [math.floor(bounds["maximum"])] if "maximum" in bounds else []
    highs += [math.ceil(bounds["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in bounds else []
    if lows:
        result["minimum"] = max(lows)
    if highs:
        result["maximum"] = min(highs)
    if lows and highs and result["minimum"] > result["maximum"]:
        raise Refused(place, f"no integer is between {result['minimum']} and {result['maximum']}")
    if any(abs(result[keyword]) > _MAX_INTEGER for keyword in ("minimum", "maximum") if keyword in result):
        raise Refused(place, f"bounds of an integer must be between -{_MAX_INTEGER} and {_MAX_INTEGER}")
    return result


def refuse(node: Schema, place: str, *keywords: str, neutral: tuple[object, ...] = ()) -> None:
    for keyword in keywords:
        if keyword in node and not any(
            node[keyword] == value and type(node[keyword]) is type(value) for value in neutral
        ):
            raise Refused(place, f"the keyword {keyword!r} is not supported")


def count(node: Schema, keyword: str, place: str) -> int | None:
    value = node.get(keyword)
    if value is None:
        return None
    if not is_number(value) or value < 0 or value != int(value):
        raise Refused(place, f"{keyword} is {shown(value)}, but must be a whole number from 0")
    return int(value)


def named_types(value: object, place: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not names:
        raise Refused(place, f"type is {shown(value)}, but must be a name or a list of names")
    for name in names:
        if name not in TYPES:
            raise Refused(place, f"type is {shown(name)}, but must be one of {', '.join(TYPES)}")
    return tuple(name for name in dict.fromkeys(names) if name != "integer" or "number" not in names)


def common_types(one: object, other: object, place: str) -> list[str]:
    ones, others = named_types(one, place), named_types(other, place)
    common = [name for name in ones if name in others or (name == "integer" and "number" in others)]
    common += [name for name in others if name == "integer" and "number" in ones]
    if not common:
        raise Refused(place, f"no value is of the types {ones} and {others} at once")
    return common


def both_properties(one: Schema, other: Schema) -> Schema:
    result = dict(one)
    for name, schema in other.items():
        result[name] = schema if name not in one or one[name] == schema else {"allOf": [one[name], schema]}
    return result


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_of_type(value: object, name: str) -> bool:
    if name == "null":
        return value is None
    if name == "boolean":
        return isinstance(value, bool)
    if name == "integer":
        return is_number(value) and float(value).is_integer()  # type: ignore[arg-type]
    if name == "number":
        return is_number(value)
    return isinstance(value, {"string": str, "array": list, "object": dict}[name])


def equal(one: object, other: object) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, but not true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def identity(value: object) -> object:
    """Return what two JSON values have in common exactly if they are equal: hashable."""
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(item)) for key, item in value.items()))
    return (isinstance(value, bool), value)


def compact(value: object) -> str:
    """Return a value's JSON as grammars have it: with no white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_outside(value: object, schema: Schema) -> bool:
    """Whether a value certainly does not satisfy a rewritten schema without references and alternatives at its top."""
    if "enum" in schema:
        return not any(equal(value, other) for other in schema["enum"])
    return "type" in schema and not is_of_type(value, schema["type"])
