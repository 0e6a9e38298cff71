"""`from_pretrained`: a client of a model that is fetched first, on every event loop and blocking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from filelock import FileLock, Timeout
from hub_server import HubServer, Repository, forget_environment
from support import CLIENT_OPTIONS, SHORT, until

from llama_async import AsyncLlama, DownloadError, Llama, OptionError

REPO = "owner/SmolLM2-GGUF"
FILE = "SmolLM2-135M-Q4_1.gguf"


@pytest.fixture
def server(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    forget_environment(monkeypatch)
    server = HubServer()
    server.repositories[REPO] = Repository({FILE: model_path.read_bytes(), "tiny-Q8_0.gguf": b"GGUF" + bytes(9999)})
    server.start()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    yield server
    server.stop()


@pytest.mark.anyio
async def test_entered(anyio_backend: Any, server: HubServer) -> None:
    reports: list[tuple[int, int | None]] = []

    def on_download(done: int, total: int | None) -> None:
        reports.append((done, total))

    async with AsyncLlama.from_pretrained(REPO, "*Q4_1.gguf", on_download=on_download, **CLIENT_OPTIONS) as client:
        answer = await client.chat.completions.create(**{**SHORT, "model": "SmolLM2-135M-Q4_1"})
    assert answer.choices[0].message.content
    size = len(server.repositories[REPO].files[FILE])
    assert reports[0] == (0, size)
    assert reports[-1] == (size, size)


@pytest.mark.anyio
async def test_awaited_and_not_there(anyio_backend: Any, server: HubServer) -> None:
    with pytest.raises(DownloadError, match=r"nothing fits '\*Q2\*'; there is: SmolLM2-135M-Q4_1.gguf, tiny"):
        await AsyncLlama.from_pretrained(REPO, "*Q2*")
    with pytest.raises(OptionError, match="repo_id"):
        await AsyncLlama.from_pretrained("no repository")
    client = await AsyncLlama.from_pretrained(f"{REPO}:Q8_0", n_ctx=64)
    assert "tiny-Q8_0" in repr(client)
    await client.close()


@pytest.mark.anyio
async def test_cancelling_ends_the_transfer(anyio_backend: Any, server: HubServer, tmp_path: Path) -> None:
    server.holds_at = 4_000_000
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(AsyncLlama.from_pretrained(REPO, FILE).__aenter__)
        await until(server.is_held.is_set)
        tasks.cancel_scope.cancel()
    server.go_on.set()
    # Held until the thread has seen it.
    await until(lambda: is_free(tmp_path))
    assert found(tmp_path, FILE) == []
    assert len(found(tmp_path, "*.incomplete")) == 1


def found(directory: Path, pattern: str) -> list[Path]:
    return list(directory.rglob(pattern))


def is_free(directory: Path) -> bool:
    (lock,) = found(directory, "*.lock")
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def test_blocking(server: HubServer) -> None:
    with Llama.from_pretrained(f"hf://{REPO}", filename=FILE, **CLIENT_OPTIONS) as client:
        answer = client.chat.completions.create(**SHORT)
    assert answer.choices[0].message.content
    with Llama.from_pretrained(REPO, FILE, local_files_only=True, **CLIENT_OPTIONS) as client:
        assert client.models.list().data[0].id == "SmolLM2-135M-Q4_1"
