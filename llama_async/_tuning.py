"""What engines measured when they loaded: kept for the next time, and handed to them as if the user had set it.

Owns a file for each combination of model, machine, build and options, in the cache directory. What is measured, and
what follows from it, is the engine's business (`_native/src/tune`). A cache that cannot be read or written is as none:
the engine measures again. Blocks for a few milliseconds: not for an event loop.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._cache import cache_dir
from ._errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._options import EngineOptions

__all__ = ["Tuned", "granted_s", "look_up", "report", "rows"]

_OVERRIDE = "LLAMA_ASYNC_TUNE"
_FORMAT = 1
_MOST_SECONDS = 1e11  # of a date

# Of a model's file: its metadata and, of small models, the types of its tensors. With the size it tells models apart as
# far as speed goes.
_HEAD_BYTES = 1 << 20
# A result of a time when others had the cores counts for so long.
_BUSY_S = 3600.0
# Beyond this the oldest files go.
_FILES_MAX = 512
# Results that people are shown.
_ROWS_MAX = 5

# What a file may say: setting -> least and largest value. All else is damage.
_SETTINGS: Mapping[str, tuple[int, int]] = {
    "flash_attention": (-1, 0),
    "kv_unified": (0, 1),
    "n_threads": (1, 512),
    "n_threads_batch": (1, 512),
    "n_ubatch": (1, 1 << 16),
    "poll": (0, 100),
}
# Options that change nothing about speed.
_INDIFFERENT = frozenset({"tune_s", "max_queue", "prefix_cache_bytes", "use_mmap", "use_mlock", "pooling"})


@dataclass(frozen=True, slots=True)
class Tuned:
    """What an engine is opened with once it is known what was measured before.

    Attributes:
        options: With what is known, or with the time that measuring may take.
        place: Where it is kept, as the cache directory was when it was looked for; `None` where nothing is to be.
    """

    options: EngineOptions
    place: Path | None = None

    def keep(self, measured: Mapping[str, Any]) -> None:
        """Keep what the engine has measured (the object of `la_engine_tuning`), if anything."""
        if self.place is None or not measured or measured.get("stopped"):
            return
        entry = {
            "format": _FORMAT,
            "when": time.time(),
            "model": Path(self.options.path).name,
            "options": {name: value for name, value in self.options.numbers.items() if name not in _INDIFFERENT},
            "machine": _machine(),
            "measured": dict(measured),
        }
        _write(self.place, entry)

    def known(self, measured: Mapping[str, Any]) -> Tuned:
        """Return what the next engine is opened with after one that has measured this."""
        if self.place is None or not measured or measured.get("stopped"):
            return self
        return Tuned(_applied(self.options, measured.get("chosen", {})), self.place)


def _tuning_dir() -> Path:
    """Where results are kept; it need not exist."""
    return cache_dir() / "tuning"


def look_up(options: EngineOptions) -> Tuned:
    """Return what is to be measured, or what was found before.

    Raises:
        OptionError: `LLAMA_ASYNC_TUNE` is wrong.
    """
    budget_s = granted_s(options)
    if budget_s == 0:
        return Tuned(options)
    try:
        place = _tuning_dir() / f"{_key(options)}.json"
    except OSError:
        # The loader says what is wrong with the file.
        return Tuned(options.with_number("tune_s", budget_s))
    entry = _read(place)
    if entry is not None and _is_usable(entry, budget_s):
        return Tuned(_applied(options, entry["measured"]["chosen"]), place)
    return Tuned(options.with_number("tune_s", budget_s), place)


def _is_usable(entry: Mapping[str, Any], budget_s: float) -> bool:
    """Return whether an entry spares measuring, for somebody who would grant so many seconds (below 0: the default)."""
    measured = entry["measured"]
    age_s = time.time() - entry["when"]
    if measured["busy"] and not 0 <= age_s < _BUSY_S:
        return False
    return not measured["unmeasured"] or budget_s <= measured["budget_s"]


def report() -> dict[str, Any]:
    """What `doctor` knows of it: whether engines measure, where results are kept, and all of them, the newest first."""
    kept = [entry | {"file": path.name} for path in _files(_tuning_dir()) if (entry := _read(path)) is not None]
    return {"override": os.environ.get(_OVERRIDE, ""), "dir": str(_tuning_dir()), "kept": kept}


def rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what `report` found as names and texts, for people."""
    kept = facts["kept"]
    override = facts["override"]
    state = "off" if override == "0" else "on" if override in {"", "1"} else f"on, {override} s"
    source = f" ({_OVERRIDE})" if override else ""
    yield "tuning", f"{state}{source}; {len(kept)} result{'s' * (len(kept) != 1)} in {facts['dir']}"
    for entry in kept[:_ROWS_MAX]:
        measured = entry["measured"]
        when = datetime.fromtimestamp(entry["when"]).astimezone().strftime("%Y-%m-%d")
        options = ", ".join(f"{name} {value:g}" for name, value in sorted(entry["options"].items()) if value != -1)
        busy = ", on a busy machine" if measured["busy"] else ""
        yield f"  {when}", f"{entry['model']} ({options or 'default options'}): {measured['seconds']:.1f} s{busy}"
        for comparison in measured["measured"]:
            yield "", f"  {_row(comparison)}"
        if measured["unmeasured"]:
            yield "", "  not measured: " + ", ".join(f"{name} ({why})" for name, why in measured["unmeasured"].items())
    if len(kept) > _ROWS_MAX:
        yield "", f"and {len(kept) - _ROWS_MAX} more (--json has all)"


