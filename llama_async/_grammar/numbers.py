"""Numbers of JSON within bounds -> expressions of a grammar over their digits.

What is accepted reads back as a number within the bounds in binary floating point too: with bounds, a number has 15
digits at most and no exponent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from .gbnf import EMPTY_TEXT, NOTHING, Either, Expr, Ref, Repeat, Rules, Then, literal

__all__ = ["Interval", "add_digits", "decimal_multiples", "integers", "multiples", "numbers"]

_MAX_DIGITS = 15
_LARGEST = 10 ** (_MAX_DIGITS - 1)
_MAX_LISTED = 500
_MAX_REMAINDERS = 50

_NATURAL = "([0] | [1-9] [0-9]{0,15})"


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers between two bounds; `None` for no bound."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no number is between."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def has(self, value: Decimal) -> bool:
        """Whether a number is between."""
        below = self.low is not None and (value < self.low or (value == self.low and self.low_open))
        above = self.high is not None and (value > self.high or (value == self.high and self.high_open))
        return not below and not above

    def integral(self) -> tuple[int | None, int | None]:
        """Return the least and the greatest integer between."""
        low = high = None
        if self.low is not None:
            low = int(self.low.to_integral_value("ROUND_CEILING"))
            low += self.low_open and low == self.low
        if self.high is not None:
            high = int(self.high.to_integral_value("ROUND_FLOOR"))
            high -= self.high_open and high == self.high
        return low, high


def integers(interval: Interval) -> Expr:
    """Return the integers between, of at most 15 digits, 16 without bounds."""
    if interval.low is None and interval.high is None:
        return Then((Repeat('"-"', 0, 1), _NATURAL))
    low, high = interval.integral()
    limit = 10**_MAX_DIGITS - 1
    low = -limit if low is None else max(low, -limit)
    high = limit if high is None else min(high, limit)
    parts: list[Expr] = []
    if low < 0:
        parts.append(Then(('"-"', _naturals(max(1, -high), -low))))
    parts.append(_naturals(max(low, 0), high))
    return Either(tuple(parts))


def _naturals(low: int, high: int) -> Expr:
    if low > high:
        return NOTHING
    parts: list[Expr] = []
    for n_digits in range(len(str(low)), len(str(high)) + 1):
        first = 0 if n_digits == 1 else 10 ** (n_digits - 1)
        parts.append(_same_length(str(max(low, first)), str(min(high, 10**n_digits - 1))))
    return Either(tuple(parts))


@lru_cache(maxsize=1024)
def _same_length(low: str, high: str) -> Expr:
    if set(low) == {"0"} and set(high) == {"9"}:
        return _digits_between(len(low), len(low))
    if len(low) == 1:
        return _digits(low, high)
    if low[0] == high[0]:
        return Then((literal(low[0]), _same_length(low[1:], high[1:])))
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    parts: list[Expr] = []
    if set(low[1:]) != {"0"}:
        parts.append(Then((literal(low[0]), _same_length(low[1:], "9" * rest))))
        first += 1
    if set(high[1:]) != {"9"}:
        parts.append(Then((literal(high[0]), _same_length("0" * rest, high[1:]))))
        last -= 1
    if first <= last:
        parts.append(Then((_digits(str(first), str(last)), _digits_between(rest, rest))))
    return Either(tuple(parts))


def add_digits(rules: Rules) -> None:
    """Add the rules of any digits, shared by all numbers: those that are not needed are not written."""
    for most in range(1, _MAX_DIGITS + 2):
        for least in {0, 1, most}:
            rules.by_name[f"digits-{least}-{most}"] = Repeat("[0-9]", least, most)


def _digits_between(least: int, most: int) -> Expr:
    return Ref(f"digits-{least}-{most}") if most else EMPTY_TEXT


def _digits(low: str, high: str) -> Expr:
    return literal(low) if low == high else f"[{low}-{high}]"


def numbers(interval: Interval, *, fraction: bool = False, n_places: int | None = None) -> Expr:
    """Return the numbers between.

    Args:
        interval: The bounds.
        fraction: No integers.
        n_places: How many digits stand behind the point at most; `None`: as many as are exact.
    """
    some = _fraction_part(True) if fraction else Repeat('"." [0-9]{1,16}', 0, 1)
    if interval.low is None and interval.high is None and n_places is None:
        exponent: Expr = EMPTY_TEXT if fraction else Repeat("[eE] [-+]? [0-9]{1,2}", 0, 1)
        return Then((Repeat('"-"', 0, 1), _NATURAL, some, exponent))
    # Greater ones leave no digits behind the point.
    if interval.high is not None and interval.high > _LARGEST:
        interval = replace(interval, high=None, high_open=False)
    if interval.low is not None and interval.low < -_LARGEST:
        interval = replace(interval, low=None, low_open=False)
    parts: list[Expr] = []
    if interval.low is None or interval.low < 0:
        # What is below zero, by its magnitude; zero itself has no sign.
        is_below = interval.high is not None and interval.high < 0
        least = -interval.high if is_below and interval.high is not None else Decimal(0)
        most = None if interval.low is None else -interval.low
        magnitude = Interval(least, most, interval.high_open if is_below else True, interval.low_open)
        parts.append(Then(('"-"', _magnitudes(magnitude, fraction, n_places))))
    if interval.high is None or interval.high >= 0:
        from_zero = interval.low is None or interval.low < 0
        low, low_open = (Decimal(0), False) if from_zero else (interval.low, interval.low_open)
        parts.append(_magnitudes(Interval(low, interval.high, low_open, interval.high_open), fraction, n_places))
    return Either(tuple(parts))


def _fraction_part(needed: bool, most: int = 16) -> Expr:
    if needed:
        return Then(('"."', _digits_between(0, most - 1), "[1-9]"))
    return Repeat(Then(('"."', _digits_between(1, most))), 0, 1)


def _magnitudes(interval: Interval, fraction: bool, n_places: int | None) -> Expr:
    """Return the numbers between two bounds that are not negative; the lower is given."""
    assert interval.low is not None
    if interval.is_empty:
        return NOTHING
    first = int(interval.low)
    last = None if interval.high is None else int(interval.high)
    n_fraction = min(_MAX_DIGITS - len(str(first if last is None else last)), n_places or _MAX_DIGITS)
    if n_fraction < 1:
        return integers(interval) if not fraction else NOTHING
    if interval.high == 0:
        return "[0]" if not fraction else NOTHING
    low, high = _fraction_digits(interval.low), "" if interval.high is None else _fraction_digits(interval.high)
    bounds = _Fraction(n_fraction, low, high, interval.low_open, interval.high_open, fraction)
    if first == last:
        return Then((literal(str(first)), bounds.after_point(low=True, high=True)))
    parts: list[Expr] = [Then((literal(str(first)), bounds.after_point(low=True, high=False)))]
    limit = _LARGEST if last is None else last
    middle = _naturals(first + 1, limit - 1)
    if middle is not NOTHING:
        parts.append(Then((middle, _fraction_part(fraction, n_fraction))))
    if last is not None:
        parts.append(Then((literal(str(last)), bounds.after_point(low=False, high=True))))
    return Either(tuple(parts))


def _fraction_digits(value: Decimal) -> str:
    return f"{value:f}".partition(".")[2].rstrip("0")


@dataclass(frozen=True, slots=True)
class _Fraction:
    """The digits behind the point, while all before equal those of the lower bound, the higher one, or both."""

    n_most: int
    low_digits: str
    high_digits: str
    low_open: bool
    high_open: bool
    needed: bool

    def after_point(self, *, low: bool, high: bool) -> Expr:
        parts: list[Expr] = [EMPTY_TEXT] if self._may_end(0, low, high, False) else []
        parts.append(Then(('"."', self._digits(0, low, high, False))))
        return Either(tuple(parts))

    def _may_end(self, at: int, low: bool, high: bool, some: bool) -> bool:
        """Whether zeros may follow for ever. `some`: a digit other than 0 was met."""
        if low and (self.low_digits[at:] or self.low_open):
            return False
        if high and not self.high_digits[at:] and self.high_open:
            return False
        return some or not self.needed

    def _digits(self, at: int, low: bool, high: bool, some: bool) -> Expr:
        if at >= self.n_most:
            return NOTHING
        if not low and not high and (some or not self.needed):
            return _digits_between(1, self.n_most - at)
        lowest = int(self.low_digits[at : at + 1] or 0) if low else 0
        highest = int(self.high_digits[at : at + 1] or 0) if high else 9
        by_state: dict[tuple[bool, bool, bool], list[int]] = {}
        for digit in range(lowest, highest + 1):
            state = (low and digit == lowest, high and digit == highest, some or digit > 0)
            by_state.setdefault(state, []).append(digit)
        parts: list[Expr] = []
        for (is_low, is_high, is_some), digits in by_state.items():
            here = _digits(str(digits[0]), str(digits[-1]))
            rest = self._digits(at + 1, is_low, is_high, is_some)
            if self._may_end(at + 1, is_low, is_high, is_some):
                rest = Either((EMPTY_TEXT, rest))
            parts.append(Then((here, rest)))
        return Either(tuple(parts))


def decimal_multiples(factor: Fraction, interval: Interval) -> Expr | None:
    """Return the multiples of a decimal fraction between two bounds; `None` if that takes too many rules.

    Args:
        factor: One with so many digits behind the point, which is no integer.
        interval: The bounds.
    """
    n_places = next(n for n in range(1, 400) if (factor * 10**n).denominator == 1)
    if n_places >= _MAX_DIGITS:
        return None
    if interval.low is not None and interval.high is not None:
        first, last = Fraction(interval.low) / factor, Fraction(interval.high) / factor
        if last - first <= _MAX_LISTED:
            found = [_decimal(n * factor) for n in range(math.ceil(first), math.floor(last) + 1)]
            return Either(tuple(literal(f"{value:f}") for value in found if interval.has(value)))
    if factor.numerator == 1 and factor * 10**n_places == 1:
        return numbers(interval, n_places=n_places)
    ends, rest = divmod(1, factor)
    if rest or ends > _MAX_LISTED:
        return None
    # One is a multiple: what stands behind the point is one of a few texts, each with integers of its own before it.
    limit = 10 ** (_MAX_DIGITS - n_places) - 1
    parts: list[Expr] = []
    for end in [_decimal(n * factor) for n in range(int(ends))]:
        text = literal(f"{end:f}"[1:]) if end else ""
        above = Interval(_moved(interval.low, -end), _moved(interval.high, -end), interval.low_open, interval.high_open)
        low, high = above.integral()
        parts.append(Then((_naturals(max(low or 0, 0), limit if high is None else min(high, limit)), text)))
        below = Interval(_moved(interval.low, end), _moved(interval.high, end), interval.low_open, interval.high_open)
        low, high = below.integral()
        least = max(0 if high is None else -high, 0 if end else 1)
        parts.append(Then(('"-"', _naturals(least, limit if low is None else min(-low, limit)), text)))
    return Either(tuple(parts))


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _moved(bound: Decimal | None, by: Decimal) -> Decimal | None:
    return None if bound is None else bound + by


def multiples(rules: Rules, factor: int, interval: Interval) -> Expr | None:
    """Return the multiples of a number between two bounds; `None` if that takes too many rules.

    Args:
        rules: Where rules are added.
        factor: At least 1.
        interval: The bounds.
    """
    low, high = interval.integral()
    limit = 10**12
    low = -limit if low is None else max(low, -limit)
    high = limit if high is None else min(high, limit)
    if (high - low) // factor <= _MAX_LISTED:
        first = -(-low // factor) * factor
        return Either(tuple(literal(str(value)) for value in range(first, high + 1, factor)))
    parts: list[Expr] = []
    if low < 0:
        below = _positive_multiples(rules, factor, max(1, -high), -low)
        if below is None:
            return None
        parts.append(Then(('"-"', below)))
    if high >= 0:
        above = _positive_multiples(rules, factor, max(1, low), high)
        if above is None:
            return None
        parts += ["[0]", above] if low <= 0 else [above]
    return Either(tuple(parts))


def _positive_multiples(rules: Rules, factor: int, low: int, high: int) -> Expr | None:
    """Return those between: near the bounds each by itself, between powers of ten by their remainders."""
    if low > high:
        return NOTHING
    shortest, longest = len(str(low - 1)), len(str(high + 1)) - 1  # every number of more digits, and up to so many
    ends = [(low, min(high, 10**shortest - 1)), (max(low, 10**longest), high)] if shortest < longest else [(low, high)]
    if any((last - first) // factor > _MAX_LISTED for first, last in ends):
        return None
    parts: list[Expr] = [
        Either(tuple(literal(str(value)) for value in range(-(-first // factor) * factor, last + 1, factor)))
        for first, last in ends
    ]
    if shortest < longest:
        n_zeros = 0
        while factor % 10 == 0:
            factor //= 10
            n_zeros += 1
        if factor > _MAX_REMAINDERS:
            return None
        if longest > n_zeros:
            digits = _Remainders(rules, factor)
            n_least, n_most = max(shortest + 1 - n_zeros, 1), longest - n_zeros
            head = [
                Then((literal(str(digit)), digits.after(digit % factor, n_least - 1, n_most - 1)))
                for digit in range(1, 10)
            ]
            parts.append(Then((Either(tuple(head)), literal("0" * n_zeros))))
    return Either(tuple(parts))


@dataclass(frozen=True, slots=True)
class _Remainders:
    """The digits of the multiples of a factor; the rules are named by what the digits before leave."""

    rules: Rules
    factor: int

    def after(self, remainder: int, n_least: int, n_most: int) -> Expr:
        """Return so many further digits of a multiple."""
        rule = f"multiple{self.factor}-{remainder}-{n_least}-{n_most}"
        if rule not in self.rules.by_name:
            self.rules.by_name[rule] = NOTHING
            parts: list[Expr] = [EMPTY_TEXT] if remainder == 0 and n_least == 0 else []
            if n_most > 0:
                by_next: dict[int, str] = {}
                for digit in range(10):
                    after = (remainder * 10 + digit) % self.factor
                    by_next[after] = by_next.get(after, "") + str(digit)
                parts += [
                    Then((f"[{digits}]", self.after(after, max(n_least - 1, 0), n_most - 1)))
                    for after, digits in by_next.items()
                ]
            self.rules.by_name[rule] = Either(tuple(parts))
        return Ref(rule)
