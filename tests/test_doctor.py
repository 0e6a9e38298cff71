"""The self-test runs in a child, survives its death, and decides about the extra buffers."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from llama_async import _doctor
from llama_async.__main__ import main
from llama_async._errors import OptionError
from llama_async.lowlevel import lib


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("LLAMA_ASYNC_EXTRA_BUFFERS", raising=False)
    return tmp_path


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def dying(number: signal.Signals) -> list[str]:
    return child(f"import os; os.kill(os.getpid(), {int(number)})")


def amx_build(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    info = _doctor.build() | {"extra_buffers": ["AMX", "CPU_REPACK"]}
    monkeypatch.setattr(_doctor, "build", lambda: info)
    return info


def test_this_build_passes_its_self_test() -> None:
    result = _doctor.self_test()
    assert result.passed, result
    assert result.max_relative_error is not None
    assert 0 <= result.max_relative_error <= _doctor.TOLERANCE


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGSEGV])
def test_child_that_dies_is_reported_by_its_signal(number: signal.Signals) -> None:
    result = _doctor.self_test(dying(number))
    assert result == _doctor.SelfTest("crashed", None, f"died by {number.name}")


@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        ("print(0.5)", "inexact", "results differ by 0.5"),
        ("print('nan')", "inexact", "results differ by nan"),
        ("print('no number')", "failed", "printed 'no number"),
        ("import sys; sys.exit('no CPU backend')", "failed", "no CPU backend"),
        ("import sys; sys.exit(3)", "failed", "exit status 3"),
    ],
)
def test_other_endings(code: str, outcome: str, detail: str) -> None:
    result = _doctor.self_test(child(code))
    assert result.outcome == outcome
    assert result.detail.startswith(detail)


def test_child_that_hangs_is_ended() -> None:
    result = _doctor.self_test(child("import threading; threading.Event().wait()"), timeout_s=0.2)
    assert result.outcome == "failed"
    assert "0.2 s" in result.detail


def test_child_that_cannot_start() -> None:
    assert _doctor.self_test(["/nonexistent/python"]).outcome == "failed"


def test_extra_buffers_need_no_test_without_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    info = _doctor.build() | {"extra_buffers": ["CPU_REPACK"]}
    monkeypatch.setattr(_doctor, "build", lambda: info)
    monkeypatch.setattr(_doctor, "child_command", lambda: child("raise SystemExit(1)"))
    assert _doctor.extra_buffers_usable()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_amx_build_that_crashes_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    amx_build(monkeypatch)
    monkeypatch.setattr(_doctor, "child_command", lambda: dying(signal.SIGILL))
    assert not _doctor.extra_buffers_usable()


def test_amx_build_that_works_uses_its_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    amx_build(monkeypatch)
    monkeypatch.setattr(_doctor, "child_command", lambda: child("print(1e-3)"))
    assert _doctor.extra_buffers_usable()


def test_result_is_kept_for_this_build_and_processor(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    info = amx_build(monkeypatch)
    count = cache / "count"
    code = f"open({str(count)!r}, 'a').write('x'); print(1e-3)"
    assert _doctor.cached_self_test(info, child(code)) == _doctor.cached_self_test(info, child(code))
    assert count.read_text() == "x"
    other = info | {"cpu": info["cpu"] | {"model": "another"}}
    _doctor.cached_self_test(other, child(code))
    assert count.read_text() == "xx"


def test_child_that_could_not_run_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    info = amx_build(monkeypatch)
    assert _doctor.cached_self_test(info, child("raise SystemExit(1)")).outcome == "failed"
    assert _doctor.cached_self_test(info, child("print(1e-3)")).passed


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": 1}'])
def test_damaged_cache_is_ignored(monkeypatch: pytest.MonkeyPatch, cache: Path, content: str) -> None:
    (cache / "self-test.json").write_text(content)
    assert _doctor.cached_self_test(amx_build(monkeypatch), child("print(1e-3)")).passed


@pytest.mark.parametrize(("value", "expected"), [("0", False), ("1", True)])
def test_environment_overrides(monkeypatch: pytest.MonkeyPatch, value: str, *, expected: bool) -> None:
    amx_build(monkeypatch)
    monkeypatch.setattr(_doctor, "child_command", lambda: child("raise SystemExit(1)"))
    monkeypatch.setenv("LLAMA_ASYNC_EXTRA_BUFFERS", value)
    assert _doctor.extra_buffers_usable() is expected


def test_environment_with_another_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ASYNC_EXTRA_BUFFERS", "yes")
    with pytest.raises(OptionError, match="LLAMA_ASYNC_EXTRA_BUFFERS is 'yes'"):
        _doctor.extra_buffers_usable()


def test_doctor_prints_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for row in ("llama.cpp", "built with", "CPU", "  offers", "self-test       passed", "device          CPU"):
        assert row in text
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["abi_version"] == lib.LA_ABI_VERSION
    assert facts["self_test"]["outcome"] == "passed"
    assert facts["upstream"]["commit"]


def test_doctor_fails_when_the_self_test_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    amx_build(monkeypatch)
    monkeypatch.setattr(_doctor, "child_command", lambda: child("print(0.5)"))
    assert main(["doctor"]) == 1
    assert "use_extra_buffers=False" in capsys.readouterr().out
