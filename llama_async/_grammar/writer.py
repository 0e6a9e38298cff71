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
from fractions import Fraction
from typing import Any

from .arrays import Arrays
from .document import Document
from .gbnf import NOTHING, Either, Expr, Ref, Rules, joined, literal
from .listed import Listed
from .members import MembersError
from .numbers import Interval, add_digits, decimal_multiples, integers, multiples, numbers
from .objects import Objects
from .pace import let_others_run
from .reader import SchemaReader
from .shape import Child, Part, Shape
from .strings import Strings
from .text import NUMBER, VALUE, add_common_rules
from .values import Refused, TooLarge, compact, is_number

__all__ = ["MAX_CHARACTERS", "Writer"]

MAX_CHARACTERS = 1 << 19
_MAX_RULES = 8_000


class Writer:
    """Writes the grammar of one schema.

    Args:
        root: As `json.loads` gave it.
        prefix: What the names of rules begin with that are this schema's own.
        lenient: Loosen what cannot be enforced instead of refusing it.

    Raises:
        TooLarge: It has too many schemas within.
    """

    def __init__(self, root: Any, *, prefix: str = "r", lenient: bool = False) -> None:
        self.root: Child = (Part(root, True, "#"),)
        self.reader = SchemaReader(Document(root), lenient=lenient)
        self._prefix = prefix
        self._lenient = lenient
        self._rules = Rules()
        self._names: dict[tuple[object, ...], str] = {}
        self._todo: list[tuple[str, Child, str]] = []
        self.strings = Strings(self._rules)
        self._listed = Listed(self.reader, self.strings)
        # In the order in which a value without a type is written.
        self._writers: Mapping[str, Callable[[str, Shape, str], Expr]] = {
            "object": Objects(self._rules, self.reader, self.strings, self._listed, self.child).write,
            "array": Arrays(self._rules, self.reader, self._listed, self.child).write,
            "string": self.strings.write,
            "number": self._number,
            "boolean": self._boolean,
            "null": self._null,
        }
        add_common_rules(self._rules)
        add_digits(self._rules)

    def text(self) -> str:
        """Return the grammar.

        Raises:
            Refused: Something that it says cannot be enforced, or no value satisfies it.
            TooLarge: It takes too much work, or too large a grammar.
        """
        return joined(self.lines({"root": self.child(self.root, "#")}))

    def lines(self, roots: Mapping[str, Expr]) -> dict[str, str]:
        """Return the rules of some expressions, and all that they need, as they are written.

        Args:
            roots: By the names that their rules get; what the first one needs is that nothing may be without.

        Raises:
            Refused: Something cannot be enforced, or no text satisfies the first of them.
            TooLarge: It takes too much work, or too large a grammar.
        """
        while self._todo:
            let_others_run()
            name, child, place = self._todo.pop()
            self._rules.by_name[name] = self._written(name, child, place)
            if len(self._rules.by_name) > _MAX_RULES:
                raise TooLarge(place, f"its grammar has more than {_MAX_RULES} rules")
        lines = self._rules.lines(roots)
        if next(iter(roots)) not in lines:
            raise Refused("#", "no value satisfies it")
        n_characters = sum(map(len, lines.values()))
        if n_characters > MAX_CHARACTERS:
            raise TooLarge("#", f"its grammar has {n_characters} characters, the limit is {MAX_CHARACTERS}")
        try:
            for line in lines.values():
                let_others_run()
                line.encode()
        except UnicodeEncodeError:
            raise Refused("#", "it holds a lone surrogate") from None
        return lines

    def _written(self, name: str, child: Child, place: str) -> Expr:
        try:
            return self._union(name, child)
        except MembersError as error:
            refused = Refused(place, str(error))
        except TooLarge:
            raise
        except Refused as error:
            refused = error
        if not self._lenient:
            raise refused.with_traceback(None)
        # Under another name: what was begun may have left rules.
        loose = self.reader.simplified(tuple(map(self.reader.loosened, child)))
        return self._union(f"{name}l", loose) if loose else VALUE

    def child(self, child: Child, place: str) -> Expr:
        """Return the expression of the values that satisfy a schema; `place` is where it stands."""
        parts = self.reader.simplified(child)
        if not parts:
            return VALUE
        key = tuple(part.key for part in parts)
        if key not in self._names:
            self._names[key] = f"{self._prefix}{len(self._names)}"
            self._todo.append((self._names[key], parts, parts[0].place or place))
        return Ref(self._names[key])

    def _union(self, name: str, child: Child) -> Expr:
        place = child[0].place
        shapes = self.reader.shapes(child)
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
        factors = [*shape.factors, Fraction(1)] if shape.integral else shape.factors
        # Of fractions in lowest terms.
        factor = Fraction(
            math.lcm(*(one.numerator for one in factors)), math.gcd(*(one.denominator for one in factors))
        )
        is_whole = factor.denominator == 1
        if shape.integral is False:
            if is_whole:
                return NOTHING
            raise Refused(place, "multipleOf of what is no integer is not supported")
        found = [
            multiples(self._rules, factor.numerator, interval) if is_whole else decimal_multiples(factor, interval)
            for interval in intervals
        ]
        if any(one is None for one in found):
            raise Refused(place, f"multipleOf {_shown(factor)} with these bounds takes too many rules")
        return Either(tuple(one for one in found if one is not None))


def _shown(factor: Fraction) -> str:
    return str(factor.numerator if factor.denominator == 1 else factor.numerator / factor.denominator)


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
