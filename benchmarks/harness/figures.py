"""Medians, spread, and what a figure depends on: the machine, the model, the command."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return "median (least..greatest)", a single value as it is, "-" without one."""
    if len(values) < 2:
        return f"{values[0]:,.{digits}f}" if values else "-"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}..{high})"


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of a hundred values do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info() -> dict[str, str]:
    """Return what Linux says of the first core, "flags" and "model name" among it; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


def machine() -> dict[str, object]:
    """Return what of this machine the figures depend on."""
    cpu = cpu_info()
    offered = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "flags": [flag for flag in FLAGS if flag in offered],
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def describe(model: Path) -> dict[str, object]:
    """Return what the figures of one process depend on."""
    from llama_async._doctor import build

    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "model": model.name,
        "model_sha256": sha256(model),
        **machine(),
        "build": build(),
    }


def print_facts(facts: dict[str, Any]) -> None:
    for name, fact in facts.items():
        print(f"{name}: {json.dumps(fact) if isinstance(fact, (dict, list)) else fact}")


def rss_bytes() -> int | None:
    """Return the memory this process has resident; `None` where the system does not say."""
    try:
        n_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return n_pages * os.sysconf("SC_PAGE_SIZE")


def thread_cpu_s(pid: int | None) -> float | None:
    """Return the processor time of a process's main thread; `None` where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii")
    except OSError:
        return None
    return int(text.split()[0]) / 1e9
