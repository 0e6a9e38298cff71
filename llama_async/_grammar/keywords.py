"""What one keyword of a JSON schema says: its value checked, and read into a shape where no other schema is needed.

Pure; what is malformed is refused with keyword and place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from llama_async._errors import shown

from .shape import Shape, bound
from .values import ANNOTATIONS, BY_TYPE, Refused, Schema, count, identity, is_number, named_types

__all__ = [
    "BOUNDS",
    "LIMITS",
    "SILENT",
    "by_name",
    "check_known",
    "constants",
    "dependencies",
    "enum_values",
    "item_schemas",
    "limited",
    "names_of",
    "number_of",
    "of_types",
    "plain",
    "requiring",
    "schemas_of",
    "text_of",
]

_MAX_ENUM_VALUES = 2000

# What it resolves beside what says nothing about a value.
SILENT = ANNOTATIONS | {"$anchor", "$dynamicAnchor", "$id", "$vocabulary", "id"}
_BY_TYPE_ALL = frozenset().union(*BY_TYPE.values())
_GENERAL = frozenset(
    {"$dynamicRef", "$ref", "allOf", "anyOf", "const", "else", "enum", "if", "not", "oneOf", "then", "type"}
)
# Read with the keyword that they belong to.
SECOND = frozenset({"else", "maxContains", "minContains", "then"})
BOUNDS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {
        "minimum": (True, False),
        "exclusiveMinimum": (True, True),
        "maximum": (False, False),
        "exclusiveMaximum": (False, True),
    }
)
# Keyword -> what it counts, the field of a shape, and whether it is a lower limit.
LIMITS: Mapping[str, tuple[str, str, bool]] = MappingProxyType(
    {
        "minLength": ("string", "length", True),
        "maxLength": ("string", "length", False),
        "minItems": ("array", "items", True),
        "maxItems": ("array", "items", False),
        "minProperties": ("object", "properties", True),
        "maxProperties": ("object", "properties", False),
    }
)


def check_known(schema: Schema, place: str) -> None:
    """Refuse a schema with a keyword that is not enforced."""
    for keyword in schema:
        if not (keyword in SILENT or keyword in _GENERAL or keyword in _BY_TYPE_ALL or keyword.startswith("x-")):
            raise Refused(place, f"the keyword {keyword!r} is not supported")
    if "contentSchema" in schema:
        raise Refused(place, "the keyword 'contentSchema' is not supported")


def plain(shape: Shape, schema: Schema, place: str) -> Shape:
    """Read the keywords that need no other schema."""
    if "type" in schema:
        shape = of_types(shape, named_types(schema["type"], place))
    spoken = {name for name, keywords in BY_TYPE.items() if keywords & schema.keys()}
    shape = replace(shape, spoken=shape.spoken | spoken)
    if "enum" in schema:
        shape = shape.listed(enum_values(schema["enum"], place))
    if "const" in schema:
        shape = shape.listed([schema["const"]])
    for keyword, (lower, is_open) in BOUNDS.items():
        if keyword in schema:
            shape = shape.within(bound(number_of(schema, keyword, place), lower=lower, is_open=is_open))
    if "multipleOf" in schema:
        shape = replace(shape, factors=(*shape.factors, _factor(schema, place)))
    for keyword, (_, field, lower) in LIMITS.items():
        limit = count(schema, keyword, place)
        if limit is not None:
            shape = limited(shape, field, limit, lower)
    if "pattern" in schema:
        shape = replace(shape, patterns=(*shape.patterns, (text_of(schema, "pattern", place), True)))
    if "format" in schema:
        shape = replace(shape, formats=(*shape.formats, text_of(schema, "format", place)))
    if schema.get("uniqueItems"):
        shape = replace(shape, unique=True)
    if "required" in schema:
        shape = requiring(shape, names_of(schema["required"], "required", place))
    return shape


def of_types(shape: Shape, names: tuple[str, ...]) -> Shape:
    """Return a shape with its values of these types only."""
    types = {"number" if name == "integer" else name for name in names}
    if "integer" in names:
        if shape.integral is False:
            types.discard("number")
        else:
            shape = replace(shape, integral=True)
    return shape.only(*types)


def limited(shape: Shape, field: str, limit: int, lower: bool) -> Shape:
    """Return a shape with a limit of length, items or properties too."""
    now = getattr(shape, f"{'min' if lower else 'max'}_{field}")
    if now is not None:
        limit = max(limit, now) if lower else min(limit, now)
    changed: dict[str, Any] = {f"{'min' if lower else 'max'}_{field}": limit}
    return replace(shape, **changed)


def requiring(shape: Shape, names: list[str]) -> Shape:
    """Return a shape that has these members too."""
    return replace(shape, required=tuple(dict.fromkeys((*shape.required, *names))))


def constants(schema: object) -> set[object]:
    """Return the values that a schema lists at its top, none if it lists none."""
    if not isinstance(schema, dict):
        return set()
    if "const" in schema:
        return {identity(schema["const"])}
    values = schema.get("enum")
    return set(map(identity, values)) if isinstance(values, list) else set()


def enum_values(values: object, place: str) -> list[Any]:
    """Return the values of `enum`."""
    if not isinstance(values, list) or not values:
        raise Refused(place, "enum must be a list of values, at least one")
    if len(values) > _MAX_ENUM_VALUES:
        raise Refused(place, f"enum has {len(values)} values, the limit is {_MAX_ENUM_VALUES}")
    return values


def number_of(schema: Schema, keyword: str, place: str) -> Decimal:
    """Return a keyword that is a number."""
    value = schema[keyword]
    if not is_number(value):
        raise Refused(place, f"{keyword} is {shown(value)}, but must be a number")
    return Decimal(str(value))


def _factor(schema: Schema, place: str) -> Fraction:
    factor = Fraction(number_of(schema, "multipleOf", place))
    if factor <= 0:
        raise Refused(place, f"multipleOf is {shown(schema['multipleOf'])}, but must be above 0")
    return factor


def text_of(schema: Schema, keyword: str, place: str) -> str:
    """Return a keyword that is text."""
    value = schema[keyword]
    if not isinstance(value, str):
        raise Refused(place, f"{keyword} is {shown(value)}, but must be text")
    return value


def names_of(value: object, keyword: str, place: str) -> list[str]:
    """Return a keyword's value that is a list of names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Refused(place, f"{keyword} must be a list of names")
    return value


