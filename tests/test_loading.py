"""Loading: progress, once for many, cancellation, and files that cannot be loaded."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import CLIENT_OPTIONS, QUESTION, gather, until

from llama_async import APITimeoutError, AsyncLlama, ModelLoadError, OpenAIError
from llama_async._binding import live_engines

pytestmark = pytest.mark.anyio


async def test_progress_rises_to_one(model_path: Path) -> None:
    fractions: list[float] = []
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, on_progress=fractions.append):
        pass
    assert fractions
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert fractions[-1] == 1


async def test_many_waiters_load_once(model_path: Path) -> None:
    before = len(live_engines())
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)

    async def ask() -> Any:
        return await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)

    results = await gather(*[client.load] * 5, *[ask] * 5)
    assert not [result for result in results if isinstance(result, BaseException)]
    assert len(live_engines()) == before + 1
    await client.close()
    assert len(live_engines()) == before


async def test_loading_is_cancelled_with_its_last_waiter(model_path: Path) -> None:
    progress: list[float] = []
    begun = anyio.Event()

    def on_progress(fraction: float) -> None:
        progress.append(fraction)
        begun.set()

    client = AsyncLlama(model_path, **CLIENT_OPTIONS, on_progress=on_progress)
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await begun.wait()
                scope.cancel()

            tasks.start_soon(cancel)
            await client.load()
    if scope.cancelled_caught:  # it may have been quicker
        assert not client._model.is_open
    assert not client.is_closed()
    # A later call loads anew.
    await client.load()
    assert progress[-1] == 1
    answer = await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
    assert answer.choices
    await client.close()


async def test_a_cancelled_waiter_does_not_stop_the_others(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)

    async def impatient() -> None:
        with anyio.move_on_after(0.01):
            await client.load()

    results = await gather(impatient, client.load, impatient)
    assert results[1] is client
    await client.close()


async def test_a_failing_progress_callback_ends_the_loading(model_path: Path) -> None:
    def on_progress(fraction: float) -> None:
        raise KeyError(fraction)

    client = AsyncLlama(model_path, **CLIENT_OPTIONS, on_progress=on_progress)
    with pytest.raises(KeyError):
        await client.load()
    await client.close()


async def test_loading_counts_towards_the_timeout(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    with pytest.raises(APITimeoutError):
        await client.chat.completions.create(model="default", messages=QUESTION, timeout=0.001)
    await client.close()


def damaged(model_path: Path, directory: Path, kind: str) -> Path:
    path = directory / f"{kind}.gguf"
    data = model_path.read_bytes()
    if kind == "empty":
        data = b""
    elif kind == "not-gguf":
        data = b"This is no model.\n" * 1000
    elif kind == "only-magic":
        data = b"GGUF"
    elif kind == "truncated-header":
        data = data[:1000]
    elif kind == "truncated-tensors":
        data = data[: len(data) // 2]
    elif kind == "old-version":
        data = b"GGUF" + struct.pack("<I", 1) + data[8:]
    elif kind == "huge-counts":
        data = b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + data[24:]
    elif kind == "nan-tensor":
        # Scales of quantized blocks all over the tensor data become NaN (fp16 0x7e00).
        body = bytearray(data)
        start = len(body) // 2
        body[start : start + 4096] = struct.pack("<H", 0x7E00) * 2048
        data = bytes(body)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "not-gguf",
        "only-magic",
        "truncated-header",
        "truncated-tensors",
        "old-version",
        "huge-counts",
        "nan-tensor",
    ],
)
async def test_a_damaged_file_is_a_load_error(model_path: Path, tmp_path: Path, kind: str) -> None:
    path = damaged(model_path, tmp_path, kind)
    client = AsyncLlama(path, **CLIENT_OPTIONS)
    with pytest.raises(ModelLoadError) as caught:
        await client.load()
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OpenAIError)
    with pytest.raises(ModelLoadError):
        await client.chat.completions.create(model="default", messages=QUESTION)
    await client.close()
    path.unlink()


@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable"])
async def test_a_file_that_cannot_be_opened_is_a_load_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    if kind == "directory":
        path.mkdir()
    elif kind == "unreadable":
        path.write_bytes(b"GGUF")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    client = AsyncLlama(path)
    with pytest.raises(ModelLoadError) as caught:
        async with client:
            pass
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    await client.close()


async def test_the_same_client_loads_when_the_file_has_come(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    client = AsyncLlama(path, **CLIENT_OPTIONS)
    with pytest.raises(ModelLoadError):
        await client.load()
    path.symlink_to(model_path)
    await client.load()
    await client.close()


async def test_waiters_of_a_failed_load_all_get_the_error(tmp_path: Path) -> None:
    client = AsyncLlama(tmp_path / "missing.gguf")
    results = await gather(*[client.load] * 5)
    assert [type(result) for result in results] == [ModelLoadError] * 5
    assert len({id(result) for result in results}) == 5
    await client.close()


async def test_a_context_beyond_memory_names_n_ctx(model_path: Path) -> None:
    client = AsyncLlama(model_path, n_ctx=2**31 - 256, n_parallel=256)
    with pytest.raises(OpenAIError) as caught:
        await client.load()
    assert getattr(caught.value, "param", None) == "n_ctx"
    await client.close()


async def test_progress_reaches_a_client_that_is_only_asked(model_path: Path) -> None:
    fractions: list[float] = []
    client = AsyncLlama(model_path, **CLIENT_OPTIONS, on_progress=fractions.append)
    await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
    assert fractions[-1] == 1
    await client.close()
    await until(lambda: not client._model.is_open)
