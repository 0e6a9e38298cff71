"""What is demanded of the figures, as ratios within one round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .workloads import WORKLOADS, more_is_better

Figures = Mapping[str, float]
Round = Mapping[str, Figures]  # by engine
Ratio = Callable[[Round], float]

AMX_FLAGS = {"amx_int8", "amx_bf16"}


@dataclass(frozen=True)
class Bar:
    """One demand.

    Attributes:
        at_least: The ratio must not be below the limit; otherwise not above it.
        needs_amx: It is about builds that use AMX; elsewhere the ratio is shown and not judged.
    """

    workload: str
    text: str
    ratio: Ratio
    limit: float
    at_least: bool
    needs_amx: bool = False


@dataclass(frozen=True)
class Verdict:
    """A bar, the ratio in each round, and whether the median clears it; `None`: not judged here."""

    bar: Bar
    ratios: list[float]
    passed: bool | None

    @property
    def word(self) -> str:
        return {True: "pass", False: "FAIL", None: "needs AMX"}[self.passed]

    @property
    def demand(self) -> str:
        return f"{'>=' if self.bar.at_least else '<='} {self.bar.limit:g}"


def of(other: str, figure: str, own: str = "ours", own_figure: str | None = None) -> Ratio:
    """Return ours divided by the other's."""
    return lambda round_: round_[own][own_figure or figure] / round_[other][figure]


def faster_than(other: str, figure: str) -> Ratio:
    """Return how many times as fast as the other ours is."""
    if more_is_better(figure):
        return of(other, figure)
    return lambda round_: round_[other][figure] / round_["ours"][figure]


def _multiple(workload: str, limit: float) -> Bar:
    ratio = faster_than("xllamacpp", WORKLOADS[workload].headline)
    return Bar(workload, "times as fast as xllamacpp", ratio, limit, at_least=True, needs_amx=True)


BARS = [
    Bar("single", "decode, of the bare loop", of("bare", "decode tok/s"), 0.93, at_least=True),
    _multiple("single", 2),
    Bar("many16", "decode, of the bare loop", of("bare", "decode tok/s"), 0.93, at_least=True),
    _multiple("many16", 2.3),
    Bar(
        "prefix16", "last first token, to bare prefill of prefix and tails", of("bare", "last first token s"), 1.25,
        at_least=False,
    ),
    _multiple("prefix16", 15),
    Bar("turns", "first token, to bare prefill of what is new", of("bare", "first token ms"), 1.2, at_least=False),
    Bar(
        "hol", "gap p99, to p50 without the long prompt",
        of("ours", "gap p50 without it ms", own_figure="gap p99 ms"), 3,
        at_least=False,
    ),
    Bar(
        "hol", "the long prompt's first token, to alone",
        of("ours", "its first token alone s", own_figure="its first token s"), 2.5, at_least=False,
    ),
    _multiple("short64", 3.5),
    Bar(
        "memory", "MB beyond a bare context", lambda round_: round_["ours"]["MB"] - round_["bare"]["MB"], 80,
        at_least=False,
    ),
]  # fmt: skip


def best_peer(workload: str, rounds: Sequence[Round], peers: Sequence[str]) -> Bar | None:
    """Return the bar of the fastest peer, by the median; `None` without one."""
    figure = WORKLOADS[workload].headline
    medians = {
        peer: statistics.median(seen)
        for peer in peers
        if (seen := [round_[peer][figure] for round_ in rounds if figure in round_.get(peer, {})])
    }
    if not medians:
        return None
    best = (max if more_is_better(figure) else min)(medians, key=lambda peer: medians[peer])
    return Bar(workload, f"times as fast as the best peer, {best}", faster_than(best, figure), 1, at_least=True)


def judge(runs: Mapping[str, Sequence[Round]], peers: Sequence[str], has_amx: bool) -> list[Verdict]:
    """Return what became of each bar for which there are figures, in the order of the workloads."""
    verdicts = []
    for workload, rounds in runs.items():
        bars = [bar for bar in BARS if bar.workload == workload]
        if workload != "memory" and (peer_bar := best_peer(workload, rounds, peers)):
            bars.append(peer_bar)
        for bar in bars:
            ratios = [ratio for round_ in rounds if (ratio := _ratio(bar, round_)) is not None]
            if ratios:
                verdicts.append(Verdict(bar, ratios, _passed(bar, ratios, has_amx)))
    return verdicts


def _ratio(bar: Bar, round_: Round) -> float | None:
    try:
        return bar.ratio(round_)
    except KeyError:  # an engine that is missing, failed or does not have the figure
        return None


def _passed(bar: Bar, ratios: Sequence[float], has_amx: bool) -> bool | None:
    if bar.needs_amx and not has_amx:
        return None
    median = statistics.median(ratios)
    return median >= bar.limit if bar.at_least else median <= bar.limit
