"""What was built, what this machine offers, what is used, and whether the arithmetic holds.

Owns the self-test's child process and the file its result is kept in. The self-test multiplies matrices in the CPU's
rearranged (repacked, AMX) buffers and in plain ones. A build whose AMX path is broken dies there by a signal, so it
never runs in this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from . import _tuning
from ._cache import cache_dir
from ._errors import OptionError

__all__ = ["SelfTest", "build", "build_key", "extra_buffers_usable", "format_report", "report", "self_test"]

# Both sides quantize the input, in blocks of different kinds: some part in a thousand is normal, a wrong kernel is off
# by the size of the result.
TOLERANCE = 0.02
_TIMEOUT_S = 120.0
_OVERRIDE = "LLAMA_ASYNC_EXTRA_BUFFERS"

_CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from llama_async.lowlevel import ffi, lib
error = ffi.new("double *")
status = lib.la_self_test(error)
if status != lib.LA_OK:
    sys.exit(ffi.string(lib.la_last_error()).decode("utf-8", "replace"))
print(error[0])
"""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What came of the self-test.

    Attributes:
        outcome: "passed"; "inexact": the results differ by more than the tolerance; "crashed": the child died by a
            signal; "failed": it could not run.
        max_relative_error: The largest difference, relative to the largest element; `None` without a result.
        detail: Why it did not pass.
    """

    outcome: Literal["passed", "inexact", "crashed", "failed"]
    max_relative_error: float | None = None
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def build() -> dict[str, Any]:
    """What the extension says of itself (`la_build_info`)."""
    from . import _binding

    info: dict[str, Any] = json.loads(_binding.build_info())
    return info


def child_command() -> list[str]:
    # Not `-m`: that would find a source tree in the working directory, which has no extension.
    return [sys.executable, "-c", _CHILD, str(Path(__file__).resolve().parent.parent)]


def self_test(command: Sequence[str] | None = None, *, timeout_s: float = _TIMEOUT_S) -> SelfTest:
    """Run the self-test in a child process; blocks for about a second.

    Args:
        command: The child; it prints the largest relative error. Default: this build's own self-test.
        timeout_s: After this time the child counts as failed.
    """
    try:
        child = subprocess.run(  # noqa: S603 (our own interpreter)
            command or child_command(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return SelfTest("failed", detail=f"no result within {timeout_s:g} s")
    except OSError as error:
        return SelfTest("failed", detail=f"cannot start the self-test: {error}")
    if child.returncode < 0:
        return SelfTest("crashed", detail=f"died by {_signal_name(-child.returncode)}")
    last = child.stderr.strip().rpartition("\n")[2]
    if child.returncode != 0:
        return SelfTest("failed", detail=last or f"exit status {child.returncode}")
    try:
        difference = float(child.stdout)
    except ValueError:
        return SelfTest("failed", detail=f"printed {child.stdout[:80]!r}")
    if not difference <= TOLERANCE:
        return SelfTest("inexact", difference, f"results differ by {difference:.3g}, allowed are {TOLERANCE:g}")
    return SelfTest("passed", difference)


def cached_self_test(info: dict[str, Any], command: Sequence[str] | None = None) -> SelfTest:
    """The result for this build on this processor, from the cache if it ever ran to an end here."""
    path = cache_dir() / "self-test.json"
    key = build_key(info)
    known = _read(path)
    try:
        return SelfTest(**known[key])
    except (KeyError, TypeError):
        pass
    result = self_test(command)
    if result.outcome != "failed":  # a child that could not run may run next time
        _write(path, known | {key: asdict(result)})
    return result


def extra_buffers_usable() -> bool:
    """Whether the CPU's rearranged weight buffers may be used: the default of the `use_extra_buffers` option.

    True without a test unless AMX is built in and offered. With AMX the self-test decides, in a child process that
    takes about a second, once for each build and processor. `LLAMA_ASYNC_EXTRA_BUFFERS` (0 or 1) overrides. Blocks:
    not for an event loop.

    Raises:
        OptionError: `LLAMA_ASYNC_EXTRA_BUFFERS` is neither 0 nor 1.
    """
    if override := os.environ.get(_OVERRIDE):
        if override not in {"0", "1"}:
            raise OptionError(_OVERRIDE, override, "0 or 1")
        return override == "1"
    info = build()
    if "AMX" not in info["extra_buffers"]:
        return True
    return cached_self_test(info).passed


def report() -> dict[str, Any]:
    """Everything `doctor` prints; runs the self-test afresh."""
    info = build()
    result = self_test()
    offered = set(info["cpu"]["offers"])
    built = {name for name, value in info["features"].get("CPU", {}).items() if value not in {"0", ""}}
    return info | {
        "self_test": asdict(result) | {"tolerance": TOLERANCE},
        "unused_cpu_features": sorted(offered - built),
        "extra_buffers_override": os.environ.get(_OVERRIDE),
        "tuning": _tuning.report(),
        "cache_dir": str(cache_dir()),
        "python": sys.version.split()[0],
    }


def format_report(facts: dict[str, Any]) -> str:
    """The report for people."""
    test = facts["self_test"]
    built = [name for name, value in facts["features"].get("CPU", {}).items() if value not in {"0", ""}]
    rows = [
        ("llama-async", f"{facts['version']} (ABI {facts['abi_version']}, Python {facts['python']})"),
        ("llama.cpp", f"{facts['upstream']['commit']} (version {facts['upstream']['version']})"),
        ("built with", f"{facts['compiler']}, {facts['build_type']}, {facts['cxx_flags'] or 'no extra flags'}"),
        ("built for", facts["system"] + (", this machine's own instructions" if facts["native"] else "")),
        ("threads by", "OpenMP" if facts["openmp"] else "ggml's own pool"),
        ("CPU", facts["cpu"]["model"] or "unknown"),
        ("  offers", " ".join(facts["cpu"]["offers"]) or "unknown"),
        ("  built in", " ".join(built)),
        ("  not used", " ".join(facts["unused_cpu_features"]) or "nothing"),
    ]
    for backend in facts["backends"]:
        for device in backend["devices"]:
            size = f", {device['memory_bytes'] / 2**30:.1f} GiB" if device["memory_bytes"] else ""
            kind = f"{backend['name']}, {device['type']}"
            rows.append(("device", f"{device['name']} ({kind}): {device['description']}{size}"))
    error = test["max_relative_error"]
    figure = f", largest relative error {error:.2g} (allowed {test['tolerance']:g})" if error is not None else ""
    rows += [
        ("weight buffers", " ".join(facts["extra_buffers"]) or "plain only"),
        ("self-test", test["outcome"] + (f": {test['detail']}" if test["detail"] else figure)),
        ("cache", facts["cache_dir"]),
        *_tuning.rows(facts["tuning"]),
    ]
    if test["outcome"] != "passed" and facts["extra_buffers"]:
        rows.append(("", f"use_extra_buffers=False (or {_OVERRIDE}=0) keeps clear of the broken kernels"))
    return "\n".join(f"{name:<16}{text}".rstrip() for name, text in rows)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def build_key(info: dict[str, Any]) -> str:
    """Identifies this very build on this processor; devices and their memory do not matter."""
    stable = {name: value for name, value in info.items() if name != "backends"}
    extension = sys.modules.get("llama_async._native")
    path = getattr(extension, "__file__", None)
    if path is not None:
        stat = Path(path).stat()
        stable["file"] = [stat.st_size, stat.st_mtime_ns]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, known: dict[str, Any]) -> None:
    """Replace the file at once; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(known, file, indent=1)
        Path(file.name).replace(path)
    except OSError:
        pass
