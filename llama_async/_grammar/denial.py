"""A schema that must not hold: one of its keywords does not, by De Morgan's rules.

Exact: a keyword whose contrary has no shape is refused. Pure; the reader bounds what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .keywords import (
    BOUNDS,
    LIMITS,
    SECOND,
    SILENT,
    by_name,
    dependencies,
    enum_values,
    item_schemas,
    limited,
    names_of,
    number_of,
    requiring,
    schemas_of,
    text_of,
)
from .shape import ArrayFact, Contains, ObjectFact, Part, Shape, Shapes, bound
from .values import TYPES, Refused, Schema, count, named_types

if TYPE_CHECKING:
    from .reader import SchemaReader

__all__ = ["failures"]


def failures(reader: SchemaReader, shape: Shape, schema: Schema, place: str) -> Iterator[Shape]:
    """Yield the ways in which values of a shape do not satisfy a schema.

    Args:
        reader: Reads the schemas within.
        shape: What is known already.
        schema: The schema.
        place: Where it stands.

    Raises:
        Refused: A keyword cannot be denied.
    """
    for keyword in schema:
        if keyword not in SILENT | SECOND and not keyword.startswith("x-"):
            yield from _fails(reader, keyword, shape, schema, place)


def _fails(reader: SchemaReader, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
    value = schema[keyword]
    if keyword == "type":
        return _of_other_types(shape, named_types(value, place))
    if keyword in ("enum", "const"):
        values = enum_values(value, place) if keyword == "enum" else [value]
        return [replace(shape, excluded=(*shape.excluded, *values))]
    if keyword in BOUNDS:
        lower, is_open = BOUNDS[keyword]
        other_side = bound(number_of(schema, keyword, place), lower=not lower, is_open=not is_open)
        return [shape.only("number").within(other_side)]
    if keyword in LIMITS:
        kind, field, lower = LIMITS[keyword]
        limit = count(schema, keyword, place) or 0
        if lower and limit == 0:
            return []
        return [limited(shape.only(kind), field, limit - 1 if lower else limit + 1, not lower)]
    if keyword == "pattern":
        pattern = (text_of(schema, "pattern", place), False)
        return [replace(shape.only("string"), patterns=(*shape.patterns, pattern))]
    if keyword == "required":
        absent = names_of(value, "required", place)
        return [replace(shape.only("object"), absent=shape.absent | {name}) for name in absent]
    if keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        return _dependency_fails(reader, keyword, shape, schema, place)
    if keyword == "properties":
        return [
            replace(
                requiring(shape.only("object"), [name]),
                objects=(*shape.objects, ObjectFact({name: reader.part(one, place, False)}, lists=False)),
            )
            for name, one in by_name(schema, "properties", place).items()
        ]
    if keyword in ("prefixItems", "items", "contains", "additionalItems"):
        return _items_fail(reader, keyword, shape, schema, place)
    if keyword in ("$ref", "$dynamicRef"):
        return reader.read(shape, reader.target(schema, keyword, place, False))
    if keyword == "allOf":
        parts = [reader.part(one, place, False) for one in schemas_of(schema, keyword, place)]
        return [after for part in parts for after in reader.read(shape, part)]
    if keyword == "anyOf":
        return reader.in_turn(shape, [reader.part(one, place, False) for one in schemas_of(schema, keyword, place)])
    if keyword == "oneOf":
        return _none_or_two(reader, shape, schemas_of(schema, keyword, place), place)
    if keyword == "not":
        return reader.read(shape, reader.part(value, place))
    if keyword == "if":
        return reader.conditional(shape, schema, place, False)
    if value is False if keyword == "uniqueItems" else value is True or value == {}:
        return []
    raise _not_denied(keyword, place)


def _not_denied(keyword: str, place: str) -> Refused:
    return Refused(place, f"the keyword {keyword!r} within not, if or an overlapping oneOf is not supported")


def _of_other_types(shape: Shape, names: tuple[str, ...]) -> Shapes:
    named = {"number" if name == "integer" else name for name in names}
    result = [shape.only(*(name for name in TYPES if name not in named))]
    if "integer" in names and shape.integral is not True:
        result.append(replace(shape.only("number"), integral=False))
    return result


def _dependency_fails(reader: SchemaReader, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
    result: Shapes = []
    for name, needed in dependencies({keyword: schema[keyword]}, place):
        with_it = requiring(shape.only("object"), [name])
        if isinstance(needed, list):
            result += [replace(with_it, absent=with_it.absent | {other}) for other in needed]
        else:
            result += reader.read(with_it, reader.part(needed, place, False))
    return result


def _items_fail(reader: SchemaReader, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
    first, rest = item_schemas(schema, place)
    arrays = shape.only("array")
    result: Shapes = []
    if keyword == "contains":
        part = reader.part(schema["contains"], f"{place}/contains")
        least, most = count(schema, "minContains", place), count(schema, "maxContains", place)
        least = 1 if least is None else least
        if least > 0:
            result.append(replace(arrays, contains=(*arrays.contains, Contains(part, 0, least - 1))))
        if most is not None:
            result.append(replace(arrays, contains=(*arrays.contains, Contains(part, most + 1, None))))
        return result
    if keyword == "prefixItems" or isinstance(schema[keyword], list):
        free = Part(True, True, place)
        for index, one in enumerate(first):
            fact = ArrayFact((*(free,) * index, reader.part(one, place, False)))
            result.append(limited(replace(arrays, arrays=(*arrays.arrays, fact)), "items", index + 1, True))
        return result
    if rest is None or rest is True or rest == {}:
        return []
    if rest is False:
        return [limited(arrays, "items", len(first) + 1, True)]
    if first:
        raise _not_denied(keyword, place)
    part = reader.part(rest, place, False)
    return [replace(arrays, contains=(*arrays.contains, Contains(part, 1, None)))]


def _none_or_two(reader: SchemaReader, shape: Shape, schemas: list[object], place: str) -> Shapes:
    parts = [reader.part(one, place) for one in schemas]
    result = reader.in_turn(shape, [replace(part, positive=False) for part in parts])
    for index, one in enumerate(parts):
        for other in parts[index + 1 :]:
            result += reader.in_turn(shape, (one, other))
    return result
