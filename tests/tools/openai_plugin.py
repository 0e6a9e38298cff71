"""A pytest plugin that gives openai's own tests clients of ours, and reports each outcome as a line of JSON.

Stands in for their conftest. Loaded into the process that runs them with `-p anyio -p openai_plugin`, in this order, so
that our `anyio_backend` comes after anyio's own. The model is named by `LLAMA_ASYNC_OPENAI_TESTS_MODEL`, the report's
file by `LLAMA_ASYNC_OPENAI_TESTS_REPORT`.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from llama_async import AsyncLlama, Llama
from llama_async._http import HTTPReply, HTTPRequest, Router
from llama_async.types.chat import ChatCompletion

# Their tools import it for one function, which no test that we run calls.
sys.modules.setdefault("rich", types.ModuleType("rich"))

# An answer ends with the context at the latest, and a random model's no earlier.
_OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "n_threads": 1, "alias": "*"}


# What the tests expect to be stored: the completions that they name. openai's type of a stored message knows only the
# role of an assistant.
_STORED_IDS = ("completion_id", "after")
_MESSAGE: Any = {"role": "assistant", "content": "string", "refusal": None}

_last_request: list[str] = []


def pytest_configure() -> None:
    handle = Router.handle

    async def remembered(self: Router, request: HTTPRequest) -> HTTPReply:
        _last_request[:] = [request.path, request.body.decode()]
        return await handle(self, request)

    Router.handle = remembered  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.anyio)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    report = outcome.get_result()
    if report.when != "call" and report.outcome == "passed":
        return
    error = None if call.excinfo is None else f"{call.excinfo.type.__name__}: {call.excinfo.value}"
    line = {"test": report.nodeid, "outcome": report.outcome, "error": error, "request": _last_request}
    with Path(os.environ["LLAMA_ASYNC_OPENAI_TESTS_REPORT"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture(scope="session")
def anyio_backend() -> Any:
    return ("asyncio", {})


def _put(client: AsyncLlama, completion: ChatCompletion) -> None:
    for completion_id in _STORED_IDS:
        assert client._store is not None
        client._store.put(completion.model_copy(update={"id": completion_id}), [_MESSAGE], {})


# One client for each test: a name that was deleted stays unknown.


@pytest.fixture
async def async_client(anyio_backend: Any, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    async with AsyncLlama(os.environ["LLAMA_ASYNC_OPENAI_TESTS_MODEL"], **_OPTIONS) as client:
        _put(client, await client.chat.completions.create(model="default", messages=[_MESSAGE], max_tokens=1))
        yield client.as_openai().copy(_extra_kwargs={"_strict_response_validation": _is_strict(request)})


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    with Llama(os.environ["LLAMA_ASYNC_OPENAI_TESTS_MODEL"], **_OPTIONS) as client:
        _put(client._wrapped, client.chat.completions.create(model="default", messages=[_MESSAGE], max_tokens=1))
        yield client.as_openai().copy(_extra_kwargs={"_strict_response_validation": _is_strict(request)})


def _is_strict(request: pytest.FixtureRequest) -> bool:
    parameter = getattr(request, "param", True)
    # Their third variant has another HTTP library under it, which makes no difference here.
    return bool(parameter.get("strict", True) if isinstance(parameter, dict) else parameter)
