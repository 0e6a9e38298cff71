"""llama-async over HTTP: a server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bare_client import BareClient
from .engine_ours import facts

if TYPE_CHECKING:
    from .workloads import Shape

__all__ = ["facts", "open_engine"]

PROGRAM = """
import json, sys
from llama_async.server import ServerSettings, run
run(ServerSettings(**json.loads(sys.argv[1])), on_ready=lambda url: print(url, flush=True))
"""


@asynccontextmanager
async def open_engine(
    model: str, shape: Shape, n_threads: int | None, settings: dict[str, Any]
) -> AsyncIterator[BareClient]:
    options = {
        "model": model, "port": 0, "n_parallel": shape.n_parallel, "n_ctx": shape.n_ctx, "n_threads": n_threads,
        "store": None, "access_log": False, **settings,
    }  # fmt: skip
    # Here, since the source tree has no extension.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, json.dumps(options), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        host, _, port = url.removeprefix("http://").rpartition(":")
        with closing(BareClient((host, int(port)), process.pid)) as client:
            yield client
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
