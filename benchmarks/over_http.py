"""The server beside the client in process and beside llama.cpp's own: 16 streams, and one by one; read by bare sockets.

    python benchmarks/over_http.py [--quick] [--rounds 3] [--model FILE] [--threads N]
        [--llama-server PROGRAM] [--xllamacpp PYTHON]

Engines take turns: each run of 16 streams in processes of its own, and request by request where they are asked one by
one for the first token of a prompt that is in the cache. The bars: over HTTP at least 92% of the tokens per second in
process while 16 streams decode, more than llama-server's, and a first token at most 3 ms later than in process.

xllamacpp's listener is llama-server's in another program; PYTHON is that of an environment that has it
(`compare.py --install` makes one under build/peers). llama-server itself from the pinned source, which stands in the
cache (`~/.cache/llama-async/llama.cpp/...`):

    cmake -S SOURCE -B build/llama-server -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \\
        -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
    cmake --build build/llama-server --target llama-server      # build/llama-server/bin/llama-server
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import engine_ours, engine_ours_http
from harness.figures import describe, print_facts, spread
from harness.workloads import SIZES, Shape, first

WORKER = Path(__file__).resolve().parent / "harness" / "worker.py"
FIGURE = "decode tok/s"
LOOP = "loop us/token"
# The bars.
MIN_SHARE = 0.92
MAX_LATER_MS = 3

Figures = dict[str, float]


def run(engine: str, job: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "result.json"
        command = [sys.executable, str(WORKER), engine, str(target)]
        subprocess.run(command, input=json.dumps(job), text=True, check=True, timeout=900)
        return json.loads(target.read_text(encoding="utf-8"))


def take_turns(engines: list[str], job: dict[str, Any], rounds: int) -> dict[str, list[Figures]]:
    """Return the figures of each engine's runs, by round."""
    seen: dict[str, list[Figures]] = {engine: [] for engine in engines}
    for turn in range(rounds):
        for engine in engines if turn % 2 == 0 else reversed(engines):
            figures = run(engine, job)["figures"]
            seen[engine].append(figures)
            # As they come: who breaks it off has seen something.
            print(f"round {turn + 1}: {engine:14} {figures.get(FIGURE, 0):.1f} {FIGURE}", flush=True)
    return seen


def report_streams(seen: dict[str, list[Figures]]) -> None:
    # The shortest size has no time in which all decode.
    values = {engine: [found.get(FIGURE) or found["tok/s"] for found in runs] for engine, runs in seen.items()}
    for engine, of_engine in values.items():
        loop = [found[LOOP] for found in seen[engine] if LOOP in found]
        of_loop = f"; event loop {spread(loop)} us of processor a token" if loop else ""
        print(f"many16   {engine:12} {FIGURE}: {spread(of_engine)}{of_loop}")
    shares = {}
    for engine, others in values.items():
        if engine != "ours-http":
            shares[engine] = [over / other for over, other in zip(values["ours-http"], others, strict=True)]
            print(f"many16   ours-http / {engine}: {spread(shares[engine], 3)}")
    share = statistics.median(shares["ours"])
    print(f"bar: {'met' if share >= MIN_SHARE else 'MISSED'}, {share:.3f} of the figure in process ({MIN_SHARE})")


async def first_tokens(job: dict[str, Any]) -> dict[str, list[float]]:
    """Return the milliseconds of first tokens, in process and over HTTP. No peer is open, whose threads would spin."""
    options = (job["model"], Shape(), job["n_threads"], job["settings"])
    async with engine_ours.open_engine(*options) as ours, engine_ours_http.open_engine(*options) as ours_http:
        seconds = await first({"ours": ours, "ours-http": ours_http}, SIZES[job["size"]])
    return {engine: [1e3 * value for value in values] for engine, values in seconds.items()}


def report_first(seen: dict[str, list[float]]) -> None:
    for engine, values in seen.items():
        print(f"first    {engine:12} first token: {spread(values, 2)} ms")
    later = [over - own for over, own in zip(seen["ours-http"], seen["ours"], strict=True)]
    later_ms = statistics.median(later)
    print(f"first    ours-http - ours: {spread(later, 2)} ms")
    print(f"bar: {'met' if later_ms <= MAX_LATER_MS else 'MISSED'}, {later_ms:.2f} ms later ({MAX_LATER_MS})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--llama-server", type=Path, metavar="PROGRAM")
    parser.add_argument("--xllamacpp", type=Path, metavar="PYTHON")
    parser.add_argument("--only", choices=("many16", "first"))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="full")
    size.add_argument("--tiny", dest="size", action="store_const", const="tiny")
    options = parser.parse_args()
    if options.model is None:
        from llama_async._default_model import default_model_path

        options.model = default_model_path()
    options.model = str(Path(options.model).resolve())
    print_facts(describe(Path(options.model)))
    engines = ["ours", "ours-http"]
    job = {"model": options.model, "size": options.size, "n_threads": options.threads, "settings": {}}
    for engine, program, variable in (
        ("llama-server", options.llama_server, "LLAMA_SERVER"),
        ("xllamacpp-http", options.xllamacpp, "XLLAMACPP_PYTHON"),
    ):
        if program is not None:
            os.environ[variable] = str(program.absolute())  # not resolved: an environment's python is a link
            engines.append(engine)
            print_facts({engine: run(engine, {**job, "workload": "facts"})})
    if options.only != "first":
        report_streams(take_turns(engines, {**job, "workload": "many16"}, options.rounds))
    if options.only != "many16":
        report_first(asyncio.run(first_tokens(job)))


if __name__ == "__main__":
    main()
