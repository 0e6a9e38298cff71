"""What a decode step costs by the rows in it: the ceiling of what guessing tokens can win.

    python benchmarks/step_prices.py [--depth 384] [--streams 4] [--rounds 6] [--flash 0|1]

A bare `llama_decode` loop that samples nothing. Each shape is a list of rows per sequence: `5` is one sequence with
four guessed tokens, `5 1 1 1` the same beside three that only decode. After each step the sequences are cut back to
their depth. Shapes take turns; of each turn's steps the first is told apart, since its graph is another than that of
the step before, and is built anew. Printed are medians, the tokens a second if every guess is right, and what share
of guesses must be right to win.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

from harness.bare import Bare, Variant
from harness.figures import describe, print_facts
from harness.workloads import Shape

from llama_async._default_model import default_model_path

N_STEPS = 6  # of a turn


def shapes(n_streams: int) -> list[tuple[int, ...]]:
    sizes = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 24, 32, 33)
    if n_streams == 1:
        return [(n,) for n in sizes]
    rest = (1,) * (n_streams - 1)
    alone = [(n, *rest) for n in (1, 2, 3, 5, 9)]
    together = [(n,) * n_streams for n in (2, 3, 4, 5, 9)]
    return [*alone, *together, (*(2, 3, 5, 9)[:n_streams], *rest[3:])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=384)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--flash", type=int, choices=(0, 1), default=1)
    parser.add_argument("--model", type=Path, default=None)
    arguments = parser.parse_args()
    model = arguments.model or default_model_path()
    print_facts(describe(model))
    n_streams = arguments.streams
    plain_shape = (1,) * n_streams
    first: dict[tuple[int, ...], list[float]] = defaultdict(list)
    later: dict[tuple[int, ...], list[float]] = defaultdict(list)
    n_outputs = max(map(sum, shapes(n_streams)))
    with Bare(str(model), Shape(n_streams), None, Variant(bool(arguments.flash), together=True), n_outputs) as bare:
        bare.prefill({sequence: range(1000, 1000 + arguments.depth) for sequence in range(n_streams)})
        bare.rows(plain_shape)
        for _ in range(arguments.rounds):
            for shape in shapes(n_streams):
                first[shape].append(bare.rows(shape))
                later[shape] += [bare.rows(shape) for _ in range(N_STEPS - 1)]
    plain = statistics.median(later[plain_shape])
    print(f"{'rows':16} {'ms':>8} {'lowest':>8} {'another':>8} {'plain=1':>8} {'all right':>10} {'break even':>10}")
    for shape in shapes(n_streams):
        seconds = statistics.median(later[shape])
        n_guessed = sum(shape) - len(shape)
        right = "" if n_guessed == 0 else f"{(seconds / plain - 1) * len(shape) / n_guessed:.2f}"
        ms = [1e3 * s for s in (seconds, min(later[shape]), statistics.median(first[shape]))]
        print(
            f"{' '.join(map(str, shape)):16} {ms[0]:8.2f} {ms[1]:8.2f} {ms[2]:8.2f} {seconds / plain:8.2f}"
            f" {sum(shape) / seconds:10.1f} {right:>10}"
        )


if __name__ == "__main__":
    main()
