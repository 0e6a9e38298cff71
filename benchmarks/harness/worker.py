"""One run of one workload by one engine, in a process of its own.

    python worker.py ENGINE RESULT.json < JOB.json

The job: "model", "workload" (or "facts": what the engine is, without loading), "size", "n_threads", "settings". For the
bare loop also "prompts", "n_generated" and "variant" (null: all are tried). What engines print goes where the caller
sends it; the result goes into a file.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from harness import prompts  # noqa: E402
from harness.figures import rss_bytes, thread_cpu_s  # noqa: E402
from harness.workloads import SIZES, WORKLOADS, more_is_better  # noqa: E402

MB = 1e6


async def run_engine(name: str, job: dict[str, Any]) -> dict[str, Any]:
    adapter = importlib.import_module(f"harness.engine_{name.replace('-', '_')}")
    if job["workload"] == "facts":
        found: dict[str, Any] = adapter.facts()
        return found
    workload = WORKLOADS[job["workload"]]
    started = time.perf_counter()
    async with adapter.open_engine(job["model"], workload.shape, job["n_threads"], job["settings"]) as engine:
        load_s = time.perf_counter() - started
        await engine.ask(prompts.warm_up(), 8)
        asked = getattr(engine, "asked", None)
        n_warm = len(asked or [])
        loop_pid = getattr(engine, "loop_pid", None)
        loop_s = thread_cpu_s(loop_pid)
        outcome = await workload.run(engine, SIZES[job["size"]])
        figures = outcome.figures
        if loop_s is not None and (loop_end_s := thread_cpu_s(loop_pid)) is not None:
            n_tokens = sum(answer.n_generated for answer in outcome.answers)
            figures["loop us/token"] = 1e6 * (loop_end_s - loop_s) / n_tokens
        if job["workload"] == "memory" and (resident := rss_bytes()):
            figures["MB"] = resident / MB
        result = {
            "figures": figures,
            "load_s": load_s,
            "n_prompt": [answer.n_prompt for answer in outcome.answers],
            "n_cached": [answer.n_cached for answer in outcome.answers],
            "n_generated": [answer.n_generated for answer in outcome.answers],
        }
        if asked is not None:
            result["prompts"] = [await engine.tokens(messages) for messages in asked[n_warm:]]
        return result


def run_bare(job: dict[str, Any]) -> dict[str, Any]:
    from harness.bare import CEILINGS, Asked, Bare, Variant, variants

    workload = WORKLOADS[job["workload"]]
    asked = Asked(job["prompts"], job["n_generated"])
    tried = []
    for variant in [Variant(**job["variant"])] if job["variant"] else variants(job["workload"]):
        with Bare(job["model"], workload.shape, job["n_threads"], variant) as bare:
            bare.prefill({0: asked.prompts[0]})  # touches weights and buffers
            bare.forget()
            figures = CEILINGS[job["workload"]](bare, asked)
            if job["workload"] == "memory" and (resident := rss_bytes()):
                figures["MB"] = resident / MB
            tried.append((figures, variant))
    judged = workload.ceiling
    figures, variant = (max if more_is_better(judged) else min)(tried, key=lambda run: run[0].get(judged, 0.0))
    return {"figures": figures, "variant": asdict(variant)}


def main(engine: str, target: str) -> None:
    job = json.load(sys.stdin)
    result = run_bare(job) if engine == "bare" else asyncio.run(run_engine(engine, job))
    Path(target).write_text(json.dumps(result), encoding="utf-8")
    # Some engines end the process by a signal when their threads are torn down.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
