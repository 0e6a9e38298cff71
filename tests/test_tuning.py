"""What engines measure when they load: once, kept, shown, never in the way."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import SHORT, until
from tools.tiny_models import TINY_MODELS, tiny_llama

from llama_async import AsyncLlama, ClientClosedError, OptionError, _doctor, _tuning
from llama_async._options import EngineOptions, model_options

pytestmark = pytest.mark.anyio

# The native engine does not see which loop drains it.
ONLY_ASYNCIO = True

_BUDGET_S = 0.5
_FIXED: dict[str, Any] = {"flash_attention": True, "kv_unified": False, "n_threads": 1, "n_ubatch": 512, "poll": 50}
_OPTIONS: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2, "tune": _BUDGET_S}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tuning"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tuning") / "tiny.gguf")


def options_of(path: Path, **options: Any) -> EngineOptions:
    client = AsyncLlama(path, **options)
    return client._model.options


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.json"))


def facts(client: AsyncLlama) -> Any:
    engine = client._model.engine
    assert engine is not None
    return engine.facts


def tuning(client: AsyncLlama) -> dict[str, Any]:
    engine = client._model.engine
    assert engine is not None
    return engine.tuning()


def measured(**other: Any) -> dict[str, Any]:
    """What an engine says of a measuring that left nothing out."""
    return {
        "chosen": {"flash_attention": 0},
        "measured": [
            {
                "setting": "flash_attention",
                "seconds_of": "a request",
                "candidates": [
                    {"value": -1, "n": 2, "best_s": 0.2, "median_s": 0.25},
                    {"value": 0, "n": 2, "best_s": 0.1, "median_s": 0.12},
                ],
                "chosen": 0,
            }
        ],
        "unmeasured": {},
        "stopped": "",
        "busy": False,
        "seconds": 0.5,
        "budget_s": 1.5,
        "n_streams": 4,
        "depth": 128,
    } | other


# -- engines -----------------------------------------------------------------------------------------------------------


async def test_first_load_measures_and_the_next_does_not(anyio_backend: Any, model_path: Path, cache: Path) -> None:
    options = _OPTIONS | {"tune": 5}  # enough for something on a slow machine
    async with AsyncLlama(model_path, **options) as client:
        first = tuning(client)
        chosen = first["chosen"]
        assert first["measured"], first
        assert {name: int(facts(client)[name]) for name in chosen} == chosen
        await until(lambda: len(files(cache)) == 1)
        answer = await client.chat.completions.create(**SHORT)
        assert answer.choices[0].message.content
        await client.unload()
        await client.load()
        assert tuning(client) == {}  # it knows
    async with AsyncLlama(model_path, **options) as client:
        assert tuning(client) == {}
        assert {name: int(facts(client)[name]) for name in chosen} == chosen
    assert len(files(cache)) == 1


async def test_fixed_settings_are_neither_measured_nor_changed(
    anyio_backend: Any, model_path: Path, cache: Path
) -> None:
    async with AsyncLlama(model_path, **_OPTIONS, **_FIXED) as client:
        assert tuning(client) == {}
        now = facts(client)
        assert {name: now[name] for name in _FIXED} == _FIXED
        assert now["n_threads_batch"] == 1
    assert not files(cache)
    async with AsyncLlama(model_path, **_OPTIONS, n_threads=1, poll=3) as client:
        names = {*tuning(client)["chosen"], *tuning(client)["unmeasured"]}
        assert names <= {"flash_attention", "kv_unified", "n_ubatch"}
        assert facts(client)["poll"] == 3
        assert facts(client)["n_threads"] == 1


async def test_turned_off_nothing_is_measured_or_kept(
    anyio_backend: Any, tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, given in (("1", False), ("0", None), ("1", 0)):
        monkeypatch.setenv("LLAMA_ASYNC_TUNE", variable)
        async with AsyncLlama(tiny, n_ctx=512, tune=given) as client:
            assert tuning(client) == {}
    assert not files(cache)


async def test_the_environment_turns_it_on(
    anyio_backend: Any, tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ASYNC_TUNE", "0.25")
    async with AsyncLlama(tiny, n_ctx=512) as client:
        assert tuning(client)["budget_s"] == 0.25
    monkeypatch.setenv("LLAMA_ASYNC_TUNE", "1")
    async with AsyncLlama(tiny, n_ctx=513) as client:
        assert tuning(client)["budget_s"] >= 1.5


async def test_damaged_result_is_measured_again(anyio_backend: Any, tiny: Path, cache: Path) -> None:
    async with AsyncLlama(tiny, **_OPTIONS):
        await until(lambda: len(files(cache)) == 1)
    (path,) = files(cache)
    path.write_text('{"format": 1, "measured": {"cho')
    async with AsyncLlama(tiny, **_OPTIONS) as client:
        assert tuning(client)["measured"]
        await until(lambda: _tuning._read(path) is not None)


@pytest.mark.parametrize("kind", TINY_MODELS)
async def test_every_kind_of_memory(anyio_backend: Any, tmp_path: Path, kind: str) -> None:
    path = TINY_MODELS[kind](tmp_path / "tiny.gguf")
    async with AsyncLlama(path, n_ctx=2048, n_parallel=3, tune=1.0) as client:
        found = tuning(client)
        # A state of another kind than cells cannot be repeated.
        assert (found["depth"] == 256) == (kind in {"llama", "swa"}), found
        assert not found["stopped"]
        answer = await client.chat.completions.create(**SHORT)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 4


async def test_cache_that_cannot_be_written_is_no_error(
    anyio_backend: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    async with AsyncLlama(tiny, **_OPTIONS) as client:
        assert tuning(client)["measured"]
    assert _tuning.report()["kept"] == []


async def test_closing_ends_measuring(anyio_backend: Any, model_path: Path, cache: Path) -> None:
    loaded = anyio.Event()

    def on_progress(fraction: float) -> None:
        if fraction == 1:
            loaded.set()

    # It would go on for minutes.
    client = AsyncLlama(model_path, n_ctx=4096, n_parallel=16, tune=3600, on_progress=on_progress)
    outcomes: list[BaseException] = []

    async def load() -> None:
        try:
            await client.load()
        except ClientClosedError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load)
        await loaded.wait()
        started = time.monotonic()
        await client.close()
        assert time.monotonic() - started < 5
    assert len(outcomes) == 1
    assert not files(cache)


async def test_cancelled_load_ends_measuring(anyio_backend: Any, model_path: Path) -> None:
    scope = anyio.CancelScope()
    client = AsyncLlama(
        model_path, n_ctx=4096, n_parallel=16, tune=3600, on_progress=lambda fraction: fraction < 1 or scope.cancel()
    )
    started = time.monotonic()
    with scope:
        await client.load()
    await client.close()
    assert scope.cancelled_caught
    assert time.monotonic() - started < 30


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_result_is_for_one_model_and_its_options(tiny: Path, tmp_path: Path, cache: Path) -> None:
    tuned = _tuning.look_up(options_of(tiny, n_ctx=512, tune=True))
    assert tuned.options.numbers["tune_s"] == -1
    tuned.keep(measured())
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(tiny.read_bytes())
    for same in (options_of(tiny, n_ctx=512, tune=True), options_of(copy, n_ctx=512, tune=True, max_queue=7)):
        known = _tuning.look_up(same).options.numbers
        assert known["flash_attention"] == 0
        assert known["tune_s"] == 0
    copy.write_bytes(tiny.read_bytes() + b"\0")
    others = (
        options_of(copy, n_ctx=512, tune=True),
        options_of(tiny, n_ctx=513, tune=True),
        options_of(tiny, n_ctx=512, n_threads=1, tune=True),
        options_of(tiny, n_ctx=512, type_k="q8_0", tune=True),
    )
    for other in others:
        numbers = _tuning.look_up(other).options.numbers
        assert "flash_attention" not in numbers
        assert numbers["tune_s"] == -1


def test_a_result_is_for_one_build_and_one_machine(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(tiny, tune=True)
    keys = {_tuning.look_up(options).place}
    monkeypatch.setattr(_doctor, "build_key", lambda _: "another")
    keys.add(_tuning.look_up(options).place)
    monkeypatch.setattr(_tuning, "_machine", lambda: {"cores": 1000})
    keys.add(_tuning.look_up(options).place)
    assert len(keys) == 3


def test_more_time_than_was_granted_measures_what_was_left_out(tiny: Path) -> None:
    def budget_s(tune: bool | float) -> float:
        return _tuning.look_up(options_of(tiny, tune=tune)).options.numbers["tune_s"]

    _tuning.look_up(options_of(tiny, tune=True)).keep(measured(unmeasured={"n_ubatch": "no time left"}))
    assert budget_s(True) == 0
    assert budget_s(1.5) == 0
    assert budget_s(10) == 10
    _tuning.look_up(options_of(tiny, tune=10)).keep(measured(budget_s=10))
    assert budget_s(20) == 0  # there is nothing else to know


def test_a_busy_time_does_not_count_for_long(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(tiny, tune=True)
    _tuning.look_up(options).keep(measured(busy=True))
    assert _tuning.look_up(options).options.numbers["tune_s"] == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    assert _tuning.look_up(options).options.numbers["tune_s"] == -1


def test_what_was_broken_off_is_not_kept(tiny: Path, cache: Path) -> None:
    tuned = _tuning.look_up(options_of(tiny, tune=True))
    for nothing in ({}, measured(stopped="closed")):
        tuned.keep(nothing)
        assert tuned.known(nothing).options.numbers.get("tune_s", -1) == -1
    assert not files(cache)


_WRONG: dict[str, Any] = {
    "no JSON": "{",
    "no text": b"\xff\xfe\0",
    "nothing": "",
    "no object": "[1, 2]",
    "nested": "[" * 100_000,
    "another format": {"format": 2},
    "no choice": {"measured": measured(chosen=None)},
    "an unknown setting": {"measured": measured(chosen={"n_ctx": 5})},
    "a wrong value": {"measured": measured(chosen={"n_threads": 100_000})},
    "text for a value": {"measured": measured(chosen={"n_threads": "2"})},
    "truth for a value": {"measured": measured(chosen={"kv_unified": True})},
    "no time": {"when": None},
    "no number": {"when": float("nan")},
    "wrong comparisons": {"measured": measured(measured=[{"setting": "poll"}])},
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_damage_is_as_nothing(tiny: Path, cache: Path, wrong: str) -> None:
    options = options_of(tiny, tune=True)
    _tuning.look_up(options).keep(measured())
    (path,) = files(cache)
    assert _tuning.look_up(options).options.numbers["tune_s"] == 0
    damage = _WRONG[wrong]
    if isinstance(damage, dict):
        damage = json.dumps(json.loads(path.read_text()) | damage)
    path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    assert _tuning.look_up(options).options.numbers["tune_s"] == -1
    assert _tuning.report()["kept"] == []
    _tuning.look_up(options).keep(measured())
    assert _tuning.look_up(options).options.numbers["tune_s"] == 0


def test_several_writers_leave_a_whole_file(tiny: Path, cache: Path) -> None:
    options = options_of(tiny, tune=True)
    tuned = _tuning.look_up(options)
    tuned.keep(measured())
    over = threading.Event()
    seen: list[float] = []

    def write() -> None:
        for _ in range(50):
            tuned.keep(measured())

    def read() -> None:
        while not over.is_set():
            seen.append(_tuning.look_up(options).options.numbers["tune_s"])

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(3)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert set(seen) == {0}
    assert list(cache.iterdir()) == [tuned.place]


def test_the_oldest_results_go(tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tuning, "_FILES_MAX", 3)
    for n_ctx in range(256, 262):
        _tuning.look_up(options_of(tiny, n_ctx=n_ctx, tune=True)).keep(measured())
    assert len(files(cache)) == 3
    assert _tuning.look_up(options_of(tiny, n_ctx=261, tune=True)).options.numbers["tune_s"] == 0


def test_missing_model_is_left_to_the_loader(tmp_path: Path) -> None:
    tuned = _tuning.look_up(options_of(tmp_path / "none.gguf", tune=True))
    assert tuned.place is None
    tuned.keep(measured())
    assert _tuning.report()["kept"] == []


# -- options and doctor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 3601, "yes", float("nan"), float("inf")])
def test_wrong_option_is_refused(tiny: Path, wrong: Any) -> None:
    with pytest.raises(OptionError, match="tune"):
        AsyncLlama(tiny, tune=wrong)


def test_poll_has_bounds(tiny: Path) -> None:
    with pytest.raises(OptionError, match="poll"):
        AsyncLlama(tiny, poll=101)


@pytest.mark.parametrize("wrong", ["-1", "nan", "often", "4000"])
async def test_wrong_variable_is_refused(
    anyio_backend: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("LLAMA_ASYNC_TUNE", wrong)
    with pytest.raises(OptionError, match="LLAMA_ASYNC_TUNE"):
        await AsyncLlama(tiny).load()


def test_one_of_several_models_may_be_left_out(tiny: Path) -> None:
    defaults = {"tune": True} | dict.fromkeys(
        (
            "split_mode",
            "flash_attention",
            "tensor_split",
            "devices",
            "type_k",
            "type_v",
            "chat_template",
            "check_tensors",
        )
    )
    assert model_options("models['a']", {"path": tiny, "tune": False}, defaults).numbers["tune_s"] == 0
    assert model_options("models['b']", {"path": tiny}, defaults).numbers["tune_s"] == -1


def test_doctor_shows_what_was_measured_and_chosen(tiny: Path, cache: Path) -> None:
    facts = {"override": "", "dir": str(cache), "kept": []}
    assert list(_tuning.rows(facts)) == [("tuning", f"on; 0 results in {cache}")]
    _tuning.look_up(options_of(tiny, n_ctx=512, tune=True)).keep(
        measured(unmeasured={"poll": "no time left"}, busy=True)
    )
    shown = "\n".join(f"{name} {text}" for name, text in _tuning.rows(_tuning.report()))
    for text in (
        "tuning off (LLAMA_ASYNC_TUNE); 1 result in",
        f"{tiny.name} (n_ctx 512): 0.5 s, on a busy machine",
        "flash_attention off: llama.cpp's choice 250.0 ms, off 120.0 ms for a request",
        "not measured: poll (no time left)",
    ):
        assert text in shown
    _tuning.look_up(options_of(tiny, tune=True)).keep(measured())
    assert any("(default options)" in text for _, text in _tuning.rows(_tuning.report()))
    for n_ctx in range(256, 263):
        _tuning.look_up(options_of(tiny, n_ctx=n_ctx, tune=True)).keep(measured())
    assert list(_tuning.rows(_tuning.report()))[-1] == ("", "and 4 more (--json has all)")
