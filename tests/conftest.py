"""Fixtures: the default model, a loaded client, and the three event loops every test of the client runs on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

# Test modules are imported by path (import-mode=importlib), so their directory is not on the path by itself.
sys.path.insert(0, str(Path(__file__).parent))

from support import CLIENT_OPTIONS

# Engines measure nothing: hundreds of them are opened, and answers are compared that other kernels would round
# otherwise. Tests of measuring ask for it.
os.environ["LLAMA_ASYNC_TUNE"] = "0"

# A shell's background job ignores interrupts, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model_path() -> Path:
    return default_model_path()


@pytest.fixture(scope="session")
def source() -> Path:
    """The pinned llama.cpp, without fetching it."""
    root = Path(__file__).resolve().parent.parent
    sys.path.insert(0, str(root / "llama.cpp"))
    try:
        import obtain
    finally:
        del sys.path[0]
    cached = obtain.cache_dir() / "llama.cpp" / obtain.pin()[1][:16]
    for candidate in (root / "llama.cpp/source", root / "llama.cpp/carried", cached):
        if obtain.is_source(candidate):
            return Path(candidate)
    pytest.skip(f"llama.cpp's source is not at {cached}")


_ASYNCIO = ("asyncio", {"use_uvloop": False})


@pytest.fixture(
    params=[
        pytest.param(_ASYNCIO, id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
    scope="session",
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
async def shared_client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    """A client for tests that neither close it nor depend on what it is doing; one per event loop."""
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


@pytest.fixture
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    """A client of the test's own."""
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "own_thread: run the test in a thread that has never seen an event loop")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that start loops themselves where none is: the main thread may hold anyio's suspended trio run."""
    if pyfuncitem.get_closest_marker("own_thread") is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with ThreadPoolExecutor(1) as executor:
        executor.submit(pyfuncitem.obj, **arguments).result()
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the other loops of modules that say ONLY_ASYNCIO.

    An `anyio_backend` of a module's own would not do: anyio's plugin keeps a loop while an asynchronous fixture lives
    in it, the session's client for one, and runs every test there, whatever loop the test's `anyio_backend` names.
    """

    def is_wanted(item: pytest.Item) -> bool:
        loop = item.callspec.params.get("anyio_backend") if hasattr(item, "callspec") else None
        return not getattr(getattr(item, "module", None), "ONLY_ASYNCIO", False) or loop in (None, _ASYNCIO)

    items[:] = filter(is_wanted, items)
