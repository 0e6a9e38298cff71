"""Our limits go into a copy of upstream's source, or the build says why they cannot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

APPLY = Path(__file__).resolve().parent.parent / "llama.cpp/patches/apply.py"


def apply(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(APPLY), str(source / "common"), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source / "common", target / "common")
    return target


def test_the_limits_fit_the_pinned_source(source: Path, tmp_path: Path) -> None:
    before = (source / "common/jinja/value.h").read_bytes()
    assert apply(source, tmp_path).returncode == 0
    assert (source / "common/jinja/value.h").read_bytes() == before
    assert "la::TemplateNest" in (tmp_path / "jinja/runtime.cpp").read_text("utf-8")
    assert (tmp_path / "parsers/parsers.cpp").is_file()


def test_what_is_as_it_should_be_is_not_written_again(source: Path, tmp_path: Path) -> None:
    assert apply(source, tmp_path).returncode == 0
    gone = tmp_path / "no-longer-there.cpp"
    gone.write_text("")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.cpp")}
    assert apply(source, tmp_path).returncode == 0
    assert not gone.exists()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != gone)


def test_another_source_is_an_error_that_names_the_place(source: Path, tmp_path: Path) -> None:
    other = copied(source, tmp_path / "other")
    runtime = other / "common/jinja/runtime.cpp"
    changed = runtime.read_text("utf-8").replace("value statement::execute(", "value statement::run(")
    runtime.write_text(changed, "utf-8")
    failed = apply(other, tmp_path / "out")
    assert failed.returncode == 1
    assert "common/jinja/runtime.cpp" in failed.stderr
    assert "statement::execute" in failed.stderr
    runtime.unlink()
    assert "no such file" in apply(other, tmp_path / "out").stderr
