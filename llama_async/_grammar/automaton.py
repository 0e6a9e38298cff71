"""Sets of strings as finite automata: what several patterns, lengths and lists say of one string together.

Built from expressions over characters (`pattern`), determined, intersected, and read as the rules of a grammar. Pure,
and bounded in size: `AutomatonError` instead of work without end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .characters import Ranges, merged
from .pace import let_others_run
from .pattern import Cat, Chars, Either, Expression

__all__ = ["Automaton", "AutomatonError", "counting", "determined", "product", "words"]

_MAX_STATES = 2000
_MAX_LINKS = 200_000


class AutomatonError(ValueError):
    """The automaton would have too many states."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """A deterministic automaton.

    Attributes:
        steps: For each state, the next state by ranges of characters; what is in none of them is refused.
        accepting: For each state, whether a string may end there.
    """

    steps: tuple[tuple[tuple[Ranges, int], ...], ...]
    accepting: tuple[bool, ...]

    def accepts(self, text: str) -> bool:
        """Return whether a string is in the set."""
        state: int | None = 0
        for character in text:
            state = self.next(state, ord(character))
            if state is None:
                return False
        return state is not None and self.accepting[state]

    def next(self, state: int | None, code: int) -> int | None:
        """Return the state behind a character, `None` where no string goes on with it."""
        if state is None:
            return None
        for ranges, target in self.steps[state]:
            if any(first <= code <= last for first, last in ranges):
                return target
        return None

    def trimmed(self) -> Automaton | None:
        """Return the same set without states from which nothing is accepted; `None` for the empty set."""
        sources: list[list[int]] = [[] for _ in self.steps]
        for state, steps in enumerate(self.steps):
            for _, target in steps:
                sources[target].append(state)
        useful = {state for state, accepts in enumerate(self.accepting) if accepts}
        todo = list(useful)
        while todo:
            for source in sources[todo.pop()]:
                if source not in useful:
                    useful.add(source)
                    todo.append(source)
        if 0 not in useful:
            return None
        kept = [state for state in range(len(self.steps)) if state in useful]
        number = {state: index for index, state in enumerate(kept)}
        return Automaton(
            tuple(
                tuple((ranges, number[target]) for ranges, target in self.steps[state] if target in useful)
                for state in kept
            ),
            tuple(self.accepting[state] for state in kept),
        )


class _Nondeterministic:
    """States with steps that take a character and steps that take none."""

    def __init__(self, expression: Expression) -> None:
        self.steps: list[list[tuple[Ranges, int]]] = []
        self.free: list[list[int]] = []
        self._n_links = 0
        self.start = self._state()
        self.end = self._add(expression, self.start)

    def _state(self) -> int:
        if len(self.steps) > 4 * _MAX_STATES:
            raise AutomatonError
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def _add(self, expression: Expression, start: int) -> int:
        """Add what leads from a state through the expression; returns where it ends."""
        if isinstance(expression, Chars):
            end = self._state()
            self.steps[start].append((expression.ranges, end))
            return end
        if isinstance(expression, Cat):
            for part in expression.parts:
                start = self._add(part, start)
            return start
        end = self._state()
        if isinstance(expression, Either):
            for part in expression.parts:
                self.free[self._add(part, start)].append(end)
            return end
        for _ in range(expression.least):
            start = self._add(expression.part, start)
        if expression.most is None:
            loop = self._state()
            self.free[start].append(loop)
            self.free[self._add(expression.part, loop)].append(loop)
            self.free[loop].append(end)
            return end
        for _ in range(expression.most - expression.least):
            self.free[start].append(end)
            start = self._add(expression.part, start)
        self.free[start].append(end)
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        found = set(states)
        todo = list(found)
        while todo:
            for target in self.free[todo.pop()]:
                if target not in found:
                    found.add(target)
                    todo.append(target)
        return frozenset(found)


def determined(expression: Expression) -> Automaton:
    """Return the automaton of an expression's strings.

    Raises:
        AutomatonError: It would be too large.
    """
    machine = _Nondeterministic(expression)
    n_links = 0

    def step(states: frozenset[int]) -> list[tuple[Ranges, frozenset[int]]]:
        nonlocal n_links
        links = [link for state in states for link in machine.steps[state]]
        n_links += len(links)
        if n_links > _MAX_LINKS:
            raise AutomatonError
        return [
            (ranges, machine.closure(links[index][1] for index in which))
            for ranges, which in _split([ranges for ranges, _ in links])
        ]

    return _explored(machine.closure([machine.start]), step, lambda states: machine.end in states)


def product(
    parts: Sequence[tuple[Automaton, bool]],
) -> Automaton:
    """Return the automaton of the strings that all accept, or, where the flag is not set, do not accept.

    Args:
        parts: At least one of them with the flag.

    Raises:
        AutomatonError: It would be too large.
    """
    n_links = 0

    def step(states: tuple[int | None, ...]) -> list[tuple[Ranges, tuple[int | None, ...]]]:
        nonlocal n_links
        links: list[tuple[Ranges, int, int]] = []
        for index, (state, (automaton, _)) in enumerate(zip(states, parts, strict=True)):
            if state is not None:
                links += [(ranges, index, target) for ranges, target in automaton.steps[state]]
        n_links += len(links)
        if n_links > _MAX_LINKS:
            raise AutomatonError
        result = []
        for ranges, which in _split([ranges for ranges, _, _ in links]):
            targets: list[int | None] = [None] * len(parts)
            for link in which:
                targets[links[link][1]] = links[link][2]
            if all(target is not None or not wanted for target, (_, wanted) in zip(targets, parts, strict=True)):
                result.append((ranges, tuple(targets)))
        return result

    def accepts(states: tuple[int | None, ...]) -> bool:
        return all(
            (state is not None and automaton.accepting[state]) == wanted
            for state, (automaton, wanted) in zip(states, parts, strict=True)
        )

    return _explored((0,) * len(parts), step, accepts)


def counting(ranges: Ranges, least: int, most: int | None) -> Automaton:
    """Return the automaton of the strings of so many of these characters."""
    n = least if most is None else most
    if n > _MAX_STATES:
        raise AutomatonError
    steps: list[tuple[tuple[Ranges, int], ...]] = [((ranges, state + 1),) for state in range(n)]
    steps.append(((ranges, n),) if most is None else ())
    return Automaton(tuple(steps), tuple(state >= least for state in range(n + 1)))


def words(texts: Iterable[str]) -> Automaton:
    """Return the automaton of these strings."""
    steps: list[dict[int, int]] = [{}]
    accepting = [False]
    for text in texts:
        state = 0
        for character in text:
            target = steps[state].get(ord(character))
            if target is None:
                if len(steps) > 4 * _MAX_STATES:
                    raise AutomatonError
                target = steps[state][ord(character)] = len(steps)
                steps.append({})
                accepting.append(False)
            state = target
        accepting[state] = True
    return Automaton(
        tuple(tuple((((code, code),), target) for code, target in links.items()) for links in steps), tuple(accepting)
    )


def _explored(
    start: Hashable,
    step: Callable[[Any], Iterable[tuple[Ranges, Hashable]]],
    accepts: Callable[[Any], bool],
) -> Automaton:
    numbers: dict[Hashable, int] = {start: 0}
    todo = deque([start])
    steps: list[tuple[tuple[Ranges, int], ...]] = []
    accepting: list[bool] = []
    while todo:
        let_others_run()
        state = todo.popleft()
        by_target: dict[int, list[tuple[int, int]]] = {}
        for ranges, target in step(state):
            if target not in numbers:
                if len(numbers) > _MAX_STATES:
                    raise AutomatonError
                numbers[target] = len(numbers)
                todo.append(target)
            by_target.setdefault(numbers[target], []).extend(ranges)
        steps.append(tuple((merged(ranges), target) for target, ranges in by_target.items()))
        accepting.append(accepts(state))
    return Automaton(tuple(steps), tuple(accepting))


def _split(sets: list[Ranges]) -> list[tuple[Ranges, tuple[int, ...]]]:
    """Cut overlapping sets of characters into disjoint ones, each with the indices of the sets that it is in."""
    edges: dict[int, tuple[list[int], list[int]]] = {}
    for index, ranges in enumerate(sets):
        for first, last in ranges:
            edges.setdefault(first, ([], []))[0].append(index)
            edges.setdefault(last + 1, ([], []))[1].append(index)
    pieces: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    inside: dict[int, int] = {}
    before = 0
    for at in sorted(edges):
        if inside and before < at:
            pieces.setdefault(tuple(sorted(inside)), []).append((before, at - 1))
        begin, end = edges[at]
        for index in end:
            inside[index] -= 1
            if not inside[index]:
                del inside[index]
        for index in begin:
            inside[index] = inside.get(index, 0) + 1
        before = at
    return [(tuple(ranges), which) for which, ranges in pieces.items()]
