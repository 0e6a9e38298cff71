"""The keywords of a JSON schema -> shapes: every way in which a value can satisfy some schemas, or fail them.

Combinations (`allOf`, `anyOf`, `oneOf`, `not`, `if`, `dependentSchemas`) multiply out, so work is bounded.
What has no exact meaning here is refused with keyword and place; nothing is loosened. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from llama_async._errors import shown

from . import denial
from .keywords import (
    SILENT,
    by_name,
    check_known,
    constants,
    dependencies,
    item_schemas,
    names_of,
    plain,
    requiring,
    schemas_of,
)
from .pace import let_others_run
from .shape import ArrayFact, Child, Contains, ObjectFact, Part, Shape, Shapes
from .values import TYPES, Refused, Schema, TooLarge, count

if TYPE_CHECKING:
    from .document import Document

__all__ = ["SchemaReader"]

_MAX_STEPS = 10_000
_MAX_SHAPES = 300
_MAX_PROBE_DEPTH = 3
_MAX_REFERENCES = 8  # that are followed one after the other where only their end matters


class SchemaReader:
    """Reads the schemas of one document.

    Args:
        document: The document.
        lenient: Loosen what cannot be enforced instead of refusing it.
    """

    def __init__(self, document: Document, *, lenient: bool = False) -> None:
        self._document = document
        self._lenient = lenient
        self._loose: dict[int, Part] = {}  # what is known by its identity must stay
        self._n_steps = 0
        self._open: list[Part] = []  # schemas being read, to find those that refer to themselves
        self._known: dict[tuple[tuple[object, bool], ...], Shapes] = {}

    def shapes(self, child: Child) -> Shapes:
        """Return the ways in which a value satisfies all parts.

        Raises:
            Refused: A keyword cannot be enforced.
            TooLarge: There are too many ways.
        """
        parts = self.simplified(child)
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

    def simplified(self, child: Child) -> Child:
        """Return the same, each part once: without what says nothing, and what a reference names in its place.

        So what many places refer to is read, and written, once.
        """
        return tuple(part for part in dict.fromkeys(map(self._without_reference, child)) if part.key != (True, True))

    def _without_reference(self, part: Part) -> Part:
        target = part
        try:
            for _ in range(_MAX_REFERENCES):
                schema = target.schema
                if not isinstance(schema, dict) or "$ref" not in schema or schema.keys() - {"$ref"} - SILENT:
                    return target
                target = self.target(schema, "$ref", target.place, part.positive)
        except Refused:
            return part  # to be refused where it is read
        return target

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
        return lambda shape: self.read(shape, part)

    def _each(self, shapes: Shapes, read: Callable[[Shape], Shapes], part: Part) -> Shapes:
        result: Shapes = []
        for shape in shapes:
            result += self._limited(read(shape), part, len(result))
        return result

    @staticmethod
    def _limited(shapes: Iterable[Shape], part: Part, n_before: int = 0) -> Shapes:
        """Return those that may have values, so many at most."""
        result: Shapes = []
        for shape in shapes:
            if not shape.is_surely_empty():
                result.append(shape)
            if n_before + len(result) > _MAX_SHAPES:
                raise TooLarge(part.place, f"its combinations have more than {_MAX_SHAPES} alternatives")
        return result

    def in_turn(self, shape: Shape, parts: Iterable[Part]) -> Shapes:
        """Return the ways in which values of a shape satisfy all parts."""
        result = [shape]
        for part in parts:
            result = self._each(result, self._reading(part), part)
        return result

    def read(self, shape: Shape, part: Part) -> Shapes:
        """Return the ways in which values of a shape satisfy a part."""
        schema = part.schema
        if isinstance(schema, bool):
            return [shape] if schema == part.positive else []
        if not isinstance(schema, dict):
            raise Refused(part.place, f"a schema is {shown(schema)}, but must be an object")
        let_others_run()
        self._n_steps += 1
        if self._n_steps > _MAX_STEPS:
            raise TooLarge(part.place, f"its combinations take more than {_MAX_STEPS} steps")
        if part in self._open or len(self._open) > 64:
            raise TooLarge(part.place, "it refers to itself without end: combinations nest deeper than 64 levels")
        self._open.append(part)
        try:
            if part.positive:
                return self._satisfied_or_loose(shape, part)
            check_known(schema, part.place)
            # What is said under a `not`, be it denied twice, is not said to `unevaluatedProperties`.
            found = self._limited(denial.failures(self, shape, schema, part.place), part)
            return [one.silenced(len(shape.objects), len(shape.arrays)) for one in found]
        finally:
            self._open.pop()

    def part(self, schema: object, place: str, positive: bool = True) -> Part:
        """Return a part; `place` is where it stands unless the document knows better."""
        return Part(schema, positive, self._document.place(schema, place))

    def target(self, schema: Schema, keyword: str, place: str, positive: bool) -> Part:
        """Return what a reference names."""
        return self.part(self._document.target(schema, keyword), place, positive)

    # -- a schema that holds

    def _satisfied_or_loose(self, shape: Shape, part: Part) -> Shapes:
        try:
            return self._satisfied(shape, part)
        except TooLarge:
            raise
        except Refused:
            if not self._lenient:
                raise
        return self._satisfied(shape, self.loosened(part))

    def loosened(self, part: Part) -> Part:
        """Return what is left of a schema that cannot be enforced: its type, items and members."""
        schema = part.schema
        if not part.positive or not isinstance(schema, dict):
            return replace(part, schema=True, positive=True)
        if id(schema) not in self._loose:
            try:
                end = self._at_end(schema)
            except Refused:
                end = {}
            self._loose[id(schema)] = Part(_loose(end), True, part.place)
        return self._loose[id(schema)]

    def _at_end(self, schema: object) -> object:
        """Return what a schema's reference leads to at last; a schema without one is that itself."""
        for _ in range(_MAX_REFERENCES):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            schema = self._document.target(schema, "$ref")
        return schema

    def _satisfied(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        check_known(schema, place)
        n_objects, n_arrays = len(shape.objects), len(shape.arrays)
        shape = plain(shape, schema, place)
        shape = self._members(shape, schema, place)
        shape = self._items(shape, schema, place)
        result = [shape]
        for read in (self._depending, self._references, self._alternatives, self._one_of, self._conditional):
            result = self._each(result, lambda one, read=read: read(one, part), part)  # type: ignore[misc]
        return [self._unevaluated(one, schema, place, n_objects, n_arrays) for one in result]

    def _members(self, shape: Shape, schema: Schema, place: str) -> Shape:
        if "propertyNames" in schema:
            shape = replace(shape, names=(*shape.names, self.part(schema["propertyNames"], f"{place}/propertyNames")))
        if not schema.keys() & {"properties", "patternProperties", "additionalProperties"}:
            return shape
        properties = by_name(schema, "properties", place)
        patterns = by_name(schema, "patternProperties", place)
        additional = schema.get("additionalProperties")
        fact = ObjectFact(
            {name: self.part(one, f"{place}/properties/{name}") for name, one in properties.items()},
            tuple((name, self.part(one, f"{place}/patternProperties/{name}")) for name, one in patterns.items()),
            None if additional is None else self.part(additional, f"{place}/additionalProperties"),
        )
        return replace(shape, objects=(*shape.objects, fact))

    def _items(self, shape: Shape, schema: Schema, place: str) -> Shape:
        first, rest = item_schemas(schema, place)
        if first or rest is not None:
            fact = ArrayFact(
                tuple(self.part(one, f"{place}/prefixItems/{index}") for index, one in enumerate(first)),
                None if rest is None else self.part(rest, f"{place}/items"),
            )
            shape = replace(shape, arrays=(*shape.arrays, fact))
        if "contains" in schema:
            least = count(schema, "minContains", place)
            most = count(schema, "maxContains", place)
            part = self.part(schema["contains"], f"{place}/contains")
            shape = replace(shape, contains=(*shape.contains, Contains(part, 1 if least is None else least, most)))
        return shape

    def _depending(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        result = [shape]
        for name, needed in dependencies(schema, place):

            def read(one: Shape, name: str = name, needed: object = needed) -> Shapes:
                without_it = replace(one, absent=one.absent | {name})
                with_it = requiring(one.only("object"), [name])
                if isinstance(needed, list):
                    return [without_it, requiring(with_it, names_of(needed, "dependentRequired", place))]
                return [without_it, *self.read(with_it, self.part(needed, f"{place}/dependentSchemas/{name}"))]

            result = self._each(result, read, part)
        return result

    def _references(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        parts = [self.target(schema, word, place, True) for word in ("$ref", "$dynamicRef") if word in schema]
        parts += [self.part(one, f"{place}/allOf") for one in schemas_of(schema, "allOf", place)]
        if "not" in schema:
            parts.append(self.part(schema["not"], f"{place}/not", False))
        return self.in_turn(shape, parts)

    def _alternatives(self, shape: Shape, part: Part) -> Shapes:
        if "anyOf" not in part.schema:
            return [shape]
        result: Shapes = []
        for one in schemas_of(part.schema, "anyOf", part.place):
            result += self.read(shape, self.part(one, f"{part.place}/anyOf"))
        return result

    def _one_of(self, shape: Shape, part: Part) -> Shapes:
        if "oneOf" not in part.schema:
            return [shape]
        parts = [self.part(one, f"{part.place}/oneOf") for one in schemas_of(part.schema, "oneOf", part.place)]
        result: Shapes = []
        for index, one in enumerate(parts):
            shapes = [replace(s, types=s.meant(), is_typed=True) for s in self.read(shape, one)]
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
        if all(self.is_empty(both) for both in self.read(shape, other)):
            return [shape]
        try:
            return self.read(shape, replace(other, positive=False))
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
        schema = self._at_end(other.schema)
        if not isinstance(schema, dict) or shape.meant() != {"object"}:
            return False
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        for name in shape.required:
            if name in required and name in properties:
                theirs = constants(properties[name])
                for fact in shape.objects:
                    part = fact.properties.get(name)
                    if part is not None and part.positive and theirs and constants(part.schema).isdisjoint(theirs):
                        return bool(constants(part.schema))
        return False

    def _conditional(self, shape: Shape, part: Part) -> Shapes:
        schema, place = part.schema, part.place
        if "if" not in schema or not schema.keys() & {"then", "else"}:
            return [shape]
        return self.conditional(shape, schema, place, True)

    def conditional(self, shape: Shape, schema: Schema, place: str, positive: bool) -> Shapes:
        """Return the ways in which `then` or `else`, by what `if` says, is satisfied, or is not."""
        condition = self.part(schema["if"], f"{place}/if")
        then = self.part(schema.get("then", True), f"{place}/then", positive)
        otherwise = self.part(schema.get("else", True), f"{place}/else", positive)
        return [
            *self.in_turn(shape, (condition, then)),
            *self.in_turn(shape, (replace(condition, positive=False), otherwise)),
        ]

    def _unevaluated(self, shape: Shape, schema: Schema, place: str, n_objects: int, n_arrays: int) -> Shape:
        """Read the keywords that speak of what all others beside them, and within those, leave."""
        if "unevaluatedProperties" in schema:
            rest = self.part(schema["unevaluatedProperties"], f"{place}/unevaluatedProperties")
            unless = tuple(fact for fact in shape.objects[n_objects:] if fact.lists)
            shape = replace(shape, objects=(*shape.objects, ObjectFact({}, (), rest, unless)))
        if "unevaluatedItems" in schema:
            mine = [fact for fact in shape.arrays[n_arrays:] if fact.lists]
            if not any(fact.rest is not None for fact in mine):
                n_first = max((len(fact.first) for fact in mine), default=0)
                free = Part(True, True, place)
                rest = self.part(schema["unevaluatedItems"], f"{place}/unevaluatedItems")
                shape = replace(shape, arrays=(*shape.arrays, ArrayFact((free,) * n_first, rest)))
        return shape


def _loose(schema: object) -> Schema:
    if not isinstance(schema, dict):
        return {}
    kept: Schema = {}
    names = schema.get("type")
    if names in TYPES or (isinstance(names, list) and names and all(name in TYPES for name in names)):
        kept["type"] = names
    if isinstance(schema.get("items"), dict):
        kept["items"] = schema["items"]
    if isinstance(schema.get("properties"), dict):
        kept.update((key, schema[key]) for key in ("properties", "required", "additionalProperties") if key in schema)
    return kept
