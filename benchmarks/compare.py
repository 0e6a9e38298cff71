"""llama-async beside the engines that people would pick instead, and beside the bare llama_decode loop.

    nox -s bench -- compare --install [--rounds 5] [--json FILE] [--svg FILE]
    python benchmarks/compare.py [--quick] [--only single,hol] [--peers xllamacpp=PYTHON,...] [--set NAME=VALUE]

The workloads are `single`, `many16`, `prefix16`, `turns`, `hol`, `short64` and `memory`: harness/workloads.py has them.
Engines take turns (ours, bare, peer, peer, ours, bare, ...). Each run is a fresh process with the same model file,
prompts, numbers of tokens and threads. Peers have environments of their own, which `--install` makes under build/peers
(xllamacpp is a wheel, llama-cpp-python is compiled); a peer without one is named and left out. Tokens are counted from
usage. Printed are medians and the spread (min..max), then each bar as a ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bars import AMX_FLAGS, judge
from harness.figures import describe, print_facts, spread, usable_cores
from harness.plot import draw
from harness.workloads import WORKLOADS

WORKER = Path(__file__).resolve().parent / "harness" / "worker.py"
PEERS_DIR = Path(__file__).resolve().parent.parent / "build" / "peers"
PEERS = {"xllamacpp": "xllamacpp==2026.10.11549", "llama-cpp-python": "llama-cpp-python==0.3.36"}
ONE_AT_A_TIME = {"llama-cpp-python"}


@dataclass
class Results:
    """Everything that was seen, as it is written to JSON.

    Attributes:
        engines: What each engine is.
        missing: Why a peer was left out.
        runs: By workload, round and engine: the result of the worker.
        errors: Runs that failed, and how.
    """

    facts: dict[str, Any]
    engines: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def peers(self) -> list[str]:
        return [name for name in self.engines if name in PEERS]

    def figures(self, workload: str) -> list[dict[str, dict[str, float]]]:
        """Return each round's figures by engine."""
        return [{engine: run["figures"] for engine, run in round_.items()} for round_ in self.runs[workload]]

    def samples(self, workload: str, engine: str, figure: str) -> list[float]:
        """Return one figure of an engine, of each round that has it."""
        return [
            round_[engine][figure] for round_ in self.figures(workload) if figure in round_.get(engine, {})
        ]  # fmt: skip


class RunError(Exception):
    """A worker that gave no result; the message is the end of what it printed."""


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(names: Sequence[str]) -> None:
    """Make the environments of peers that have none."""
    environment = dict(os.environ)
    if shutil.which("ccache"):
        environment |= {f"CMAKE_{language}_COMPILER_LAUNCHER": "ccache" for language in ("C", "CXX")}
    for name in names:
        python = python_of(PEERS_DIR / name)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS_DIR / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEERS[name]], check=True, env=environment)


