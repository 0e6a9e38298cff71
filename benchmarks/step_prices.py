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
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from harness.figures import describe, print_facts, usable_cores

from llama_async._default_model import default_model_path
from llama_async.lowlevel import ffi, lib

N_BATCH = 512
N_STEPS = 6  # of a turn


class Steps:
    """A context of some sequences, each at the same depth."""

    def __init__(self, path: Path, n_streams: int, depth: int, flash: int) -> None:
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = 2048 * n_streams
        params.n_seq_max = n_streams
        params.n_outputs_max = n_streams + 85  # as the engine's
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_threads = params.n_threads_batch = usable_cores()
        params.flash_attn_type = flash
        params.kv_unified, params.no_perf = False, True
        self._context = lib.llama_init_from_model(self._model, params)
        pool_params = ffi.new("struct ggml_threadpool_params *")
        lib.ggml_threadpool_params_init(pool_params, params.n_threads)
        self._pool = lib.ggml_threadpool_new(pool_params)
        lib.llama_attach_threadpool(self._context, self._pool, ffi.NULL)
        self._batch = lib.llama_batch_init(N_BATCH, 0, 1)
        self._depth = 0
        while self._depth < depth:
            n = min(depth - self._depth, N_BATCH // n_streams)
            self._decode([n] * n_streams, logits=False)
            self._depth += n

    def step(self, shape: tuple[int, ...]) -> float:
        """Return the seconds of a step of so many rows of each sequence."""
        seconds = self._decode(shape, logits=True)
        memory = lib.llama_get_memory(self._context)
        for sequence in range(len(shape)):
            lib.llama_memory_seq_rm(memory, sequence, self._depth, -1)
        return seconds

    def _decode(self, shape: Sequence[int], logits: bool) -> float:
        batch, row = self._batch, 0
        for sequence, n in enumerate(shape):
            for i in range(n):
                batch.token[row], batch.pos[row], batch.n_seq_id[row] = 1000 + 7 * row, self._depth + i, 1
                batch.seq_id[row][0], batch.logits[row] = sequence, logits
                row += 1
        batch.n_tokens = row
        started = time.perf_counter()
        if lib.llama_decode(self._context, batch) != 0:
            raise SystemExit("llama_decode failed")
        lib.llama_synchronize(self._context)
        return time.perf_counter() - started


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
    parser.add_argument("--flash", type=int, default=-1, help="1 on, 0 off, -1 as upstream chooses")
    parser.add_argument("--model", type=Path, default=None)
    arguments = parser.parse_args()
    model = arguments.model or default_model_path()
    print_facts(describe(model))
    steps = Steps(model, arguments.streams, arguments.depth, arguments.flash)
    first: dict[tuple[int, ...], list[float]] = defaultdict(list)
    later: dict[tuple[int, ...], list[float]] = defaultdict(list)
    steps.step((1,) * arguments.streams)
    for _ in range(arguments.rounds):
        for shape in shapes(arguments.streams):
            first[shape].append(steps.step(shape))
            later[shape] += [steps.step(shape) for _ in range(N_STEPS - 1)]
    plain = statistics.median(later[(1,) * arguments.streams])
    print(f"{'rows':16} {'ms':>8} {'lowest':>8} {'another':>8} {'plain=1':>8} {'all right':>10} {'break even':>10}")
    for shape in shapes(arguments.streams):
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
