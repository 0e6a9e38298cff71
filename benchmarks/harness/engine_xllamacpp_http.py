"""xllamacpp's listener, llama.cpp's server, in a process of the interpreter that XLLAMACPP_PYTHON names."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from .bare_client import BareClient
from .figures import usable_cores

if TYPE_CHECKING:
    from .workloads import Shape

PROGRAM = """
import json, sys, xllamacpp
options = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = options["model"]
params.n_parallel = options["n_parallel"]
params.n_ctx = options["n_ctx"]
params.kv_unified = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["n_threads"]
params.verbosity = -1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def _python() -> str:
    return os.environ["XLLAMACPP_PYTHON"]


@asynccontextmanager
async def open_engine(model: str, shape: Shape, n_threads: int | None, _: dict[str, Any]) -> AsyncIterator[BareClient]:
    options = {
        "model": model, "n_parallel": shape.n_parallel, "n_ctx": shape.n_parallel * shape.n_ctx,
        "n_threads": n_threads or usable_cores(),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        _python(),
        "-c",
        PROGRAM,
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if line.startswith(b"http://"):
                break
        host, _, port = line.decode().strip().removeprefix("http://").rpartition(":")
        with closing(BareClient((host, int(port)))) as client:
            yield client
    finally:
        # Its threads may keep it from ending in order.
        if process.returncode is None:
            process.kill()
            await process.wait()


def facts() -> dict[str, object]:
    code = "import xllamacpp as x; print(x.__version__, x.BUILD_INFO, x.get_system_info().strip())"
    shown = subprocess.run([_python(), "-c", code], capture_output=True, text=True, check=True)
    return {"version": shown.stdout.strip()}
