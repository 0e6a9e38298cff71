"""Strings and any values of JSON as rules of a grammar, and the white space between.

No rule repeats white space without end: between the parts of a value stands at most one line, within a string so many
blanks in a row. Values that no schema describes nest to a fixed depth. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import gbnf
from .automaton import Automaton, product
from .characters import BLANKS, PLAIN, WRITABLE, Ranges, common, complement, without
from .gbnf import EMPTY_TEXT, Expr, Ref, Rules, literal
from .pattern import Cat, Chars, Either, Expression, Repeat

__all__ = ["MAX_BLANKS", "NUMBER", "SPACE", "STRING", "VALUE", "add_common_rules", "between", "expression", "strings"]

SPACE = Ref("space")
VALUE = Ref("value")
STRING = Ref("string")
NUMBER = Ref("number")

MAX_BLANKS = 40  # in a row, within a string
_MAX_VALUE_DEPTH = 16
_MAX_REPEATED = 200  # times that a part of a pattern comes which may be blanks alone

_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r"}
_HEX = "[0-9a-fA-F]"
# Four digits behind \u: no half of a surrogate pair, no control character, no blank.
_CODE = (
    f'("00" [3-79b-fB-F] {_HEX} | "0" [1-9a-fA-F] {_HEX}{{2}} | "1" [0-57-9a-fA-F] {_HEX}{{2}}'
    f' | "20" ([13-47-9a-fA-F] {_HEX} | "2" [0-7]) | "2" [1-9a-fA-F] {_HEX}{{2}} | "3" [1-9a-fA-F] {_HEX}{{2}}'
    f" | [4-9a-cA-CeE] {_HEX}{{3}} | [dD] [0-7] {_HEX}{{2}} | [fF] [0-9a-dA-D] {_HEX}{{2}})"
)


def add_common_rules(rules: Rules) -> None:
    """Add what any schema may need: those that it does not need are not written."""
    rules.by_name["space"] = ' | " " | "\\n"{1,2} [ \\t]{0,20}'
    rules.by_name["null"] = '"null"'
    rules.by_name["boolean"] = '("true" | "false")'
    rules.by_name["number"] = '"-"? ([0] | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?'
    solid = gbnf.characters(common(PLAIN, complement(BLANKS)))
    rules.by_name["solid"] = f'{solid} | "\\\\" (["\\\\/b] | "u" {_CODE})'
    rules.by_name["blank"] = f'{gbnf.characters(common(PLAIN, BLANKS))} | "\\\\" [nrtf]'
    rules.by_name["char"] = gbnf.Either((Ref("solid"), Ref("blank")))
    rules.by_name["string"] = gbnf.Then(('"\\""', Ref("text")))
    # The rest of a string, its closing quote included, behind so many blanks.
    for n in range(MAX_BLANKS + 1):
        parts: list[Expr] = ['"\\""', gbnf.Then((Ref("solid"), Ref("text")))]
        if n < MAX_BLANKS:
            parts.append(gbnf.Then((Ref("blank"), Ref(f"text{n + 1}"))))
        rules.by_name[f"text{n or ''}"] = gbnf.Either(tuple(parts))
    for depth in range(_MAX_VALUE_DEPTH + 1):
        _add_value(rules, depth)


def _add_value(rules: Rules, depth: int) -> None:
    name, inner = f"value{depth or ''}", Ref(f"value{depth + 1}")
    plain: tuple[Expr, ...] = (STRING, NUMBER, Ref("boolean"), Ref("null"))
    if depth == _MAX_VALUE_DEPTH:
        rules.by_name[name] = gbnf.Either(plain)
        return
    array, mapping = f"array{depth or ''}", f"object{depth or ''}"
    rules.by_name[name] = gbnf.Either((Ref(mapping), Ref(array), *plain))
    rules.by_name[array] = gbnf.Then(('"["', SPACE, between(inner, 0, None), SPACE, '"]"'))
    member = gbnf.Then((STRING, '":"', SPACE, inner))
    rules.by_name[mapping] = gbnf.Then(('"{"', SPACE, between(member, 0, None), SPACE, '"}"'))


def between(item: Expr, least: int, most: int | None) -> Expr:
    """Return so many of the same with commas between."""
    if most == 0:
        return EMPTY_TEXT
    more = gbnf.Repeat(gbnf.Then(('","', SPACE, item)), max(least - 1, 0), None if most is None else most - 1)
    some = gbnf.Then((item, more))
    return some if least else gbnf.Repeat(some, 0, 1)


def _characters(ranges: Ranges) -> Expr:
    """Return one of these characters as a string of JSON has it."""
    parts: list[Expr] = []
    plain = common(ranges, PLAIN)
    if len(plain) == 1 and plain[0][0] == plain[0][1]:
        parts.append(literal(chr(plain[0][0])))
    elif plain:
        parts.append(gbnf.characters(plain))
    letters = [letter for code, letter in _ESCAPES.items() if any(a <= code <= b for a, b in ranges)]
    if letters:
        parts.append(f'"\\\\" [{"".join(letters)}]')
    return gbnf.Either(tuple(parts))


def expression(pattern: Expression) -> Expr:
    """Return the strings of a pattern, with their quotes."""
    return gbnf.Then(('"\\""', _expression(pattern), '"\\""'))


def _expression(pattern: Expression) -> Expr:
    if isinstance(pattern, Chars):
        return _characters(pattern.ranges)
    if isinstance(pattern, Cat):
        return gbnf.Then(tuple(map(_expression, pattern.parts)))
    if isinstance(pattern, Either):
        return gbnf.Either(tuple(map(_expression, pattern.parts)))
    part, least, most = pattern.part, pattern.least, pattern.most
    if most is not None or not _may_be_blank(part):
        return gbnf.Repeat(_expression(part), least, most)
    if not isinstance(part, Chars):
        return gbnf.Repeat(_expression(part), least, least + _MAX_REPEATED)
    solid, blank = without(part.ranges, BLANKS), common(part.ranges, BLANKS)
    blanks = gbnf.Repeat(_characters(blank), 0, MAX_BLANKS)
    if not common(solid, WRITABLE):
        return gbnf.Repeat(_characters(blank), least, least + MAX_BLANKS)
    rest = gbnf.Then((gbnf.Repeat(gbnf.Then((blanks, _characters(solid))), 0, None), blanks))
    return gbnf.Then((gbnf.Repeat(_characters(part.ranges), least, least), rest))


def _may_be_blank(pattern: Expression) -> bool:
    """Whether blanks alone, at least one, match."""
    if isinstance(pattern, Chars):
        return bool(common(pattern.ranges, BLANKS))
    if isinstance(pattern, Repeat):
        return pattern.most != 0 and _may_be_blank(pattern.part)
    if isinstance(pattern, Either):
        return any(map(_may_be_blank, pattern.parts))
    return all(_may_be_blank(part) or _may_be_empty(part) for part in pattern.parts) and bool(pattern.parts)


def _may_be_empty(pattern: Expression) -> bool:
    if isinstance(pattern, Chars):
        return False
    if isinstance(pattern, Repeat):
        return pattern.least == 0 or _may_be_empty(pattern.part)
    check = any if isinstance(pattern, Either) else all
    return check(map(_may_be_empty, pattern.parts))


def strings(rules: Rules, name: str, parts: Sequence[tuple[Automaton, bool]]) -> Expr | None:
    """Return the strings that some automata accept, or do not accept, with their quotes; `None` if there are none.

    Args:
        rules: Where rules are added.
        name: What their names begin with.
        parts: As for `product`; any string that can be written is meant besides.

    Raises:
        AutomatonError: It takes too many states.
    """
    everything = Automaton((((WRITABLE, 0),),), (True,))
    automaton = product([(everything, True), *parts]).trimmed()
    if automaton is None:
        return None
    free = {
        state
        for state, steps in enumerate(automaton.steps)
        if automaton.accepting[state] and steps == ((WRITABLE, state),)
    }
    if _repeats_blanks(automaton, free):
        runs = Automaton(
            tuple((*(((BLANKS, n + 1),) if n < _RUN else ()), (complement(BLANKS), 0)) for n in range(_RUN + 1)),
            (True,) * (_RUN + 1),
        )
        automaton = product([(automaton, True), (runs, True)]).trimmed()
        assert automaton is not None
        free = set()
    names = [Ref("text" if state in free else f"{name}-{state}") for state in range(len(automaton.steps))]
    for state, steps in enumerate(automaton.steps):
        if state not in free:
            ends: list[Expr] = ['"\\""'] if automaton.accepting[state] else []
            goes_on = [gbnf.Then((_characters(ranges), names[target])) for ranges, target in steps]
            rules.by_name[names[state].name] = gbnf.Either((*ends, *goes_on))
    return gbnf.Then(('"\\""', names[0]))


_RUN = 16


def _repeats_blanks(automaton: Automaton, free: set[int]) -> bool:
    """Whether blanks alone lead from a state to itself."""
    links = {
        state: [target for ranges, target in steps if target not in free and common(ranges, BLANKS)]
        for state, steps in enumerate(automaton.steps)
        if state not in free
    }
    waiting = dict.fromkeys(links, 0)
    for targets in links.values():
        for target in targets:
            waiting[target] += 1
    todo = [state for state, n in waiting.items() if n == 0]
    n_done = 0
    while todo:
        n_done += 1
        for target in links[todo.pop()]:
            waiting[target] -= 1
            if not waiting[target]:
                todo.append(target)
    return n_done < len(links)
