"""The public surface is what `__all__` says, and importing it is cheap."""

from __future__ import annotations

import importlib
import json

from support import run_child

import llama_async

SURFACE = """
NOT_GIVEN APIConnectionError APIError APIResponseValidationError APIStatusError APITimeoutError AsyncClient AsyncLlama
AsyncStream AuthenticationError BadRequestError BaseModel Client ClientClosedError ConflictError
ContentFilterFinishReasonError DownloadError EventLoopError ForkedError InternalServerError LengthFinishReasonError
Llama ModelLoadError ModelStats NoneType NotFoundError NotGiven Omit OpenAIError OptionError PermissionDeniedError
RateLimitError StoreError Stream StreamClosedError Timeout
UnprocessableEntityError __version__ not_given omit types
""".split()


def test_surface() -> None:
    assert sorted(llama_async.__all__) == sorted(SURFACE)
    assert len(set(llama_async.__all__)) == len(llama_async.__all__)


def test_every_name_exists_and_is_listed_by_dir() -> None:
    for name in llama_async.__all__:
        assert getattr(llama_async, name) is not None
        assert name in dir(llama_async)


def test_star_import_gives_all() -> None:
    namespace: dict[str, object] = {}
    exec("from llama_async import *", namespace)
    assert set(llama_async.__all__) <= set(namespace)


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(llama_async, "no_such_name")


def test_timeout_is_httpx_timeout() -> None:
    assert llama_async.Timeout is importlib.import_module("httpx").Timeout


def _in_child(code: str) -> str:
    child = run_child(code)
    assert child.returncode == 0, child.stderr
    return child.stdout


def _seconds(statement: str) -> float:
    # The least of several: the machine may be busy, the import cannot be faster than it is.
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return min(float(_in_child(code)) for _ in range(7))


def test_import_takes_at_most_150_ms() -> None:
    assert _seconds("import llama_async") < 0.150


def test_the_client_costs_little_more_than_what_it_stands_on() -> None:
    foundation = _seconds("import asyncio, anyio, pydantic; pydantic.BaseModel")
    assert _seconds("from llama_async import AsyncLlama") < 0.150 + foundation


def test_import_leaves_the_heavy_things_alone() -> None:
    code = "import sys, json, llama_async; llama_async.AsyncLlama; print(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(_in_child(code)))
    assert not modules & {"httpx", "openai", "jinja2", "trio", "uvloop"}
    # The compiler of schemas: 15 to 40 ms that a program without schemas need not pay.
    assert not {name for name in modules if name.startswith("llama_async._grammar.")} - {"llama_async._grammar.known"}
