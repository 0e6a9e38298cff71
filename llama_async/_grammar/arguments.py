"""The schema of a function's arguments -> rules for them as one value and each by itself, and what is told of them.

Families of chat templates differ in how a call is written: one JSON value, or argument by argument between marks. Which
it is only the native side knows, so it gets rules for both. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .known import LENIENT, STRICT
from .values import BY_TYPE, Refused, TooLarge
from .writer import Writer

if TYPE_CHECKING:
    from .gbnf import Expr
    from .shape import Child, Shape

__all__ = ["Argument", "Arguments", "compiled_arguments"]

_MAX_OUTLINED = 300  # schemas within schemas; the arguments themselves are all told of
# What a reader of plain text may take a text for.
_READ_FROM_TEXT = frozenset({"boolean", "null", "number", "string"})


class _NotOfObjectsError(Refused):
    pass


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument.

    Attributes:
        rule: The rule of its JSON.
        free: Whether any text is a value of it, and so is whatever a reader may take a text for.
        texts: If not empty, the texts that are its only values.
    """

    rule: str
    free: bool
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the arguments of a function obey.

    Attributes:
        lines: The rules, as written, by name. Those that any schema may have are the same in all.
        rule: The rule of all arguments as one JSON value.
        by_name: Those that are listed, `None` where the schema says more than what each of them is and which must come.
        outline: A schema that says less: names, types, texts to choose from, descriptions.
    """

    lines: Mapping[str, str]
    rule: str
    by_name: Mapping[str, Argument] | None
    outline: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """About what it takes to keep it."""
        return sum(len(name) + len(line) + 100 for name, line in self.lines.items())


def compiled_arguments(text: str, kind: str) -> Arguments:
    """Return what the arguments obey under a schema.

    Args:
        text: The schema as JSON.
        kind: `STRICT`, or `LENIENT` to loosen what cannot be enforced.

    Raises:
        Refused: It cannot be enforced, or is not of objects.
        TooLarge: It takes too much work.
    """
    assert kind in (STRICT, LENIENT)
    # By content: the rules of all functions of a request stand side by side, and each schema is written once.
    prefix = f"{kind[0]}{blake2b(text.encode(), digest_size=6).hexdigest()}-"
    root = json.loads(text)
    try:
        return _ArgumentsWriter(root, prefix, lenient=kind == LENIENT).arguments()
    except (TooLarge, _NotOfObjectsError):
        raise
    except Refused:
        if kind == STRICT:
            raise
    # What is left once no value satisfies what could be enforced: names.
    properties = root.get("properties") if isinstance(root.get("properties"), dict) else {}
    names = {"type": root.get("type", "object"), "properties": dict.fromkeys(properties, True)}
    return _ArgumentsWriter(names, prefix, lenient=True).arguments()


class _ArgumentsWriter:
    def __init__(self, root: Any, prefix: str, *, lenient: bool) -> None:
        self._writer = Writer(root, prefix=f"{prefix}r", lenient=lenient)
        self._reader = self._writer.reader
        self._prefix = prefix
        self._n_outlined = 0

    def arguments(self) -> Arguments:
        root = self._writer.root
        shapes = self._reader.shapes(root)
        if any(shape.meant() != {"object"} for shape in shapes):
            raise _NotOfObjectsError("#", "it must be the schema of an object")
        rule = f"{self._prefix}all"
        roots: dict[str, Expr] = {rule: self._writer.child(root, "#")}
        by_name: dict[str, Argument] | None = None
        if len(shapes) == 1 and _is_plain(shapes[0]):
            by_name = {}
            for index, (name, child) in enumerate(self._members(shapes[0]).items()):
                roots[f"{self._prefix}{index}"] = self._writer.child(child, f"#/properties/{name}")
                by_name[name] = self._argument(f"{self._prefix}{index}", child)
        lines = self._writer.lines(roots)
        outline = self._outline(root)
        if by_name is not None:
            # One that would never end has no rule, and is not offered.
            endless = {name for name, argument in by_name.items() if argument.rule not in lines}
            by_name = {name: argument for name, argument in by_name.items() if name not in endless}
            for name in endless:
                del outline["properties"][name]
        return Arguments(lines, rule, by_name, outline)

    def _members(self, shape: Shape) -> dict[str, Child]:
        """Return the listed members that there can be."""
        patterns = {pattern for fact in shape.objects for pattern, _ in fact.patterns}
        names = dict.fromkeys(name for fact in shape.objects if fact.lists for name in fact.properties)
        members: dict[str, Child] = {}
        for name in [*names, *(name for name in shape.required if name not in names)]:
            matching = {pattern for pattern in patterns if self._writer.strings.matches(pattern, name, "#")}
            child = self._reader.simplified(shape.member(matching, name))
            if self._reader.shapes(child) and name not in shape.absent:
                members[name] = child
        return members

    def _argument(self, rule: str, child: Child) -> Argument:
        shapes = self._reader.shapes(child)
        kinds = {kind for shape in shapes for kind in shape.meant()}
        is_free = "string" in kinds <= _READ_FROM_TEXT and all(map(_is_bare, shapes))
        is_listed = all(s.values is not None and not (s.patterns or s.formats) for s in shapes)
        values = [value for shape in shapes for value in shape.candidates()] if is_listed else []
        texts = tuple(dict.fromkeys(value for value in values if isinstance(value, str)))
        return Argument(rule, is_free, texts if all(isinstance(value, str) for value in values) else ())

    # -- what upstream is told

    def _outline(self, child: Child, *, within: bool = False) -> dict[str, Any]:
        self._n_outlined += within
        outline = self._outline_of_shapes(self._reader.shapes(child))
        for part in child:
            if part.positive and isinstance(part.schema, dict) and isinstance(part.schema.get("description"), str):
                outline["description"] = part.schema["description"]
                break
        return outline

    def _outline_of_shapes(self, shapes: list[Shape]) -> dict[str, Any]:
        kinds = list(dict.fromkeys(kind for shape in shapes for kind in _kinds(shape)))
        if all(shape.values is not None for shape in shapes):
            values = [value for shape in shapes for value in shape.candidates()]
            return {**({"type": kinds[0]} if len(kinds) == 1 else {}), "enum": values}
        if len(kinds) > 1:
            return {} if len(kinds) == len(BY_TYPE) else {"anyOf": [{"type": kind} for kind in kinds]}
        outline: dict[str, Any] = {"type": kinds[0]}
        if kinds == ["object"]:
            outline.update(self._outline_of_members(shapes))
        if kinds == ["array"] and len(shapes) == 1 and self._n_outlined < _MAX_OUTLINED:
            n_first = max((len(fact.first) for fact in shapes[0].arrays), default=0)
            item = self._reader.simplified(shapes[0].item(n_first))
            if item and self._reader.shapes(item):
                outline["items"] = self._outline(item, within=True)
        return outline

    def _outline_of_members(self, shapes: list[Shape]) -> dict[str, Any]:
        is_top = self._n_outlined == 0
        properties: dict[str, Any] = {}
        for shape in shapes:
            for name, child in self._members(shape).items():
                if name not in properties and (is_top or self._n_outlined < _MAX_OUTLINED):
                    properties[name] = self._outline(child, within=True)
        if not properties:
            return {}
        required = [name for name in properties if all(name in shape.required for shape in shapes)]
        return {"properties": properties, "required": required, "additionalProperties": False}


def _is_plain(shape: Shape) -> bool:
    """Whether nothing is said of an object but what its members are, and which of them must come."""
    n_listed = len({name for fact in shape.objects if fact.lists for name in fact.properties} | set(shape.required))
    return (
        shape.values is None
        and not any(isinstance(value, dict) for value in shape.excluded)
        and not shape.names
        and shape.min_properties <= len(shape.required)
        and (shape.max_properties is None or shape.max_properties >= n_listed)
    )


def _is_bare(shape: Shape) -> bool:
    """Whether nothing is said of texts, numbers and the like but their type."""
    return (
        shape.values is None
        and not (shape.excluded or shape.patterns or shape.formats or shape.factors or shape.min_length)
        and shape.max_length is None
        and shape.integral is None
        and (shape.interval.low, shape.interval.high) == (None, None)
    )


def _kinds(shape: Shape) -> list[str]:
    """Return the types that come, by the names that schemas have for them."""
    meant = shape.meant()
    if shape.values is not None:
        kinds = {_kind_of(value) for value in shape.candidates()}
        return [kind for kind in (*BY_TYPE, "integer") if kind in kinds]
    return ["integer" if kind == "number" and shape.integral else kind for kind in BY_TYPE if kind in meant]


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "null" if value is None else {str: "string", float: "number", list: "array", dict: "object"}[type(value)]
