"""No model file, however broken, ends the process: each gives a ModelLoadError that names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools.broken_models import ASSERTED, BROKEN, write_all
from tools.tiny_models import tiny_llama

# Loads each file named on standard input, generates a little where that works, and reports. One process for all, since
# what a broken file leaves behind must not hurt the next; in a child, since a file that is not caught ends the process.
_CHILD = """
import asyncio, json, sys
from llama_async import AsyncLlama, OpenAIError

async def attempt(path):
    report = {"path": path, "error": None, "message": ""}
    try:
        async with AsyncLlama(path, n_ctx=256, n_parallel=1, n_threads=1) as client:
            await client.chat.completions.create(
                model="default", messages=[{"role": "user", "content": "hello"}], max_tokens=4)
    except OpenAIError as error:
        report.update(error=type(error).__name__, message=str(error))
    return report

for line in sys.stdin:
    print(json.dumps(asyncio.run(attempt(line.rstrip("\\n")))), flush=True)
"""
_TIMEOUT_S = 120


def _attempt(paths: list[Path]) -> tuple[dict[Path, dict[str, Any]], int]:
    """Return the reports up to the end of the child, and its exit status."""
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input="".join(f"{path}\n" for path in paths),
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        # Not the checkout, whose package has no extension module.
        cwd=paths[0].parent,
        # ggml would start a debugger to print a backtrace.
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )
    reports = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    return {Path(report["path"]): report for report in reports}, child.returncode


def _attempt_all(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """Return a report for every file; one that ends the child is reported as `Died`, and a new child goes on."""
    reports: dict[Path, dict[str, Any]] = {}
    rest = paths
    while rest:
        more, status = _attempt(rest)
        reports |= more
        rest = rest[len(more) :]
        if rest:
            reports[rest[0]] = {"error": "Died", "message": f"exit status {status}"}
            rest = rest[1:]
    return reports


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("broken")
    paths = write_all({**BROKEN, **ASSERTED}, directory)
    # Good ones around them: whatever failed before must not hurt the last.
    first, last = tiny_llama(directory / "first.gguf"), tiny_llama(directory / "last.gguf")
    paths = {"good-first": first, **paths, "good-last": last}
    by_path = _attempt_all(list(paths.values()))
    return {name: {**by_path[path], "path": str(path)} for name, path in paths.items()}


@pytest.mark.parametrize("name", [*BROKEN, *ASSERTED])
def test_broken_file_is_a_load_error_naming_the_path(reports: dict[str, dict[str, Any]], name: str) -> None:
    report = reports[name]
    assert report["error"] == "ModelLoadError", report
    assert report["path"] in report["message"]
    # The path alone explains nothing.
    assert len(report["message"].replace(report["path"], "")) > len("cannot load : ")


@pytest.mark.parametrize("name", ["good-first", "good-last"])
def test_good_file_loads_before_and_after(reports: dict[str, dict[str, Any]], name: str) -> None:
    assert reports[name]["error"] is None, reports[name]
