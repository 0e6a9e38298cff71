"""What is known of JSON values and of the keywords of schemas: types, annotations, equality. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from llama_async._errors import shown

__all__ = [
    "ANNOTATIONS",
    "BY_TYPE",
    "MAX_REPEAT",
    "TYPES",
    "Refused",
    "Schema",
    "TooLarge",
    "compact",
    "count",
    "equal",
    "identity",
    "is_number",
    "is_of_type",
    "named_types",
]

MAX_REPEAT = 2000  # upstream's limit of a repetition

Schema = dict[str, Any]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

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
    return _ENCODER.encode(value)
