"""What stands between the brackets of an object or an array -> rules: members in order, some left out, so many in all.

The rules are states: how far the listed members are, and how many came. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .gbnf import NOTHING, Either, Expr, Ref, Repeat, Rules, Then
from .pace import let_others_run
from .text import SPACE

__all__ = ["Between", "Hits", "Limits", "Member", "MembersError", "containing"]

_MAX_STATES = 20_000
_MAX_HIT_STATES = 1000
_MAX_OPTIONAL = 500

_COMMA: tuple[Expr, ...] = ('","', SPACE)


class MembersError(ValueError):
    """It would take too many rules."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many at least and at most; `None`: no limit."""

    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One that may come.

    Attributes:
        text: What it is.
        is_required: Whether it must come.
    """

    text: Expr
    is_required: bool


@dataclass(slots=True)
class Between:
    """Listed members in their order, any number of free ones behind them, and what ends it.

    Attributes:
        rules: Where rules are added.
        name: What their names begin with.
        members: Those that are listed.
        free: One that is not; `None`: there are none.
        limits: How many in all.
        close: What ends it.
    """

    rules: Rules
    name: str
    members: list[Member]
    free: Expr | None
    limits: Limits
    close: str
    _needs: int = 0
    _most: int | None = None
    _n_counted: int = 0
    _todo: list[tuple[str, int, int, bool]] = field(default_factory=list)

    def expr(self) -> Expr:
        """Return the expression.

        Raises:
            MembersError: It would take too many rules, or a least number cannot be told.
        """
        n_required = sum(member.is_required for member in self.members)
        if len(self.members) - n_required > _MAX_OPTIONAL:
            raise MembersError(f"it has more than {_MAX_OPTIONAL} properties that are not required")
        self._needs = self.limits.least if self.limits.least > n_required else 0
        if self.free is not None and self._needs > len(self.members) + 1:
            raise MembersError("minProperties beyond the listed properties and one is not supported")
        self._most = self.limits.most
        if self._most is not None and self._most >= len(self.members) and self.free is None:
            self._most = None
        self._n_counted = max(self._needs, self._most or 0)
        if (self._n_counted + 1) * (len(self.members) + 1) > _MAX_STATES:
            raise MembersError("a limit on the number of members takes too many rules here")
        start = self._state(0, 0, False)
        while self._todo:
            let_others_run()
            rule, index, n, some = self._todo.pop()
            taken: list[Expr] = []
            if self._most is None or n < self._most:
                after = self._state(index + 1, self._one_more(n), True)
                taken.append(Then((*(_COMMA if some else ()), self.members[index].text, after)))
            self.rules.by_name[rule] = Either((*taken, self._state(index + 1, n, some)))
        return start

    def _one_more(self, n: int) -> int:
        return min(n + 1, self._n_counted)

    def _state(self, index: int, n: int, some: bool) -> Expr:
        """Return what follows `index` members, of which `n` came (as far as that counts), any or none."""
        parts: list[Expr] = []
        while index < len(self.members) and self.members[index].is_required:
            if self._most is not None and n >= self._most:
                return NOTHING
            parts += [*(_COMMA if some else ()), self.members[index].text]
            index, n, some = index + 1, self._one_more(n), True
        if index == len(self.members):
            return Then((*parts, self._tail(n, some)))
        rule = f"{self.name}-m{index}-{n}{'-s' if some else ''}"
        if rule not in self.rules.by_name:
            self.rules.by_name[rule] = NOTHING
            self._todo.append((rule, index, n, some))
        return Then((*parts, Ref(rule)))

    def _tail(self, n: int, some: bool) -> Expr:
        end = Then((SPACE, self.close))
        parts: list[Expr] = [end] if n >= self._needs else []
        # A name may come twice and then counts once: beyond the first, free members do not help to a least number.
        if self.free is not None and (self._most is None or n < self._most) and n + 1 >= self._needs:
            more = Repeat(Then((*_COMMA, self.free)), 0, None if self._most is None else self._most - n - 1)
            parts.append(Then((*(_COMMA if some else ()), self.free, more, end)))
        return Either(tuple(parts))


@dataclass(frozen=True, slots=True)
class Hits:
    """The items of an array of which so many satisfy something.

    Attributes:
        limits: How many do.
        hit: An item at a place that does.
        miss: One that does not or, without an upper limit, any.
        n_first: How many places have items of their own.
    """

    limits: Limits
    hit: Callable[[int], Expr]
    miss: Callable[[int], Expr]
    n_first: int


def containing(rules: Rules, name: str, hits: Hits, limits: Limits) -> Expr:
    """Return what stands behind the opening bracket of such an array.

    Raises:
        MembersError: It would take too many rules.
    """
    most = limits.most
    n_cap = max(hits.n_first, limits.least, most or 0)
    hits_cap = hits.limits.least if hits.limits.most is None else hits.limits.most
    if (n_cap + 1) * (hits_cap + 1) > _MAX_HIT_STATES:
        raise MembersError("contains with these limits takes too many rules")
    todo: list[tuple[str, int, int]] = []

    def state(n: int, n_hits: int) -> Ref:
        rule = f"{name}-{n}-{n_hits}"
        if rule not in rules.by_name:
            rules.by_name[rule] = NOTHING
            todo.append((rule, n, n_hits))
        return Ref(rule)

    start = state(0, 0)
    while todo:
        rule, n, n_hits = todo.pop()
        parts: list[Expr] = [Then((SPACE, '"]"'))] if n >= limits.least and n_hits >= hits.limits.least else []
        comma = _COMMA if n else ()
        if most is None or n < most:
            # Without an upper limit all places beyond the last that matters are alike; none is like the first.
            after = n + 1 if most is not None else max(min(n + 1, n_cap), 1)
            parts.append(Then((*comma, hits.miss(n), state(after, n_hits))))
            if n_hits < hits_cap:
                parts.append(Then((*comma, hits.hit(n), state(after, n_hits + 1))))
        rules.by_name[rule] = Either(tuple(parts))
    return start