def _row(comparison: Mapping[str, Any]) -> str:
    """One setting: what was chosen, and what each candidate took."""
    name = comparison["setting"]
    times = [
        f"{_shown(name, candidate['value'])} {_duration(candidate['median_s'])}"
        for candidate in comparison["candidates"]
        if candidate["n"]
    ]
    return f"{name} {_shown(name, comparison['chosen'])}: {', '.join(times)} for {comparison['seconds_of']}"


def _shown(name: str, value: int) -> str:
    if name == "flash_attention":
        return "off" if value == 0 else "llama.cpp's choice"
    return ("off", "on")[value] if name == "kv_unified" else str(value)


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"


def granted_s(options: EngineOptions) -> float:
    """Return the seconds that measuring may take: 0: none; below 0: the engine's default. Blocks for nothing.

    Raises:
        OptionError: `LLAMA_ASYNC_TUNE` is wrong.
    """
    given = options.numbers.get("tune_s")
    if given is not None:
        return given
    override = os.environ.get(_OVERRIDE) or "1"
    if override == "1":
        return -1.0
    try:
        budget_s = float(override)
    except ValueError:
        budget_s = math.nan
    if not 0 <= budget_s <= 3600:
        raise OptionError(_OVERRIDE, override, "0, 1 (the default) or seconds up to 3600")
    return budget_s


def _applied(options: EngineOptions, chosen: Mapping[str, int]) -> EngineOptions:
    # What the user fixed is in the key, so it cannot be among what was chosen; a user's word counts more all the same.
    open_ones = {name: value for name, value in chosen.items() if name not in options.numbers}
    return options.with_numbers({**open_ones, "tune_s": 0.0})


def _key(options: EngineOptions) -> str:
    facts = {
        "format": _FORMAT,
        "model": _model(Path(options.path)),
        "draft_model": bool(options.draft_model),
        "numbers": {name: value for name, value in sorted(options.numbers.items()) if name not in _INDIFFERENT},
        "texts": {name: text for name, text in sorted(options.texts.items()) if name != "chat_template"},
        "tensor_split": options.tensor_split,
        "machine": _machine(),
        "build": _build(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _model(path: Path) -> list[object]:
    with path.open("rb") as file:
        return [os.fstat(file.fileno()).st_size, hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()]


def _machine() -> dict[str, object]:
    from ._doctor import build

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = ""
    with contextlib.suppress(OSError):
        quota = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").strip()
    return {"cpu": build()["cpu"]["model"], "cores": cores, "quota": quota, "devices": _devices()}


def _devices() -> list[str]:
    from ._doctor import build

    return [device["description"] for backend in build()["backends"] for device in backend["devices"]]


def _build() -> str:
    from ._doctor import build, build_key

    return build_key(build())


def _files(directory: Path) -> list[Path]:
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for path in directory.glob("*.json"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _read(path: Path) -> dict[str, Any] | None:
    """Return an entry, or `None` where there is none that can be used."""
    try:
        entry = json.loads(path.read_text("utf-8"))
        return entry if _is_entry(entry) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_entry(entry: Any) -> bool:
    measured = entry["measured"]
    numbers = (entry["when"], measured["budget_s"], measured["seconds"])
    return (
        entry["format"] == _FORMAT
        and isinstance(entry["model"], str)
        and isinstance(entry["machine"], dict)
        and all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
        and 0 <= entry["when"] < _MOST_SECONDS
        and all(isinstance(value, (int, float)) for value in entry["options"].values())
        and isinstance(measured["busy"], bool)
        and isinstance(measured["unmeasured"], dict)
        and all(_is_comparison(comparison) for comparison in measured["measured"])
        and all(_is_choice(name, value) for name, value in measured["chosen"].items())
    )


def _is_choice(name: str, value: object) -> bool:
    low, high = _SETTINGS[name]
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_comparison(comparison: Any) -> bool:
    candidates = comparison["candidates"]
    times = [candidate["median_s"] for candidate in candidates if candidate["n"]]
    return (
        isinstance(comparison["seconds_of"], str)
        and _is_choice(comparison["setting"], comparison["chosen"])
        and all(_is_choice(comparison["setting"], candidate["value"]) for candidate in candidates)
        and all(isinstance(seconds, float) and math.isfinite(seconds) for seconds in times)
    )


def _write(path: Path, entry: Mapping[str, Any]) -> None:
    """Put an entry into its place at once; where that cannot be, it is measured again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".tuning-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(entry, file, indent=1)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
        for old in _files(path.parent)[_FILES_MAX:]:
            old.unlink(missing_ok=True)
    except OSError:
        pass
