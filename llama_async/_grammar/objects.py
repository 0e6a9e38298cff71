"""Shapes of objects -> expressions of a grammar. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .automaton import words
from .gbnf import NOTHING, Either, Expr, Rules, Then, literal
from .members import Between, Limits, Member
from .shape import Child, Shape
from .text import SPACE
from .values import Refused, compact

if TYPE_CHECKING:
    from .listed import Listed
    from .reader import SchemaReader
    from .strings import Strings

__all__ = ["Objects"]

_MAX_PATTERNS = 3  # of names in one object: their combinations multiply out


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of members that are not listed.

    Attributes:
        patterns: Patterns that they may match.
        listed: What they are not.
        is_open: Whether they need not match any.
    """

    patterns: list[str]
    listed: set[str]
    is_open: bool


class Objects:
    """Writes the objects of one grammar.

    Args:
        rules: Where rules are added.
        reader: Reads the schemas of members.
        strings: Writes names.
        listed: Knows which names a schema lists.
        child: Returns the expression of what satisfies a schema; the place is for the error.
    """

    def __init__(
        self,
        rules: Rules,
        reader: SchemaReader,
        strings: Strings,
        listed: Listed,
        child: Callable[[Child, str], Expr],
    ) -> None:
        self._rules = rules
        self._reader = reader
        self._strings = strings
        self._listed = listed
        self._child = child

    def write(self, name: str, shape: Shape, place: str) -> Expr:
        """Return the objects of a shape.

        Args:
            name: What the names of rules begin with.
            shape: What is said of the object; other types are not looked at.
            place: Where that stands, for the error.

        Raises:
            Refused: It cannot be enforced.
            MembersError: It would take too many rules.
        """
        if any(isinstance(value, dict) for value in shape.excluded):
            raise Refused(place, "const or enum within not is not supported for objects")
        patterns = list(dict.fromkeys(pattern for fact in shape.objects for pattern, _ in fact.patterns))
        if len(patterns) > _MAX_PATTERNS:
            raise Refused(place, f"more than {_MAX_PATTERNS} patternProperties are not supported")
        properties = [key for fact in shape.objects if fact.lists for key in fact.properties]
        is_open = any(fact.additional is not None for fact in shape.objects) or (not properties and not patterns)
        allowed = self._listed.names(shape.names, place) if shape.names else None
        keys = dict.fromkeys([*properties, *shape.required])
        if allowed is not None and is_open:
            keys.update(dict.fromkeys(allowed))
        members: list[Member] = []
        for key in keys:
            member = self._member(shape, key, patterns, place)
            if member is not None:
                members.append(member)
            elif key in shape.required:
                return NOTHING
        free: Expr | None = None
        if allowed is None and (is_open or patterns):
            named = {key for fact in shape.objects for key in fact.properties} | set(keys) | shape.absent
            free = self._free(name, shape, _Names(patterns, named, is_open), place)
        limits = Limits(shape.min_properties, shape.max_properties)
        return Then(('"{"', SPACE, Between(self._rules, name, members, free, limits, '"}"').expr()))

    def _member(self, shape: Shape, key: str, patterns: list[str], place: str) -> Member | None:
        """Return a member by its name, `None` if there cannot be one."""
        if key in shape.absent or (shape.names and not self._listed.allows(shape.names, key, place)):
            return None
        child = shape.member({pattern for pattern in patterns if self._strings.matches(pattern, key, place)}, key)
        if not self._reader.shapes(child):
            return None
        text = Then((literal(compact(key)), SPACE, '":"', SPACE, self._child(child, place)))
        return Member(text, key in shape.required)

    def _free(self, name: str, shape: Shape, names: _Names, place: str) -> Expr | None:
        """Return the members that are not listed, by the patterns that their names match."""
        parts: list[Expr] = []
        n_names = 0
        for which in range(1 << len(names.patterns)):
            inside = {pattern for index, pattern in enumerate(names.patterns) if which >> index & 1}
            if not inside and not names.is_open:
                continue
            child = shape.member(inside, None)
            if not self._reader.shapes(child):
                continue
            conditions = [self._strings.condition(one, one in inside, place) for one in names.patterns]
            if names.listed:
                conditions.append((words(names.listed), False))
            for one in self._reader.shapes(shape.names) if shape.names else [Shape()]:
                key = self._strings.name(f"{name}k{n_names}", one, conditions, place)
                n_names += 1
                parts.append(Then((key, '":"', SPACE, self._child(child, place))))
        return Either(tuple(parts)) if parts else None
