"""Rules of a grammar, and how llama.cpp writes them (GBNF).

A rule that no finite text satisfies is left out, with every alternative that needs it. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .pace import let_others_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .characters import Ranges

__all__ = [
    "EMPTY_TEXT",
    "NOTHING",
    "Either",
    "Expr",
    "Ref",
    "Repeat",
    "Rules",
    "Then",
    "characters",
    "joined",
    "literal",
]


@dataclass(frozen=True, slots=True)
class Ref:
    """Another rule."""

    name: str


@dataclass(frozen=True, slots=True)
class Then:
    """One after the other."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these; of none of them nothing is accepted."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same, `least` to `most` times; `None`: without end."""

    part: Expr
    least: int
    most: int | None


# Text is a terminal as it stands in the grammar.
Expr = str | Ref | Then | Either | Repeat

EMPTY_TEXT = Then(())
NOTHING = Either(())


@dataclass(slots=True)
class Rules:
    """Rules by name."""

    by_name: dict[str, Expr] = field(default_factory=dict)

    def text(self, root: Expr) -> str | None:
        """Return the grammar whose texts are those of `root`; `None` if it has none."""
        lines = self.lines({"root": root})
        return joined(lines) if "root" in lines else None

    def lines(self, roots: Mapping[str, Expr]) -> dict[str, str]:
        """Return these rules and all that they need, as written, by name; those without finite texts are left out."""
        by_name = {**self.by_name, **roots}
        finite = _finite(by_name)
        lines: dict[str, str] = {}
        todo = [name for name in reversed(list(roots)) if name in finite]
        while todo:
            let_others_run()
            name = todo.pop()
            if name not in lines:
                written = _Written(finite)
                lines[name] = written.whole(by_name[name])
                todo += reversed(written.names)
        return lines


def joined(lines: Mapping[str, str]) -> str:
    """Return the text of rules that are written."""
    parts: list[str] = []
    for name, line in lines.items():
        let_others_run()
        parts.append(f"{name} ::= {line}\n")
    return "".join(parts)


def _finite(by_name: dict[str, Expr]) -> set[str]:
    """Return the rules that have finite texts."""
    finite: set[str] = set()
    users: dict[str, list[str]] = {}
    for name, expr in by_name.items():
        let_others_run()
        for used in _names(expr):
            users.setdefault(used, []).append(name)
    todo = list(by_name)
    while todo:
        let_others_run()
        name = todo.pop()
        if name not in finite and _is_finite(by_name[name], finite):
            finite.add(name)
            todo += users.get(name, ())
    return finite


def _names(expr: Expr) -> set[str]:
    names: set[str] = set()
    todo: list[Expr] = [expr]
    while todo:
        part = todo.pop()
        if isinstance(part, Ref):
            names.add(part.name)
        elif isinstance(part, Repeat):
            todo.append(part.part)
        elif not isinstance(part, str):
            todo += part.parts
    return names


def _is_finite(expr: Expr, finite: set[str]) -> bool:
    if isinstance(expr, str):
        return True
    if isinstance(expr, Ref):
        return expr.name in finite
    if isinstance(expr, Repeat):
        return expr.least == 0 or _is_finite(expr.part, finite)
    check = all if isinstance(expr, Then) else any
    return check(_is_finite(part, finite) for part in expr.parts)


class _Written:
    """One rule's text, and the rules it names."""

    def __init__(self, finite: set[str]) -> None:
        self._finite = finite
        self.names: list[str] = []

    def whole(self, expr: Expr) -> str:
        return self._either(expr) if isinstance(expr, Either) else self._sequence(expr)

    def _either(self, expr: Either) -> str:
        parts = [part for part in expr.parts if _is_finite(part, self._finite)]
        texts = dict.fromkeys(self.whole(part) for part in parts)
        return " | ".join(text or '""' for text in texts)

    def _sequence(self, expr: Expr) -> str:
        let_others_run()
        if isinstance(expr, Then):
            return " ".join(filter(None, map(self._atom, expr.parts)))
        return self._atom(expr)

    def _atom(self, expr: Expr) -> str:
        if isinstance(expr, str):
            return expr
        if isinstance(expr, Ref):
            self.names.append(expr.name)
            return expr.name
        if isinstance(expr, Then):
            return self._sequence(expr)
        if isinstance(expr, Either):
            text = self._either(expr)
            return f"({text})" if " | " in text else text
        return self._repeat(expr)

    def _repeat(self, expr: Repeat) -> str:
        if expr.most == 0 or not _is_finite(expr.part, self._finite):
            return ""
        bounds = {(1, 1): "", (0, None): "*", (1, None): "+", (0, 1): "?"}.get((expr.least, expr.most))
        if bounds is None:
            bounds = f"{{{expr.least},{'' if expr.most is None else expr.most}}}"
        if isinstance(expr.part, (str, Ref)):
            text = self._atom(expr.part)
            return f"{text if _is_one(text) else f'({text})'}{bounds}" if text else ""
        text = self.whole(expr.part)
        return f"({text}){bounds}" if text else ""


def _is_one(text: str) -> bool:
    """Whether a terminal is one symbol: a name, one literal or one class."""
    return " " not in text and "|" not in text


_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(text: str) -> str:
    """Return the terminal of a text; empty for the empty text."""
    let_others_run()
    return f'"{_SPECIAL.sub(_escaped, text)}"' if text else ""


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return _ESCAPES.get(character) or f"\\x{ord(character):02X}"


def characters(ranges: Ranges) -> str:
    """Return the terminal of one of these characters."""
    return "[" + "".join(_code(a) if a == b else f"{_code(a)}-{_code(b)}" for a, b in ranges) + "]"


def _code(code: int) -> str:
    character = chr(code)
    if character.isascii() and character.isalnum():
        return character
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
