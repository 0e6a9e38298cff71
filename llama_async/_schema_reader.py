"""The keywords of a JSON schema -> shapes: every way in which a value can satisfy some schemas, or fail them.

Combinations (`allOf`, `anyOf`, `oneOf`, `not`, `if`, `dependentSchemas`) multiply out, so work is bounded.
What has no exact meaning here is refused with keyword and place; nothing is loosened. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._errors import shown
from ._schema_values import (
    ANNOTATIONS,
    BY_TYPE,
    TYPES,
    Refused,
    Schema,
    TooLarge,
    count,
    identity,
    is_number,
    named_types,
)
from ._shape import ArrayFact, Child, Contains, ObjectFact, Part, Shape, bound

if TYPE_CHECKING:
    from ._schema_document import Document

__all__ = ["SchemaReader"]

_MAX_STEPS = 10_000
_MAX_SHAPES = 300
_MAX_PROBE_DEPTH = 3

# What it resolves beside what says nothing about a value.
_SILENT = ANNOTATIONS | {"$anchor", "$dynamicAnchor", "$id", "$vocabulary", "id"}
_BY_TYPE_ALL = frozenset().union(*BY_TYPE.values())
_GENERAL = frozenset(
    {"$dynamicRef", "$ref", "allOf", "anyOf", "const", "else", "enum", "if", "not", "oneOf", "then", "type"}
)
# Read with the keyword that they belong to.
_SECOND = frozenset({"else", "maxContains", "minContains", "then"})
_BOUNDS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {
        "minimum": (True, False),
        "exclusiveMinimum": (True, True),
        "maximum": (False, False),
        "exclusiveMaximum": (False, True),
    }
)
# Keyword -> what it counts, the field of a shape, and whether it is a lower limit.
_LIMITS: Mapping[str, tuple[str, str, bool]] = MappingProxyType(
    {
        "minLength": ("string", "length", True),
        "maxLength": ("string", "length", False),
        "minItems": ("array", "items", True),
        "maxItems": ("array", "items", False),
        "minProperties": ("object", "properties", True),
        "maxProperties": ("object", "properties", False),
    }
)

Shapes = list[Shape]


class SchemaReader:
    """Reads the schemas of one document.

    Args:
        document: The document.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._n_steps = 0
        self._open: list[Part] = []  # schemas being read, to find those that refer to themselves
        self._known: dict[tuple[tuple[object, bool], ...], Shapes] = {}

    def shapes(self, child: Child) -> Shapes:
        """Return the ways in which a value satisfies all parts.

        Raises:
            Refused: A keyword cannot be enforced.
            TooLarge: There are too many ways.
        """
        parts = tuple(dict.fromkeys(child))
        key = tuple(part.key for part in parts)
        if key not in self._known:
            open_before, self._open = self._open, []
            try:
                result = [Shape()]
                for part in parts:
                    result = self._each(result, self._reading(part), part)
            finally:
                self._open = open_before
            self._known[key] = [shape for shape in result if not self.is_empty(shape)]
        return self._known[key]

    def is_empty(self, shape: Shape, depth: int = 0) -> bool:
        """Whether no value can have this shape, as far as a look at it and the members it must have tells."""
        if shape.is_surely_empty():
            return True
        if depth >= _MAX_PROBE_DEPTH or shape.meant() != {"object"} or shape.values is not None:
            return False
        for name in shape.required:
            child = tuple(fact.properties[name] for fact in shape.objects if name in fact.properties)
            if len(set(child)) > 1 and self._is_contradiction(child, depth):
                return True
        return False

    def _is_contradiction(self, child: Child, depth: int) -> bool:
        result = [Shape()]
        for part in dict.fromkeys(child):
            result = self._each(result, self._reading(part), part)
        return all(self.is_empty(shape, depth + 1) for shape in result)

    # -- combining

    def _reading(self, part: Part) -> Callable[[Shape], Shapes]:
        return lambda shape: self._read(shape, part)

    def _each(self, shapes: Shapes, read: Callable[[Shape], Shapes], part: Part) -> Shapes:
        result: Shapes = []
        for shape in shapes:
            result += [after for after in read(shape) if not after.is_surely_empty()]
            if len(result) > _MAX_SHAPES:
                raise TooLarge(part.place, f"its combinations have more than {_MAX_SHAPES} alternatives")
        return result

    def _in_turn(self, shape: Shape, parts: Iterable[Part]) -> Shapes:
        result = [shape]
        for part in parts:
            result = self._each(result, self._reading(part), part)
        return result

    def _read(self, shape: Shape, part: Part) -> Shapes:
        schema = part.schema
        if isinstance(schema, bool):
            return [shape] if schema == part.positive else []
        if not isinstance(schema, dict):
            raise Refused(part.place, f"a schema is {shown(schema)}, but must be an object")
        self._n_steps += 1
        if self._n_steps > _MAX_STEPS:
            raise TooLarge(part.place, f"its combinations take more than {_MAX_STEPS} steps")
        if part in self._open or len(self._open) > 64:
            raise TooLarge(part.place, "it refers to itself without end: combinations nest deeper than 64 levels")
        self._check_known(schema, part.place)
        self._open.append(part)
        try:
            if part.positive:
                return self._satisfied(shape, part)
            # What is said under a `not`, be it denied twice, is not said to `unevaluatedProperties`.
            return [_silenced(one, len(shape.objects), len(shape.arrays)) for one in self._failed(shape, part)]
        finally:
            self._open.pop()

    @staticmethod
    def _check_known(schema: Schema, place: str) -> None:
        for keyword in schema:
            if not (keyword in _SILENT or keyword in _GENERAL or keyword in _BY_TYPE_ALL or keyword.startswith("x-")):
                raise Refused(place, f"the keyword {keyword!r} is not supported")
        if "contentSchema" in schema:
            raise Refused(place, "the keyword 'contentSchema' is not supported")

    def _part(self, schema: object, place: str, positive: bool = True) -> Part:
        return Part(schema, positive, self._document.place(schema, place))

    def _target(self, schema: Schema, keyword: str, place: str, positive: bool) -> Part:
        return self._part(self._document.target(schema, keyword), place, positive)

    # -- a schema that holds

    def _satisfied(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        n_objects, n_arrays = len(shape.objects), len(shape.arrays)
        shape = self._plain(shape, schema, place)
        shape = self._members(shape, schema, place)
        shape = self._items(shape, schema, place)
        result = [shape]
        for read in (self._depending, self._references, self._alternatives, self._one_of, self._conditional):
            result = self._each(result, lambda one, read=read: read(one, part), part)  # type: ignore[misc]
        return [self._unevaluated(one, schema, place, n_objects, n_arrays) for one in result]

    def _plain(self, shape: Shape, schema: Schema, place: str) -> Shape:
        """Read the keywords that need no other schema."""
        if "type" in schema:
            shape = self._of_types(shape, named_types(schema["type"], place))
        spoken = {name for name, keywords in BY_TYPE.items() if keywords & schema.keys()}
        shape = replace(shape, spoken=shape.spoken | spoken)
        if "enum" in schema:
            shape = shape.listed(_enum(schema["enum"], place))
        if "const" in schema:
            shape = shape.listed([schema["const"]])
        for keyword, (lower, is_open) in _BOUNDS.items():
            if keyword in schema:
                shape = shape.within(bound(_number(schema, keyword, place), lower=lower, is_open=is_open))
        if "multipleOf" in schema:
            shape = replace(shape, factors=(*shape.factors, _factor(schema, place)))
        for keyword, (_, field, lower) in _LIMITS.items():
            limit = count(schema, keyword, place)
            if limit is not None:
                shape = _limited(shape, field, limit, lower)
        if "pattern" in schema:
            shape = replace(shape, patterns=(*shape.patterns, (_text(schema, "pattern", place), True)))
        if "format" in schema:
            shape = replace(shape, formats=(*shape.formats, _text(schema, "format", place)))
        if schema.get("uniqueItems"):
            shape = replace(shape, unique=True)
        if "required" in schema:
            shape = _requiring(shape, _names(schema["required"], "required", place))
        return shape

    @staticmethod
    def _of_types(shape: Shape, names: tuple[str, ...]) -> Shape:
        types = {"number" if name == "integer" else name for name in names}
        if "integer" in names:
            if shape.integral is False:
                types.discard("number")
            else:
                shape = replace(shape, integral=True)
        return shape.only(*types)

    def _members(self, shape: Shape, schema: Schema, place: str) -> Shape:
        if "propertyNames" in schema:
            shape = replace(shape, names=(*shape.names, self._part(schema["propertyNames"], f"{place}/propertyNames")))
        if not schema.keys() & {"properties", "patternProperties", "additionalProperties"}:
            return shape
        properties = _by_name(schema, "properties", place)
        patterns = _by_name(schema, "patternProperties", place)
        additional = schema.get("additionalProperties")
        fact = ObjectFact(
            {name: self._part(one, f"{place}/properties/{name}") for name, one in properties.items()},
            tuple((name, self._part(one, f"{place}/patternProperties/{name}")) for name, one in patterns.items()),
            None if additional is None else self._part(additional, f"{place}/additionalProperties"),
        )
        return replace(shape, objects=(*shape.objects, fact))

    def _items(self, shape: Shape, schema: Schema, place: str) -> Shape:
        first, rest = _item_schemas(schema, place)
        if first or rest is not None:
            fact = ArrayFact(
                tuple(self._part(one, f"{place}/prefixItems/{index}") for index, one in enumerate(first)),
                None if rest is None else self._part(rest, f"{place}/items"),
            )
            shape = replace(shape, arrays=(*shape.arrays, fact))
        if "contains" in schema:
            least = count(schema, "minContains", place)
            most = count(schema, "maxContains", place)
            part = self._part(schema["contains"], f"{place}/contains")
            shape = replace(shape, contains=(*shape.contains, Contains(part, 1 if least is None else least, most)))
        return shape

    def _depending(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        result = [shape]
        for name, needed in _dependencies(schema, place):

            def read(one: Shape, name: str = name, needed: object = needed) -> Shapes:
                without_it = replace(one, absent=one.absent | {name})
                with_it = _requiring(one.only("object"), [name])
                if isinstance(needed, list):
                    return [without_it, _requiring(with_it, _names(needed, "dependentRequired", place))]
                return [without_it, *self._read(with_it, self._part(needed, f"{place}/dependentSchemas/{name}"))]

            result = self._each(result, read, part)
        return result

    def _references(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        parts = [self._target(schema, word, place, True) for word in ("$ref", "$dynamicRef") if word in schema]
        parts += [self._part(one, f"{place}/allOf") for one in _schemas(schema, "allOf", place)]
        if "not" in schema:
            parts.append(self._part(schema["not"], f"{place}/not", False))
        return self._in_turn(shape, parts)

    def _alternatives(self, shape: Shape, part: Part) -> Shapes:
        if "anyOf" not in part.schema:
            return [shape]
        result: Shapes = []
        for one in _schemas(part.schema, "anyOf", part.place):
            result += self._read(shape, self._part(one, f"{part.place}/anyOf"))
        return result

    def _one_of(self, shape: Shape, part: Part) -> Shapes:
        if "oneOf" not in part.schema:
            return [shape]
        parts = [self._part(one, f"{part.place}/oneOf") for one in _schemas(part.schema, "oneOf", part.place)]
        result: Shapes = []
        for index, one in enumerate(parts):
            shapes = [replace(s, types=s.meant(), is_typed=True) for s in self._read(shape, one)]
            for other in parts[:index] + parts[index + 1 :]:
                if not shapes:
                    break
                shapes = [left for mine in shapes for left in self._outside(mine, other, part)]
            result += shapes
        return result

    def _outside(self, shape: Shape, other: Part, part: Part) -> Shapes:
        """Return what of a shape does not satisfy another alternative of a `oneOf`."""
        if self._have_other_constants(shape, other):
            return [shape]
        if self.is_empty(shape):
            return []
        if all(self.is_empty(both) for both in self._read(shape, other)):
            return [shape]
        try:
            return self._read(shape, replace(other, positive=False))
        except TooLarge:
            raise
        except Refused as refused:
            raise Refused(
                part.place,
                "oneOf has alternatives that a value may satisfy at once, and which of them it must not cannot be "
                f"enforced ({refused.message}); anyOf would be supported",
            ) from None

    def _have_other_constants(self, shape: Shape, other: Part) -> bool:
        """Whether both require a member of which they list different values, as a discriminated union has it."""
        schema = other.schema
        for _ in range(4):
            if isinstance(schema, dict) and "$ref" in schema:
                schema = self._document.target(schema, "$ref")
        if not isinstance(schema, dict) or shape.meant() != {"object"}:
            return False
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        for name in shape.required:
            if name in required and name in properties:
                theirs = _constants(properties[name])
                for fact in shape.objects:
                    part = fact.properties.get(name)
                    if part is not None and part.positive and theirs and _constants(part.schema).isdisjoint(theirs):
                        return bool(_constants(part.schema))
        return False

    def _conditional(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        if "if" not in schema or not schema.keys() & {"then", "else"}:
            return [shape]
        condition = self._part(schema["if"], f"{place}/if")
        then = self._part(schema.get("then", True), f"{place}/then")
        otherwise = self._part(schema.get("else", True), f"{place}/else")
        return [
            *self._in_turn(shape, (condition, then)),
            *self._in_turn(shape, (replace(condition, positive=False), otherwise)),
        ]

    def _unevaluated(self, shape: Shape, schema: Schema, place: str, n_objects: int, n_arrays: int) -> Shape:
        """Read the keywords that speak of what all others beside them, and within those, leave."""
        if "unevaluatedProperties" in schema:
            rest = self._part(schema["unevaluatedProperties"], f"{place}/unevaluatedProperties")
            unless = tuple(fact for fact in shape.objects[n_objects:] if fact.lists)
            shape = replace(shape, objects=(*shape.objects, ObjectFact({}, (), rest, unless)))
        if "unevaluatedItems" in schema:
            mine = [fact for fact in shape.arrays[n_arrays:] if fact.lists]
            if not any(fact.rest is not None for fact in mine):
                n_first = max((len(fact.first) for fact in mine), default=0)
                free = Part(True, True, place)
                rest = self._part(schema["unevaluatedItems"], f"{place}/unevaluatedItems")
                shape = replace(shape, arrays=(*shape.arrays, ArrayFact((free,) * n_first, rest)))
        return shape

    # -- a schema that does not hold: one of its keywords does not

    def _failed(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        result: Shapes = []
        for keyword in schema:
            if (
                keyword in _SILENT
                or keyword.startswith("x-")
                or keyword in ("then", "else", "minContains", "maxContains")
            ):
                continue
            result += self._fails(keyword, shape, schema, place)
            if len(result) > _MAX_SHAPES:
                raise TooLarge(place, f"its combinations have more than {_MAX_SHAPES} alternatives")
        return [one for one in result if not one.is_surely_empty()]

    def _fails(self, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
        value = schema[keyword]
        if keyword == "type":
            return self._of_other_types(shape, named_types(value, place))
        if keyword in ("enum", "const"):
            values = _enum(value, place) if keyword == "enum" else [value]
            return [replace(shape, excluded=(*shape.excluded, *values))]
        if keyword in _BOUNDS:
            lower, is_open = _BOUNDS[keyword]
            other_side = bound(_number(schema, keyword, place), lower=not lower, is_open=not is_open)
            return [shape.only("number").within(other_side)]
        if keyword in _LIMITS:
            kind, field, lower = _LIMITS[keyword]
            limit = count(schema, keyword, place) or 0
            if lower and limit == 0:
                return []
            return [_limited(shape.only(kind), field, limit - 1 if lower else limit + 1, not lower)]
        if keyword == "pattern":
            pattern = (_text(schema, "pattern", place), False)
            return [replace(shape.only("string"), patterns=(*shape.patterns, pattern))]
        if keyword == "required":
            names = _names(value, "required", place)
            return [replace(shape.only("object"), absent=shape.absent | {name}) for name in names]
        if keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            return self._dependency_fails(keyword, shape, schema, place)
        if keyword == "properties":
            return [
                replace(
                    _requiring(shape.only("object"), [name]),
                    objects=(*shape.objects, ObjectFact({name: self._part(one, place, False)}, lists=False)),
                )
                for name, one in _by_name(schema, "properties", place).items()
            ]
        if keyword in ("prefixItems", "items", "contains", "additionalItems"):
            return self._items_fail(keyword, shape, schema, place)
        if keyword in ("$ref", "$dynamicRef"):
            return self._read(shape, self._target(schema, keyword, place, False))
        if keyword == "allOf":
            parts = [self._part(one, place, False) for one in _schemas(schema, keyword, place)]
            return [after for part in parts for after in self._read(shape, part)]
        if keyword == "anyOf":
            return self._in_turn(shape, [self._part(one, place, False) for one in _schemas(schema, keyword, place)])
        if keyword == "oneOf":
            return self._none_or_two(shape, _schemas(schema, keyword, place), place)
        if keyword == "not":
            return self._read(shape, self._part(value, place))
        if keyword == "if":
            condition = self._part(value, f"{place}/if")
            then = self._part(schema.get("then", True), place, False)
            otherwise = self._part(schema.get("else", True), place, False)
            return [
                *self._in_turn(shape, (condition, then)),
                *self._in_turn(shape, (replace(condition, positive=False), otherwise)),
            ]
        if value is True or value == {} or (keyword == "uniqueItems" and value is False):
            return [] if value is not True or keyword != "uniqueItems" else self._cannot_fail(keyword, place)
        return self._cannot_fail(keyword, place)

    @staticmethod
    def _cannot_fail(keyword: str, place: str) -> Shapes:
        raise Refused(place, f"the keyword {keyword!r} within not, if or an overlapping oneOf is not supported")

    @staticmethod
    def _of_other_types(shape: Shape, names: tuple[str, ...]) -> Shapes:
        named = {"number" if name == "integer" else name for name in names}
        result = [shape.only(*(name for name in TYPES if name not in named))]
        if "integer" in names and shape.integral is not True:
            result.append(replace(shape.only("number"), integral=False))
        return result

    def _dependency_fails(self, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
        result: Shapes = []
        for name, needed in _dependencies({keyword: schema[keyword]}, place):
            with_it = _requiring(shape.only("object"), [name])
            if isinstance(needed, list):
                result += [replace(with_it, absent=with_it.absent | {other}) for other in needed]
            else:
                result += self._read(with_it, self._part(needed, place, False))
        return result

    def _items_fail(self, keyword: str, shape: Shape, schema: Schema, place: str) -> Shapes:
        first, rest = _item_schemas(schema, place)
        arrays = shape.only("array")
        result: Shapes = []
        if keyword == "contains":
            part = self._part(schema["contains"], f"{place}/contains")
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
                fact = ArrayFact((*(free,) * index, self._part(one, place, False)))
                result.append(_limited(replace(arrays, arrays=(*arrays.arrays, fact)), "items", index + 1, True))
            return result
        if rest is None or rest is True or rest == {}:
            return []
        if rest is False:
            return [_limited(arrays, "items", len(first) + 1, True)]
        if first:
            return self._cannot_fail(keyword, place)
        part = self._part(rest, place, False)
        return [replace(arrays, contains=(*arrays.contains, Contains(part, 1, None)))]

    def _none_or_two(self, shape: Shape, schemas: list[object], place: str) -> Shapes:
        parts = [self._part(one, place) for one in schemas]
        result = self._in_turn(shape, [replace(part, positive=False) for part in parts])
        for index, one in enumerate(parts):
            for other in parts[index + 1 :]:
                result += self._in_turn(shape, (one, other))
        return result


def _silenced(shape: Shape, n_objects: int, n_arrays: int) -> Shape:
    return replace(
        shape,
        objects=shape.objects[:n_objects] + tuple(replace(fact, lists=False) for fact in shape.objects[n_objects:]),
        arrays=shape.arrays[:n_arrays] + tuple(replace(fact, lists=False) for fact in shape.arrays[n_arrays:]),
    )


def _limited(shape: Shape, field: str, limit: int, lower: bool) -> Shape:
    now = getattr(shape, f"{'min' if lower else 'max'}_{field}")
    if now is not None:
        limit = max(limit, now) if lower else min(limit, now)
    changed: dict[str, Any] = {f"{'min' if lower else 'max'}_{field}": limit}
    return replace(shape, **changed)


def _constants(schema: object) -> set[object]:
    """Return the values that a schema lists at its top, none if it lists none."""
    if not isinstance(schema, dict):
        return set()
    if "const" in schema:
        return {identity(schema["const"])}
    values = schema.get("enum")
    return set(map(identity, values)) if isinstance(values, list) else set()


def _requiring(shape: Shape, names: list[str]) -> Shape:
    return replace(shape, required=tuple(dict.fromkeys((*shape.required, *names))))


def _enum(values: object, place: str) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise Refused(place, "enum must be a list of values, at least one")
    if len(values) > 2000:
        raise Refused(place, f"enum has {len(values)} values, the limit is 2000")
    return values


def _number(schema: Schema, keyword: str, place: str) -> Decimal:
    value = schema[keyword]
    if not is_number(value):
        raise Refused(place, f"{keyword} is {shown(value)}, but must be a number")
    return Decimal(str(value))


def _factor(schema: Schema, place: str) -> int:
    """Return the whole number whose multiples, among integers, are those of `multipleOf`."""
    factor = Fraction(_number(schema, "multipleOf", place))
    is_exact = factor.denominator == 1 or (schema.get("type") == "integer" and factor.denominator in (2, 4, 8))
    if factor <= 0 or not is_exact:
        raise Refused(place, f"multipleOf is {shown(schema['multipleOf'])}; only whole numbers are supported")
    return factor.numerator


def _text(schema: Schema, keyword: str, place: str) -> str:
    value = schema[keyword]
    if not isinstance(value, str):
        raise Refused(place, f"{keyword} is {shown(value)}, but must be text")
    return value


def _names(value: object, keyword: str, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Refused(place, f"{keyword} must be a list of names")
    return value


def _by_name(schema: Schema, keyword: str, place: str) -> Schema:
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise Refused(place, f"{keyword} must be an object")
    return value


def _schemas(schema: Schema, keyword: str, place: str) -> list[object]:
    value = schema.get(keyword, [])
    if not isinstance(value, list) or (keyword in schema and not value):
        raise Refused(place, f"{keyword} must be a list of schemas, at least one")
    return value


def _item_schemas(schema: Schema, place: str) -> tuple[list[object], object]:
    """Return the schemas of the first items, and that of the others, `None` if there is none."""
    items = schema.get("items")
    first: object = schema.get("prefixItems", [])
    if isinstance(items, list):  # before draft 2020-12
        first, items = items, schema.get("additionalItems")
    if not isinstance(first, list):
        raise Refused(place, "prefixItems must be a list of schemas")
    return first, items


def _dependencies(schema: Schema, place: str) -> list[tuple[str, object]]:
    result: list[tuple[str, object]] = []
    for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        for name, needed in _by_name(schema, keyword, place).items():
            if isinstance(needed, list) == (keyword == "dependentSchemas") and keyword != "dependencies":
                raise Refused(place, f"{keyword} has {shown(needed)} for {name!r}")
            result.append((name, needed))
    return result
