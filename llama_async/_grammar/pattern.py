r"""Patterns of JSON schemas, parsed into expressions over characters. Pure.

Two dialects meet in a schema's pattern: ECMA 262's, which the specification names, and Python's, which most validators
have. They differ in `\d`, `\s`, `\w`, `.` and `$`. `parse` therefore takes what both match or, where a text must not
match, what either does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from .characters import ALL, Ranges, complement, merged

__all__ = ["Cat", "Chars", "Either", "Expression", "PatternError", "Repeat", "lengths", "parse"]

_MAX_REPEAT = 2000  # upstream's limit
_MAX_DEPTH = 32
_MAX_CHARS = 2000
_UNBOUNDED = 1 << 40

# Classes as both dialects have them, and as either may.
_CLASSES: Mapping[str, Ranges] = MappingProxyType(
    {
        "d": ((0x30, 0x39),),
        "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
        "s": (
            *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
            *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
        ),
    }
)
_WIDE_CLASSES: Mapping[str, Ranges] = MappingProxyType(
    {
        "d": ((0x30, 0x39), (0x80, 0x10FFFF)),
        "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), (0x80, 0x10FFFF)),
        "s": (
            *((0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
            *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
        ),
    }
)
_LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CONTROLS: Mapping[str, str] = MappingProxyType({"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"})


class PatternError(ValueError):
    """The pattern is no regular expression, or uses what cannot be enforced."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of these."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Cat:
    """One after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same, `least` to `most` times; `None`: without end."""

    part: Expression
    least: int
    most: int | None


Expression = Chars | Cat | Either | Repeat

_EMPTY = Cat(())


@lru_cache(maxsize=256)
def parse(pattern: str, *, wide: bool = False) -> Expression:
    """Return the strings that a pattern matches, whole.

    Args:
        pattern: ECMA 262's syntax, without lookaround, references and word boundaries.
        wide: Where dialects differ, take what either matches instead of what both do.

    Raises:
        PatternError: It uses those, is malformed, or too long.
    """
    if len(pattern) > _MAX_CHARS:
        raise PatternError(f"it has {len(pattern)} characters, the limit is {_MAX_CHARS}")
    return _Parser(pattern, wide).whole()


def lengths(expression: Expression) -> tuple[int, int | None]:
    """Return how many characters a match has at least and at most; `None` for no limit."""
    least, most = _lengths(expression)
    return least, None if most >= _UNBOUNDED else most


def _lengths(expression: Expression) -> tuple[int, int]:
    if isinstance(expression, Chars):
        return 1, 1
    if isinstance(expression, Repeat):
        least, most = _lengths(expression.part)
        times = _UNBOUNDED if expression.most is None and most else expression.most or 0
        return min(least * expression.least, _UNBOUNDED), min(most * times, _UNBOUNDED)
    bounds = [_lengths(part) for part in expression.parts]
    if isinstance(expression, Either):
        return min(least for least, _ in bounds), max(most for _, most in bounds)
    return (
        min(sum(least for least, _ in bounds), _UNBOUNDED),
        min(sum(most for _, most in bounds), _UNBOUNDED),
    )