def run_worker(python: str, engine: str, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Run one job in a process of its own.

    Raises:
        RunError: It died or took too long.
    """
    environment = dict(os.environ)
    if engine in PEERS:
        environment.pop("PYTHONPATH", None)  # the caller's packages are not the peer's
    with tempfile.TemporaryDirectory() as directory, (Path(directory) / "log").open("w+b") as log:
        target = Path(directory) / "result.json"
        command = [python, str(WORKER), engine, str(target)]
        try:
            done = subprocess.run(
                check=False,
                args=command,
                input=json.dumps(job).encode(),
                stdout=log,
                stderr=log,
                env=environment,
                timeout=timeout_s,
            )
            how = f"ended with status {done.returncode}"
            if done.returncode < 0:
                how = f"died of {signal.Signals(-done.returncode).name}"
        except subprocess.TimeoutExpired:
            how = f"took more than {timeout_s:g} s"
        except OSError as error:
            how = f"cannot be run: {error}"
        if target.exists():
            result: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
            return result
        log.seek(0)
        raise RunError(f"{how}\n{log.read().decode(errors='replace')[-2000:]}".strip())


@dataclass
class Comparison:
    """Runs workers in turn and keeps what they say."""

    results: Results
    pythons: dict[str, str]
    job: dict[str, Any]
    timeout_s: float
    variants: dict[str, Any] = field(default_factory=dict)  # of the bare loop, by workload: the fastest one

    def find_engines(self) -> None:
        """Ask every engine what it is, and leave out those that do not answer."""
        for engine, python in list(self.pythons.items()):
            if engine == "bare":
                continue
            try:
                job = {**self.job, "workload": "facts"}
                self.results.engines[engine] = run_worker(python, engine, job, self.timeout_s)
            except RunError as error:
                if engine == "ours":
                    raise
                del self.pythons[engine]
                self.results.missing[engine] = str(error)

    def measure(self, workload: str, n_rounds: int) -> None:
        rounds = self.results.runs.setdefault(workload, [])
        for index in range(n_rounds):
            seen: dict[str, Any] = {}
            rounds.append(seen)
            for engine, python in self.pythons.items():
                if WORKLOADS[workload].needs_streams and engine in ONE_AT_A_TIME:
                    continue
                started = time.perf_counter()
                try:
                    seen[engine] = self._run(workload, engine, python, seen)
                    shown = ", ".join(f"{name} {value:.4g}" for name, value in seen[engine]["figures"].items())
                except RunError as error:
                    self.results.errors.append(f"{workload}, {engine}, round {index + 1}: {error}")
                    shown = f"failed: {error}"
                seconds = time.perf_counter() - started
                print(f"{workload} {index + 1}/{n_rounds} {engine} [{seconds:.0f} s]: {shown}", file=sys.stderr)
            for run in seen.values():
                run.pop("prompts", None)

    def _run(self, workload: str, engine: str, python: str, seen: dict[str, Any]) -> dict[str, Any]:
        job = {**self.job, "workload": workload}
        if engine == "bare":
            if "ours" not in seen:
                raise RunError("the bare loop computes what ours was asked, and ours failed")
            job["prompts"], job["n_generated"] = seen["ours"]["prompts"], seen["ours"]["n_generated"]
            job["variant"] = self.variants.get(workload)
        result = run_worker(python, engine, job, self.timeout_s)
        if engine == "bare":
            self.variants.setdefault(workload, result["variant"])
        return result


# -- what is printed ------------------------------------------------------------------------------------------------


def print_table(results: Results) -> None:
    engines = ["ours", *results.peers, "bare"]
    print(f"\n{'':36}" + "".join(f"{engine:28}" for engine in engines))
    for workload in results.runs:
        rounds = results.figures(workload)
        names = dict.fromkeys(name for round_ in rounds for figures in round_.values() for name in figures)
        for name in names:
            cells = []
            for engine in engines:
                values = results.samples(workload, engine, name)
                cells.append(spread(values, 2 if name.endswith(" s") or name == "s" else 1))
            print(f"{workload + ', ' + name:36}" + "".join(f"{cell:28}" for cell in cells))


def print_bars(results: Results) -> None:
    has_amx = bool(AMX_FLAGS & set(results.facts["flags"]))
    figures = {workload: results.figures(workload) for workload in results.runs}
    print(f"\n{'bar':72} {'ratio: median (min..max)':28} {'limit':>8}")
    for verdict in judge(figures, results.peers, has_amx):
        name = f"{verdict.bar.workload}: {verdict.bar.text}"
        print(f"{name:72} {spread(verdict.ratios, 2):28} {verdict.demand:>8}  {verdict.word}")


def print_notes(results: Results) -> None:
    for name, why in results.missing.items():
        print(f"\nleft out: {name}: {why}")
    for workload, rounds in results.runs.items():
        totals = {engine: sum(run["n_prompt"]) for engine, run in rounds[0].items() if "n_prompt" in run}
        if totals and max(totals.values()) > 1.01 * min(totals.values()):
            print(f"\n{workload}: prompt tokens differ: {totals}")
    for error in results.errors:
        print(f"\nfailed: {error}")


def print_all(results: Results) -> None:
    print_facts(results.facts)
    for engine, facts in results.engines.items():
        print_facts({engine: facts})
    print_table(results)
    print_bars(results)
    print_notes(results)


def picture(results: Results) -> str:
    drawn = {workload: rounds for workload, rounds in results.runs.items() if workload != "memory"}
    samples = {
        workload: {
            engine: results.samples(workload, engine, WORKLOADS[workload].headline)
            for engine in ("ours", *results.peers, "bare")
        }
        for workload in drawn
    }
    facts = results.facts
    caption = f"{facts['cpu']}, {facts['cores']} cores; {facts['model']}; benchmarks/compare.py"
    n_rounds = [len(rounds) for rounds in drawn.values()]
    least, most = min(n_rounds, default=0), max(n_rounds, default=0)
    if most > 1:
        several = str(most) if least == most else f"{least} to {most}"
        caption += f", median of {several} rounds; lines from the least to the greatest"
    return draw(samples, caption)


# -- the command line -----------------------------------------------------------------------------------------------


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, separated by commas")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="NAME or NAME=PYTHON, separated by commas; may be empty"
    )
    parser.add_argument("--rounds", type=int, help="default: 3, or 1 of the shorter runs")
    parser.add_argument("--threads", type=int, help="of every engine; default: all cores, and ours as it likes")
    parser.add_argument("--set", action="append", default=[], type=setting, help="an option of AsyncLlama")
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", default="full")
    parser.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="to see that everything runs")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run")
    parser.add_argument("--install", action="store_true", help="make the peers' environments first")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--show", type=Path, nargs="+", help="run nothing: print and draw what --json wrote")
    args = parser.parse_args()
    args.only = [name for name in WORKLOADS if name in args.only.split(",")]
    args.peers = dict(peer.partition("=")[::2] for peer in args.peers.split(",") if peer)
    if unknown := set(args.peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return args


def run(args: argparse.Namespace) -> Results:
    from llama_async._default_model import default_model_path

    model = (args.model or default_model_path()).resolve()
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load_before > 0.5 * usable_cores():
        print(f"this machine is busy (load average {load_before:.1f}): figures will be off", file=sys.stderr)
    facts = describe(model)
    del facts["build"]  # stands with the engine
    results = Results({**facts, "size": args.size, "load_average_before": round(load_before, 2)})
    if args.install:
        install([name for name, python in args.peers.items() if not python])
    pythons = {"ours": sys.executable, "bare": sys.executable}
    for name, python in args.peers.items():
        if python or python_of(PEERS_DIR / name).exists():
            pythons[name] = python or str(python_of(PEERS_DIR / name))
        else:
            results.missing[name] = "not installed; --install does it"
    job = {"model": str(model), "size": args.size, "n_threads": args.threads, "settings": dict(args.set)}
    comparison = Comparison(results, pythons, job, args.timeout)
    comparison.find_engines()
    for workload in args.only:
        comparison.measure(workload, args.rounds or (3 if args.size == "full" else 1))
        if args.json:  # what is there is kept if a later run is broken off
            args.json.write_text(json.dumps(vars(results), indent=1), encoding="utf-8")
    return results


def load(paths: Sequence[Path]) -> Results:
    """Read what several runs of the same engines wrote, each of other workloads; facts are the first's."""
    first, *others = (Results(**json.loads(path.read_text(encoding="utf-8"))) for path in paths)
    for other in others:
        if other.engines != first.engines:
            raise SystemExit("these results are not of the same engines")
        first.runs |= other.runs
        first.errors += other.errors
    first.runs = {workload: first.runs[workload] for workload in WORKLOADS if workload in first.runs}
    return first


def main() -> None:
    args = parse()
    results = load(args.show) if args.show else run(args)
    print_all(results)
    if args.svg:
        args.svg.write_text(picture(results), encoding="utf-8")


if __name__ == "__main__":
    main()
