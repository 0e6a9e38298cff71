r"""Shapes -> the grammar of answers that have them, or an error that names what cannot be enforced.

What the grammar accepts may be narrower than the schema, never wider. It is narrower in these ways:

- members come in the order of the schema, and none that it does not list unless `additionalProperties`, or the like, is
  given; of several keywords without a type, the types that they speak of;
- the first items that are listed all come; items after them only where `items` is given;
- numbers have at most 16 digits before and behind the point, with bounds 15 in all and no exponent; multiples are
  integers;
- a string holds no control character but those with an escape of one letter, and at most 40 blanks in a row; what a
  pattern or format constrains has no \u escape; formats are patterns of ours;
- values without a schema nest 16 levels deep.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from .arrays import Arrays
from .document import Document
from .gbnf import NOTHING, Either, Expr, Ref, Rules, literal
from .listed import Listed
from .members import MembersError
from .numbers import Interval, add_digits, integers, multiples, numbers
from .objects import Objects
from .reader import SchemaReader
from .shape import Child, Part, Shape
from .strings import Strings
from .text import NUMBER, VALUE, add_common_rules
from .values import Refused, TooLarge, compact, is_number

__all__ = ["Writer"]

_MAX_TEXT = 1 << 19
_MAX_RULES = 8_000


class Writer:
    """Writes the grammar of one schema.

    Args:
        root: As `json.loads` gave it.

    Raises:
        TooLarge: It has too many schemas within.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._reader = SchemaReader(Document(root))
        self._rules = Rules()
        self._names: dict[tuple[object, ...], str] = {}
        self._todo: list[tuple[str, Child, str]] = []
        strings = Strings(self._rules)
        self._listed = Listed(self._reader, strings)
        # In the order in which a value without a type is written.
        self._writers: Mapping[str, Callable[[str, Shape, str], Expr]] = {
            "object": Objects(self._rules, self._reader, strings, self._listed, self._child).write,
            "array": Arrays(self._rules, self._reader, self._listed, self._child).write,
            "string": strings.write,
            "number": self._number,
            "boolean": self._boolean,
            "null": self._null,
        }

    def text(self) -> str:
        """Return the grammar.

        Raises:
            Refused: Something that it says cannot be enforced, or no value satisfies it.
            TooLarge: It takes too much work, or too large a grammar.
        """
        add_common_rules(self._rules)
        add_digits(self._rules)
        root = self._child((Part(self._root, True, "#"),), "#")
        while self._todo:
            name, child, place = self._todo.pop()
            try:
                self._rules.by_name[name] = self._union(name, child)
            except MembersError as error:
                raise Refused(place, str(error)) from None
            if len(self._rules.by_name) > _MAX_RULES:
                raise TooLarge(place, f"its grammar has more than {_MAX_RULES} rules")
        text = self._rules.text(root)
        if text is None:
            raise Refused("#", "no value satisfies it")
        if len(text) > _MAX_TEXT:
            raise TooLarge("#", f"its grammar has {len(text)} characters, the limit is {_MAX_TEXT}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("#", "it holds a lone surrogate") from None
        return text

    def _child(self, child: Child, place: str) -> Expr:
        parts = tuple(part for part in dict.fromkeys(child) if part.key != (True, True))
        if not parts:
            return VALUE
        key = tuple(part.key for part in parts)
        if key not in self._names:
            self._names[key] = f"r{len(self._names)}"
            self._todo.append((self._names[key], parts, parts[0].place or place))
        return Ref(self._names[key])

    def _union(self, name: str, child: Child) -> Expr:
        place = child[0].place
        shapes = self._reader.shapes(child)
        return Either(tuple(self._shape(f"{name}-{index}", shape, place) for index, shape in enumerate(shapes)))

    def _shape(self, name: str, shape: Shape, place: str) -> Expr:
        if shape.values is not None:
            return Either(tuple(literal(compact(value)) for value in self._listed.values(shape, place)))
        if shape == Shape(spoken=shape.spoken, is_typed=shape.is_typed) and (shape.is_typed or not shape.spoken):
            return VALUE
        meant = shape.meant()
        return Either(
            tuple(write(f"{name}{kind[0]}", shape, place) for kind, write in self._writers.items() if kind in meant)
        )

    # -- what needs no more than a few lines

    @staticmethod
    def _null(_name: str, shape: Shape, _place: str) -> Expr:
        return NOTHING if any(value is None for value in shape.excluded) else Ref("null")

    @staticmethod
    def _boolean(_name: str, shape: Shape, _place: str) -> Expr:
        return Either(
            tuple(
                literal(text)
                for text, value in (("true", True), ("false", False))
                if not any(value is other for other in shape.excluded)
            )
        )

    def _number(self, _name: str, shape: Shape, place: str) -> Expr:
        intervals = list(_around(shape.interval, [Decimal(str(value)) for value in shape.excluded if is_number(value)]))
        if shape.factors:
            return self._multiples(shape, intervals, place)
        if shape.integral:
            return Either(tuple(map(integers, intervals)))
        if intervals == [Interval()] and shape.integral is None:
            return NUMBER
        fraction = shape.integral is False
        return Either(tuple(numbers(interval, fraction=fraction) for interval in intervals))

    def _multiples(self, shape: Shape, intervals: list[Interval], place: str) -> Expr:
        if shape.integral is False:
            return NOTHING
        factor = math.lcm(*shape.factors)
        found = [multiples(self._rules, factor, interval) for interval in intervals]
        if any(one is None for one in found):
            raise Refused(place, f"multipleOf {factor} with these bounds takes too many rules")
        return Either(tuple(one for one in found if one is not None))


def _around(interval: Interval, excluded: list[Decimal]) -> Iterator[Interval]:
    """Yield the intervals that are left without some numbers."""
    low, low_open = interval.low, interval.low_open
    for value in sorted(set(excluded)):
        if interval.has(value):
            piece = Interval(low, value, low_open, True)
            if not piece.is_empty:
                yield piece
            low, low_open = value, True
    piece = Interval(low, interval.high, low_open, interval.high_open)
    if not piece.is_empty:
        yield piece