class _Parser:
    def __init__(self, pattern: str, wide: bool) -> None:
        self._pattern = pattern
        self._wide = wide
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        parts = list(self._alternatives(top=True))
        if self._at < len(self._pattern):
            raise PatternError("it has a ) without (")
        return _either(parts)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("it ends too early")
        self._at += 1
        return character

    def _alternatives(self, *, top: bool) -> Iterator[Expression]:
        while True:
            yield self._sequence(top=top)
            if self._peek() != "|":
                return
            self._at += 1

    def _sequence(self, *, top: bool) -> Expression:
        starts = top and self._peek() == "^"
        self._at += starts
        parts: list[Expression] = []
        ends = False
        while (character := self._peek()) and character not in "|)":
            if character == "$" and top and self._pattern[self._at + 1 : self._at + 2] in ("", "|"):
                self._at += 1
                ends = True
                break
            parts.append(self._quantified())
        if top and not starts:
            parts.insert(0, self._anything())
        if top and ends and self._wide:
            parts.append(Repeat(Chars(((0x0A, 0x0A),)), 0, 1))  # Python's $ stands before a last line end too
        elif top and not ends:
            parts.append(self._anything())
        return parts[0] if len(parts) == 1 else Cat(tuple(parts))

    def _anything(self) -> Expression:
        return Repeat(Chars(ALL), 0, None)

    def _quantified(self) -> Expression:
        part = self._atom()
        while self._peek() and self._peek() in "*+?{":
            least, most = self._bounds()
            if self._peek() == "?":
                self._at += 1  # lazy: matches the same strings
            part = _repeated(part, least, most)
        return part

    def _bounds(self) -> tuple[int, int | None]:
        character = self._take()
        if character != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        end = self._pattern.find("}", self._at)
        numbers = self._pattern[self._at : end].split(",") if end >= 0 else []
        if not 1 <= len(numbers) <= 2 or not all(n.isascii() and n.isdigit() and len(n) < 8 for n in numbers if n):
            raise PatternError("it has braces that are no repetition")
        if not numbers[0]:
            raise PatternError("it has a repetition without a lower bound")
        self._at = end + 1
        least = int(numbers[0])
        if len(numbers) == 1:
            return least, least
        return least, int(numbers[1]) if numbers[1] else None

    def _atom(self) -> Expression:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return Chars(self._class())
        if character == ".":
            return Chars(complement(((0x0A, 0x0A),) if self._wide else _LINE_ENDS))
        if character == "\\":
            name = self._take()
            if name.lower() in _CLASSES:
                return Chars(self._class_ranges(name))
            return _literal(self._escaped(name))
        if character in "^$":
            raise PatternError(f"it has {character} in its midst")
        if character in "*+?{":
            raise PatternError(f"it has {character} with nothing to repeat")
        return _literal(character)

    def _group(self) -> Expression:
        if self._peek() == "?":
            self._at += 1
            if self._take() != ":":
                raise PatternError("it uses (?, of which only (?: is supported")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError(f"it nests more than {_MAX_DEPTH} groups")
        parts = list(self._alternatives(top=False))
        self._depth -= 1
        if self._take() != ")":
            raise PatternError("it has a ( without )")
        return _either(parts)

    def _escaped(self, name: str) -> str:
        if name in _CONTROLS and not (name == "0" and self._peek().isdigit()):
            return _CONTROLS[name]
        if name in "xu":
            n_digits = 2 if name == "x" else 4
            digits = self._pattern[self._at : self._at + n_digits]
            try:
                code = int(digits, 16) if len(digits) == n_digits and digits.isalnum() else -1
            except ValueError:
                code = -1
            if code < 0 or 0xD800 <= code < 0xE000:
                raise PatternError(f"it has a malformed escape \\{name}")
            self._at += n_digits
            return chr(code)
        if name.isascii() and name.isalnum():
            raise PatternError(f"it uses \\{name}, which is not supported")
        return name

    def _class(self) -> Ranges:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        inside = self._wide
        if negated:
            self._wide = not self._wide  # what the class may hold is what it may not match
        while self._peek() != "]":
            first = self._class_member(ranges)
            if first is None:
                continue
            last = first
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                other = self._class_member([])
                if other is None or other < first:
                    raise PatternError("it has a malformed range in a class")
                last = other
            ranges.append((first, last))
        self._at += 1
        self._wide = inside
        return complement(ranges) if negated else merged(ranges)

    def _class_member(self, ranges: list[tuple[int, int]]) -> int | None:
        """Read a character; a class within the class goes to `ranges`, and `None` is returned."""
        character = self._take()
        if character != "\\":
            return ord(character)
        name = self._take()
        if name.lower() in _CLASSES:
            ranges.extend(self._class_ranges(name))
            return None
        return 8 if name == "b" else ord(self._escaped(name))

    def _class_ranges(self, name: str) -> Ranges:
        # The complement of what may be in the class is what surely is not.
        classes = _WIDE_CLASSES if self._wide != name.isupper() else _CLASSES
        ranges = classes[name.lower()]
        return complement(ranges) if name.isupper() else ranges


def _literal(character: str) -> Expression:
    if 0xD800 <= ord(character) < 0xE000:
        raise PatternError("it has a lone surrogate")
    return Chars(((ord(character), ord(character)),))


def _either(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def _repeated(part: Expression, least: int, most: int | None) -> Expression:
    if most is not None and most < least:
        raise PatternError(f"it repeats at least {least} and at most {most} times")
    if max(least, most or 0) > _MAX_REPEAT:
        raise PatternError(f"it repeats {max(least, most or 0)} times, the limit is {_MAX_REPEAT}")
    shortest, longest = _lengths(part)
    if most == 0 or longest == 0:
        return _EMPTY
    if shortest == 0 and most != 1:
        raise PatternError("it repeats what may be empty")
    return Repeat(part, least, most)
