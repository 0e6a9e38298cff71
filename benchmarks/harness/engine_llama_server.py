"""llama.cpp's own server, which LLAMA_SERVER names: a process of its own, asked as ours is."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from .bare_client import BareClient
from .figures import sha256, usable_cores

if TYPE_CHECKING:
    from .workloads import Shape

LOAD_TIMEOUT_S = 120


def _program() -> str:
    return os.environ["LLAMA_SERVER"]


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    return port


async def _is_ready(address: tuple[str, int]) -> bool:
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    reply = await reader.read()
    writer.close()
    return reply.startswith(b"HTTP/1.1 200 ")


@asynccontextmanager
async def open_engine(model: str, shape: Shape, n_threads: int | None, _: dict[str, Any]) -> AsyncIterator[BareClient]:
    address = ("127.0.0.1", _free_port())
    options = {
        "--model": model, "--host": address[0], "--port": address[1], "--parallel": shape.n_parallel,
        "--ctx-size": shape.n_parallel * shape.n_ctx, "--threads": n_threads or usable_cores(),
    }  # fmt: skip
    arguments = [str(word) for pair in options.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        _program(), *arguments, "--no-kv-unified", "--log-disable", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with anyio.fail_after(LOAD_TIMEOUT_S):
            while not await _is_ready(address):
                if process.returncode is not None:
                    raise RuntimeError(f"{_program()} ended with {process.returncode}")
                await asyncio.sleep(0.05)
        with closing(BareClient(address)) as client:
            yield client
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def facts() -> dict[str, object]:
    shown = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True)
    return {"version": (shown.stdout + shown.stderr).strip(), "sha256": sha256(Path(_program()))}
