"""What a schema says of a value, type by type: the result of reading its keywords, for the grammar to be made of.

A `Shape` is one way to satisfy some schemas; what a property or an item must satisfy stays a tuple of `Part`s, to be
read when its turn comes. Everything here is exact: nothing is narrowed, so that it can be negated. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .numbers import Interval
from .pace import let_others_run
from .values import equal, identity, is_of_type

__all__ = ["ANY", "ArrayFact", "Child", "Contains", "ObjectFact", "Part", "Shape", "Shapes", "bound"]


@dataclass(frozen=True, slots=True)
class Part:
    """A schema that a value must satisfy, or must not.

    Attributes:
        schema: An object of the document, or a boolean.
        positive: Whether the value must satisfy it.
        place: Where it stands.
    """

    schema: Any
    positive: bool
    place: str

    @property
    def key(self) -> tuple[object, bool]:
        """What tells it from others: one object of the document is one schema."""
        return (self.schema if isinstance(self.schema, bool) else id(self.schema), self.positive)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Part) and self.key == other.key


_TYPES = ("null", "boolean", "number", "string", "array", "object")
_EVERYWHERE = Interval()

Child = tuple[Part, ...]
ANY: Child = ()


@dataclass(frozen=True, slots=True)
class ObjectFact:
    """What one schema says of an object's members.

    Attributes:
        properties: By name.
        patterns: By pattern of the name.
        additional: Of every other member that none of `unless` speaks of either; `None`: nothing is said.
        unless: For `unevaluatedProperties`: what was said in the same schema.
        lists: Whether its properties are the ones that are meant to come.
    """

    properties: dict[str, Part] = field(default_factory=dict)
    patterns: tuple[tuple[str, Part], ...] = ()
    additional: Part | None = None
    unless: tuple[ObjectFact, ...] = ()
    lists: bool = True

    def speaks(self, matching: set[str], key: str | None) -> bool:
        """Whether it says something of a member, as for `Shape.member`."""
        return (
            (key is not None and key in self.properties)
            or any(pattern in matching for pattern, _ in self.patterns)
            or self.additional is not None
        )


@dataclass(frozen=True, slots=True)
class ArrayFact:
    """What one schema says of an array's items: of the first ones, each by itself, and of all others.

    Attributes:
        first: The first ones.
        rest: All others; `None`: nothing is said.
        lists: Whether `unevaluatedItems` counts them as spoken of.
    """

    first: tuple[Part, ...] = ()
    rest: Part | None = None
    lists: bool = True


@dataclass(frozen=True, slots=True)
class Contains:
    """So many items satisfy a schema."""

    part: Part
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """Constraints that hold together. What is said of one type says nothing of others.

    Attributes:
        types: Those that a value may have; `number` includes the integers.
        is_typed: Whether the types were named, so that none but what was spoken of may be meant.
        spoken: The types that keywords spoke of.
        values: If not `None`, the only values.
        excluded: Values that are not.
        integral: Whether a number is an integer (True), is none (False).
        interval: The bounds of a number.
        factors: What a number is a multiple of.
        min_length: Of a string.
        max_length: Of a string; `None`: no limit.
        patterns: Patterns that a string has (True) or has not.
        formats: Formats that a string has.
        arrays: What is said of items.
        min_items: Of an array.
        max_items: Of an array.
        unique: Whether items differ.
        contains: Which items an array has.
        objects: What is said of members.
        required: Names that an object has.
        absent: Names that it has not.
        names: What its names satisfy.
        min_properties: Of an object.
        max_properties: Of an object.
    """

    types: frozenset[str] = frozenset(_TYPES)
    is_typed: bool = False
    spoken: frozenset[str] = frozenset()
    values: tuple[Any, ...] | None = None
    excluded: tuple[Any, ...] = ()
    integral: bool | None = None
    interval: Interval = _EVERYWHERE
    factors: tuple[Fraction, ...] = ()
    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[tuple[str, bool], ...] = ()
    formats: tuple[str, ...] = ()
    arrays: tuple[ArrayFact, ...] = ()
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    contains: tuple[Contains, ...] = ()
    objects: tuple[ObjectFact, ...] = ()
    required: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    names: Child = ANY
    min_properties: int = 0
    max_properties: int | None = None

    def only(self, *types: str) -> Shape:
        """Return the shape of those of its values that have one of these types."""
        return replace(self, types=self.types & set(types), is_typed=True)

    def meant(self) -> frozenset[str]:
        """Return the types that come: without named ones, those that keywords spoke of."""
        return self.types if self.is_typed or not self.spoken else self.types & self.spoken

    def within(self, interval: Interval) -> Shape:
        """Return the shape with its numbers between these bounds too."""
        mine = self.interval
        low, low_open = mine.low, mine.low_open
        if interval.low is not None and (low is None or interval.low >= low):
            low_open = interval.low_open or (low_open and low == interval.low)
            low = interval.low
        high, high_open = mine.high, mine.high_open
        if interval.high is not None and (high is None or interval.high <= high):
            high_open = interval.high_open or (high_open and high == interval.high)
            high = interval.high
        return replace(self, interval=Interval(low, high, low_open, high_open))

    def listed(self, values: list[Any]) -> Shape:
        """Return the shape with none but these values."""
        if self.values is not None:
            same = set(map(identity, values))
            values = [value for value in self.values if identity(value) in same]
        return replace(self, values=tuple(values), is_typed=True)

    def silenced(self, n_objects: int, n_arrays: int) -> Shape:
        """Return the shape with what was said since so many facts not said to `unevaluated*`."""
        return replace(
            self,
            objects=self.objects[:n_objects] + tuple(replace(fact, lists=False) for fact in self.objects[n_objects:]),
            arrays=self.arrays[:n_arrays] + tuple(replace(fact, lists=False) for fact in self.arrays[n_arrays:]),
        )

    def item(self, index: int) -> Child:
        """Return what an item satisfies."""
        parts: list[Part] = []
        for fact in self.arrays:
            if index < len(fact.first):
                parts.append(fact.first[index])
            elif fact.rest is not None:
                parts.append(fact.rest)
        return tuple(parts)

    def member(self, matching: set[str], key: str | None) -> Child:
        """Return what a member satisfies, by the patterns that its name matches.

        Args:
            matching: The patterns.
            key: Its name, `None` for any that is not listed.
        """
        parts: list[Part] = []
        for fact in self.objects:
            mine = [part for pattern, part in fact.patterns if pattern in matching]
            if key is not None and key in fact.properties:
                mine.append(fact.properties[key])
            if not mine and fact.additional is not None and not any(one.speaks(matching, key) for one in fact.unless):
                mine = [fact.additional]
            parts += mine
        return tuple(parts)

    def candidates(self) -> list[Any]:
        """Return the listed values that its types, bounds and lengths allow; nothing deeper is looked at."""
        assert self.values is not None
        return [value for value in self.values if self.allows_plain(value)]

    def allows_plain(self, value: object) -> bool:
        """Whether types, excluded values, bounds and lengths allow a value."""
        let_others_run()
        name = _type_name(value)
        if name not in self.types or any(equal(value, other) for other in self.excluded):
            return False
        if name == "number":
            return self._allows_number(value)
        if name == "string":
            assert isinstance(value, str)
            return _between(len(value), self.min_length, self.max_length)
        if name == "array":
            assert isinstance(value, list)
            return _between(len(value), self.min_items, self.max_items)
        if name == "object":
            assert isinstance(value, dict)
            return (
                _between(len(value), self.min_properties, self.max_properties)
                and not (set(self.required) - value.keys())
                and not (self.absent & value.keys())
            )
        return True

    def _allows_number(self, value: object) -> bool:
        exact = Decimal(str(value))
        if self.integral is not None and (exact == exact.to_integral_value()) != self.integral:
            return False
        return self.interval.has(exact) and all(Fraction(exact) % factor == 0 for factor in self.factors)

    def is_surely_empty(self) -> bool:
        """Whether no value can have this shape, as far as a look at the shape alone tells."""
        if self.values is not None:
            return not any(map(self.allows_plain, self.values))
        return not any(self._is_possible(name) for name in self.meant())

    def _is_possible(self, name: str) -> bool:
        if name == "number":
            low, high = self.interval.integral()
            if self.integral and low is not None and high is not None and low > high:
                return False
            return not self.interval.is_empty
        if name == "string":
            return self.max_length is None or self.min_length <= self.max_length
        if name == "array":
            return self.max_items is None or self.min_items <= self.max_items
        if name == "object":
            if self.max_properties is not None and max(self.min_properties, len(self.required)) > self.max_properties:
                return False
            return not self.absent.intersection(self.required)
        return True


Shapes = list[Shape]


def _type_name(value: object) -> str:
    return next(name for name in _TYPES if is_of_type(value, name))


def _between(n: int, least: int, most: int | None) -> bool:
    return n >= least and (most is None or n <= most)


def bound(value: Decimal, *, lower: bool, is_open: bool) -> Interval:
    """Return all numbers on one side of a bound."""
    return Interval(low=value, low_open=is_open) if lower else Interval(high=value, high_open=is_open)