def by_name(schema: Schema, keyword: str, place: str) -> Schema:
    """Return a keyword that has schemas by name; empty if it is not there."""
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise Refused(place, f"{keyword} must be an object")
    return value


def schemas_of(schema: Schema, keyword: str, place: str) -> list[object]:
    """Return a keyword that is a list of schemas; empty if it is not there."""
    value = schema.get(keyword, [])
    if not isinstance(value, list) or (keyword in schema and not value):
        raise Refused(place, f"{keyword} must be a list of schemas, at least one")
    return value


def item_schemas(schema: Schema, place: str) -> tuple[list[object], object]:
    """Return the schemas of the first items, and that of the others, `None` if there is none."""
    items = schema.get("items")
    first: object = schema.get("prefixItems", [])
    if isinstance(items, list):  # before draft 2020-12
        first, items = items, schema.get("additionalItems")
    if not isinstance(first, list):
        raise Refused(place, "prefixItems must be a list of schemas")
    return first, items


def dependencies(schema: Schema, place: str) -> list[tuple[str, object]]:
    """Return names, and what an object that has them must have, or satisfy."""
    result: list[tuple[str, object]] = []
    for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        for name, needed in by_name(schema, keyword, place).items():
            if isinstance(needed, list) == (keyword == "dependentSchemas") and keyword != "dependencies":
                raise Refused(place, f"{keyword} has {shown(needed)} for {name!r}")
            result.append((name, needed))
    return result
