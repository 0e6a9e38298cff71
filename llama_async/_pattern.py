r"""Patterns and formats of JSON schemas -> the few constructs that the engine's grammar converter takes rightly.

The converter turns an unanchored pattern into any string, knows no `\d`, applies a quantifier behind an escape to the
whole literal before it, and lets `.` and `[^a]` run over the closing quote. So a pattern is parsed here and written
anew: anchored, every class a list of ranges, every quantified part a group, what JSON must escape escaped or left out.
What is written never accepts more strings than the pattern does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FORMATS", "Pattern", "PatternError", "translate"]

_MAX_REPEAT = 2000  # upstream's limit
_MAX_DEPTH = 32
_MAX_CHARS = 2000
_UNBOUNDED = 1 << 40

_Ranges = tuple[tuple[int, int], ...]

# Characters of a JSON string that need no escape; surrogates are no characters.
_PLAIN: _Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF))
_CLASSES: Mapping[str, _Ranges] = MappingProxyType(
    {
        "d": ((0x30, 0x39),),
        "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
        "s": ((0x20, 0x20),),
    }
)
_CONTROLS: Mapping[str, str] = MappingProxyType({"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"})
_JSON_ESCAPES: Mapping[str, str] = MappingProxyType(
    {'"': '"', "\\": "\\", "\n": "n", "\r": "r", "\t": "t", "\f": "f", "\b": "b"}
)
_SPECIAL = frozenset("^$.[]()|{}*+?")

_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]\d|\d)"
_DATE = (
    r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d\d\d)-"
    r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
)
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+\-]([01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[a-zA-Z0-9]{1,24}(-[a-zA-Z0-9]{1,24})?"

# Formats that can be enforced: what each expression accepts is valid by the format's own specification (the 29th of
# February, for one, is left out).
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "date": f"^{_DATE}$",
        "time": f"^{_TIME}$",
        "date-time": f"^{_DATE}T{_TIME}$",
        "duration": r"^P(\d{1,4}W|\d{1,4}D(T\d{1,4}[HMS])?|\d{1,4}[MY]|T\d{1,4}[HMS])$",
        "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "email": rf"^[a-zA-Z0-9]{{1,32}}([._+\-][a-zA-Z0-9]{{1,16}}){{0,2}}@({_LABEL}\.){{1,3}}[a-zA-Z]{{2,12}}$",
        "hostname": rf"^({_LABEL}\.){{0,4}}[a-zA-Z]{{2,12}}$",
        "ipv4": rf"^({_OCTET}\.){{3}}{_OCTET}$",
        "ipv6": r"^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$",
        "uri": rf"^(https?|ftp)://({_LABEL}\.){{0,4}}[a-zA-Z]{{2,12}}(:[1-9]\d{{0,3}})?(/[a-zA-Z0-9._~\-]{{0,64}}){{0,16}}"
        r"(\?[a-zA-Z0-9._~=&\-]{0,256})?(#[a-zA-Z0-9._~\-]{0,64})?$",
    }
)


class PatternError(ValueError):
    """The pattern is no regular expression, or uses what cannot be enforced."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern in the converter's words.

    Attributes:
        text: Anchored on both sides; `^$` matches the empty string alone.
        min_length: Characters at least.
        max_length: Characters at most, `None` for no limit.
    """

    text: str
    min_length: int
    max_length: int | None


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    least: int
    most: int


_EMPTY = _Part("", 0, 0)


def translate(pattern: str) -> Pattern:
    """Write a pattern of a JSON schema anew.

    Args:
        pattern: ECMA 262's syntax, without lookaround, references and word boundaries.

    Raises:
        PatternError: It uses those, is malformed, or too long.
    """
    if len(pattern) > _MAX_CHARS:
        raise PatternError(f"it has {len(pattern)} characters, the limit is {_MAX_CHARS}")
    part = _Parser(pattern).whole()
    return Pattern(f"^{part.text}$", part.least, None if part.most >= _UNBOUNDED else part.most)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> _Part:
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

    def _alternatives(self, *, top: bool) -> Iterator[_Part]:
        while True:
            yield self._sequence(top=top)
            if self._peek() != "|":
                return
            self._at += 1

    def _sequence(self, *, top: bool) -> _Part:
        starts = top and self._peek() == "^"
        self._at += starts
        parts: list[_Part] = []
        ends = False
        while (character := self._peek()) and character not in "|)":
            if character == "$" and top and self._pattern[self._at + 1 : self._at + 2] in ("", "|"):
                self._at += 1
                ends = True
                break
            parts.append(self._quantified())
        part = _joined(parts)
        if top:
            anything = _repeated(_from_ranges(_PLAIN), 0, None)
            part = _joined([_EMPTY if starts else anything, part, _EMPTY if ends else anything])
        return part

    def _quantified(self) -> _Part:
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

    def _atom(self) -> _Part:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return _from_ranges(self._class())
        if character == ".":
            return _from_ranges(_PLAIN)
        if character == "\\":
            name = self._take()
            if name.lower() in _CLASSES:
                return _from_ranges(_class_ranges(name))
            return _literal(self._escaped(name))
        if character in "^$":
            raise PatternError(f"it has {character} in its midst")
        if character in "*+?{":
            raise PatternError(f"it has {character} with nothing to repeat")
        return _literal(character)

    def _group(self) -> _Part:
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
        if name in _CONTROLS:
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

    def _class(self) -> _Ranges:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
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
        return _complement(ranges) if negated else tuple(ranges)

    def _class_member(self, ranges: list[tuple[int, int]]) -> int | None:
        """Read a character; a class within the class goes to `ranges`, and `None` is returned."""
        character = self._take()
        if character != "\\":
            return ord(character)
        name = self._take()
        if name.lower() in _CLASSES:
            ranges.extend(_class_ranges(name))
            return None
        return 8 if name == "b" else ord(self._escaped(name))


def _class_ranges(name: str) -> _Ranges:
    if name == "S":
        # More than the space is white space; all of it is left out.
        return ((0x21, 0x7E),)
    ranges = _CLASSES[name.lower()]
    return _complement(ranges) if name.isupper() else ranges


def _complement(ranges: list[tuple[int, int]] | _Ranges) -> _Ranges:
    result: list[tuple[int, int]] = []
    start = 0
    for first, last in sorted(ranges):
        if first > start:
            result.append((start, first - 1))
        start = max(start, last + 1)
    if start <= 0x10FFFF:
        result.append((start, 0x10FFFF))
    return tuple(result)


def _from_ranges(ranges: _Ranges) -> _Part:
    plain = sorted(
        (max(first, low), min(last, high))
        for first, last in ranges
        for low, high in _PLAIN
        if max(first, low) <= min(last, high)
    )
    if not plain:
        raise PatternError("it has a class of no character that a JSON string can hold unescaped")
    text = "".join(_escape(first) if first == last else f"{_escape(first)}-{_escape(last)}" for first, last in plain)
    return _Part(f"[{text}]", 1, 1)


def _escape(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _literal(character: str) -> _Part:
    if character in _JSON_ESCAPES:
        # A backslash, then the letter, each as the converter wants it.
        letter = _JSON_ESCAPES[character]
        return _Part("(\\\\" + ("\\\\" if letter == "\\" else letter) + ")", 1, 1)
    if ord(character) < 0x20 or 0xD800 <= ord(character) < 0xE000 or character == "\x7f":
        raise PatternError("it has a control character")
    return _Part(f"(\\{character})" if character in _SPECIAL else character, 1, 1)


def _joined(parts: list[_Part]) -> _Part:
    return _Part(
        "".join(part.text for part in parts),
        min(sum(part.least for part in parts), _UNBOUNDED),
        min(sum(part.most for part in parts), _UNBOUNDED),
    )


def _either(parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    return _Part(
        "(" + "|".join(part.text for part in parts) + ")",
        min(part.least for part in parts),
        max(part.most for part in parts),
    )


def _repeated(part: _Part, least: int, most: int | None) -> _Part:
    if most is not None and most < least:
        raise PatternError(f"it repeats at least {least} and at most {most} times")
    if max(least, most or 0) > _MAX_REPEAT:
        raise PatternError(f"it repeats {max(least, most or 0)} times, the limit is {_MAX_REPEAT}")
    if most == 0 or not part.text:
        return _EMPTY
    if part.least == 0 and most != 1:
        raise PatternError("it repeats what may be empty")
    bounds = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
    if bounds is None:
        bounds = f"{{{least},{'' if most is None else most}}}"
    return _Part(
        f"({part.text}){bounds}",
        min(part.least * least, _UNBOUNDED),
        _UNBOUNDED if most is None else min(part.most * most, _UNBOUNDED),
    )
