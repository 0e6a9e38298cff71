"""Shapes of arrays -> expressions of a grammar. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .gbnf import NOTHING, Either, Expr, Repeat, Rules, Then, literal
from .members import Between, Hits, Limits, Member, containing
from .text import SPACE, between
from .values import MAX_REPEAT, Refused, compact, identity

if TYPE_CHECKING:
    from .listed import Listed
    from .reader import SchemaReader
    from .shape import Child, Contains, Shape

__all__ = ["Arrays"]

_MAX_COMBINATIONS = 500


@dataclass(frozen=True, slots=True)
class _Items:
    """What an array's items satisfy, each by its place, and how many there are.

    Attributes:
        first: The first ones.
        rest: All others.
        limits: How many in all.
    """

    first: list[Child]
    rest: Child
    limits: Limits

    def at(self, index: int) -> Child:
        return self.first[index] if index < len(self.first) else self.rest


def _with_commas(items: list[Expr]) -> list[Expr]:
    parts: list[Expr] = []
    for item in items:
        parts += [*(('","', SPACE) if parts else ()), item]
    return parts


class Arrays:
    """Writes the arrays of one grammar.

    Args:
        rules: Where rules are added.
        reader: Reads the schemas of items.
        listed: Knows which values a schema lists.
        child: Returns the expression of what satisfies a schema; the place is for the error.
    """

    def __init__(self, rules: Rules, reader: SchemaReader, listed: Listed, child: Callable[[Child, str], Expr]) -> None:
        self._rules = rules
        self._reader = reader
        self._listed = listed
        self._child = child

    def write(self, name: str, shape: Shape, place: str) -> Expr:
        """Return the arrays of a shape.

        Args:
            name: What the names of rules begin with.
            shape: What is said of the array; other types are not looked at.
            place: Where that stands, for the error.

        Raises:
            Refused: It cannot be enforced.
            MembersError: It would take too many rules.
        """
        if any(isinstance(value, list) for value in shape.excluded):
            raise Refused(place, "const or enum within not is not supported for arrays")
        if max(shape.min_items, shape.max_items or 0) > MAX_REPEAT:
            raise Refused(place, f"minItems and maxItems must be at most {MAX_REPEAT}")
        if any(one.most is not None and one.most < one.least for one in shape.contains):
            return NOTHING
        contains = [one for one in shape.contains if one.most != 0 and (one.least or one.most is not None)]
        if len(contains) > 1:
            raise Refused(place, "more than one contains is not supported")
        items = self._items(shape)
        limits = items.limits
        if limits.most is not None and limits.most < limits.least:
            return NOTHING
        if shape.unique and (limits.most is None or limits.most > 1):
            if contains:
                raise Refused(place, "uniqueItems beside contains is not supported")
            return self._different(items, place) if items.first else self._set(name, items, place)
        return self._containing(name, items, contains[0]) if contains else self._sequence(items, place)

    def _items(self, shape: Shape) -> _Items:
        never = [one.part for one in shape.contains if one.most == 0 and one.least == 0]
        extra = tuple(replace(part, positive=not part.positive) for part in never)
        n_first = max((len(fact.first) for fact in shape.arrays), default=0)
        first = [shape.item(index) + extra for index in range(n_first)]
        rest = shape.item(n_first) + extra
        mosts = [] if shape.max_items is None else [shape.max_items]
        if n_first and shape.min_items <= n_first and not any(fact.rest is not None for fact in shape.arrays):
            mosts.append(n_first)
        for index, child in enumerate(first):
            if not self._reader.shapes(child):
                first = first[:index]
                mosts.append(index)
                break
        if rest and not self._reader.shapes(rest):
            mosts.append(len(first))
        return _Items(first, rest, Limits(shape.min_items, min(mosts, default=None)))

    def _sequence(self, items: _Items, place: str) -> Expr:
        n_first, most = len(items.first), items.limits.most
        least = max(items.limits.least, n_first if most is None else min(n_first, most))
        parts = _with_commas([self._child(child, place) for child in items.first[:least]])
        n_listed = min(n_first, least)
        if most is None or most > n_listed:
            n_least, n_most = least - n_listed, None if most is None else most - n_listed
            item = self._child(items.rest, place)
            parts.append(
                Repeat(Then(('","', SPACE, item)), n_least, n_most) if parts else between(item, n_least, n_most)
            )
        return Then(('"["', SPACE, *parts, SPACE, '"]"'))

    def _set(self, name: str, items: _Items, place: str) -> Expr:
        """Return arrays of different items: of listed values, in their order."""
        values = self._listed.all_of(items.rest, place)
        if values is None:
            raise Refused(place, "uniqueItems is supported for items of an enum or bounded integers only")
        members = [Member(literal(compact(value)), False) for value in values]
        return Then(('"["', SPACE, Between(self._rules, name, members, None, items.limits, '"]"').expr()))

    def _different(self, items: _Items, place: str) -> Expr:
        """Return arrays of which each item has a schema of its own, and none is like another: one by one."""
        if items.limits.most is None or items.limits.most > len(items.first):
            raise Refused(place, "uniqueItems beside prefixItems is supported where no items follow only")
        listed = [self._listed.all_of(child, place) for child in items.first[: items.limits.most]]
        known = [values for values in listed if values is not None]
        if len(known) < len(listed) or math.prod(map(len, known)) > _MAX_COMBINATIONS:
            raise Refused(place, "uniqueItems beside prefixItems is supported for a few listed values only")
        arrays = [values for values in itertools.product(*known) if len(set(map(identity, values))) == len(values)]
        return Either(
            tuple(
                Then(('"["', SPACE, *_with_commas([literal(compact(value)) for value in values]), SPACE, '"]"'))
                for values in arrays
            )
        )

    def _containing(self, name: str, items: _Items, what: Contains) -> Expr:
        """Return arrays of which so many items satisfy something."""
        other = () if what.most is None else (replace(what.part, positive=not what.part.positive),)
        hits = Hits(
            Limits(what.least, what.most),
            lambda n: self._child((*items.at(n), what.part), what.part.place),
            lambda n: self._child((*items.at(n), *other), what.part.place),
            len(items.first),
        )
        return Then(('"["', SPACE, containing(self._rules, name, hits, items.limits)))
