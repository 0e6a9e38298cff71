"""The server beside the client in process: 16 streams, and one; read by bare sockets.

    python benchmarks/over_http.py [--quick] [--rounds 3] [--model FILE] [--threads N]

Both take turns, each run in processes of its own. The bars: over HTTP at least 92% of the tokens per second in process
while 16 streams decode, and a first token at most 3 ms later.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.figures import describe, print_facts, spread

WORKER = Path(__file__).resolve().parent / "harness" / "worker.py"
ENGINES = ("ours", "ours-http")
FIGURES = {"many16": "decode tok/s", "single": "first token ms"}


def run(engine: str, job: dict[str, Any]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "result.json"
        command = [sys.executable, str(WORKER), engine, str(target)]
        subprocess.run(command, input=json.dumps(job), text=True, check=True, timeout=900)
        figures: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))["figures"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="full")
    size.add_argument("--tiny", dest="size", action="store_const", const="tiny")
    options = parser.parse_args()
    if options.model is None:
        from llama_async._default_model import default_model_path

        options.model = str(default_model_path())
    print_facts(describe(Path(options.model)))
    for workload, figure in FIGURES.items():
        seen: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for turn in range(options.rounds):
            for engine in ENGINES if turn % 2 == 0 else reversed(ENGINES):
                job = {
                    "model": options.model, "workload": workload, "size": options.size, "n_threads": options.threads,
                    "settings": {},
                }  # fmt: skip
                figures = run(engine, job)
                # The shortest size has no time in which all decode.
                seen[engine].append(figures.get(figure, figures["tok/s"]))
        for engine in ENGINES:
            print(f"{workload:8} {engine:10} {figure}: {spread(seen[engine])}")
        pairs = list(zip(seen["ours"], seen["ours-http"], strict=True))
        if workload == "many16":
            print(f"{workload:8} over HTTP / in process: {statistics.median(http / own for own, http in pairs):.3f}")
        else:
            print(f"{workload:8} over HTTP - in process: {statistics.median(http - own for own, http in pairs):.2f} ms")


if __name__ == "__main__":
    main()
