"""openai's own tests of these resources, run over `as_openai()` with `alias="*"` on a random model.

They were written for a server that answers anything. What a real engine must refuse is listed here with the reason; all
else passes, and what is listed and passes fails.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tools.openai_sdist import MODULES, openai_tests
from tools.tiny_models import tiny_llama

from llama_async import AsyncLlama
from llama_async._http import HTTPRequest, Router

TOOLS = Path(__file__).resolve().parent / "tools"

_BAD_REQUEST, _NOT_FOUND = "BadRequestError: Error code: 400 - ", "NotFoundError: Error code: 404 - "


@dataclass(frozen=True)
class Refused:
    """Why a test must fail.

    Attributes:
        error: How the error begins that fails it.
        parameters: What the request holds that no engine can do, each with the reason; without them it is answered.
        reason: Why it fails, where that is no parameter.
        variants: Which variants of the test fail, if not all.
    """

    error: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    variants: tuple[str, ...] = ("loose", "strict", "aiohttp")


_CHAT = Refused(
    _BAD_REQUEST,
    {
        "audio": "there is no audio output",
        "functions": "the older form of tools, which are given too",
        "logit_bias": "`foo` is no token",
        "max_completion_tokens": "0 is no answer",
        "max_tokens": "0 is no answer",
        "moderation": "there is no moderation model",
        "tools": "its strict schema has the keyword `foo`, which is none",
        "verbosity": "a prompt of the hosted models",
        "web_search_options": "there is no web search",
    },
)
_LEGACY = Refused(
    _BAD_REQUEST,
    {
        "best_of": "0 candidates are none",
        "logit_bias": "`foo` is no token",
        "suffix": "the model cannot fill in the middle",
    },
)
_NO_STREAM = {"stream_options": "options of a stream, and there is none"}
# openai's client asks for base64 and decodes it after validating the reply, by a type that knows numbers alone.
_BASE64 = Refused(
    "APIResponseValidationError",
    reason="the strict client validates base64, which it asked for, as numbers",
    variants=("strict", "aiohttp"),
)
REFUSED: dict[str, Refused] = {
    "chat/completions/test_messages.py::test_method_list_with_all_params": Refused(
        _NOT_FOUND, reason="`after` names a message, and no message is called that"
    ),
    "chat/test_completions.py::test_method_create_with_all_params_overload_1": replace(
        _CHAT, parameters={**_CHAT.parameters, **_NO_STREAM}
    ),
    "chat/test_completions.py::test_method_create_with_all_params_overload_2": _CHAT,
    "test_completions.py::test_method_create_with_all_params_overload_1": replace(
        _LEGACY, parameters={**_LEGACY.parameters, **_NO_STREAM}
    ),
    "test_completions.py::test_method_create_with_all_params_overload_2": _LEGACY,
    "test_embeddings.py::test_method_create": _BASE64,
    "test_embeddings.py::test_raw_response_create": _BASE64,
    "test_embeddings.py::test_streaming_response_create": _BASE64,
}


def short(test: str) -> str:
    """`tests/api_resources/chat/test_x.py::TestAsyncX::test_y[strict]` -> `chat/test_x.py::test_y`."""
    module, _, name = test.removeprefix("tests/api_resources/").split("::")
    return f"{module}::{name.partition('[')[0]}"


def must_fail(test: str) -> bool:
    refused = REFUSED.get(short(test))
    return refused is not None and test.partition("[")[2].rstrip("]") in refused.variants


# Of the session: those tests of the module that have an event loop are run apart from the others.
@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("openai") / "tiny.gguf")


@pytest.fixture(scope="session")
def outcomes(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each test's report."""
    directory, report = openai_tests(), tmp_path_factory.mktemp("report") / "report.jsonl"
    environment = {
        **os.environ,
        "LLAMA_ASYNC_OPENAI_TESTS_MODEL": str(model),
        "LLAMA_ASYNC_OPENAI_TESTS_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(TOOLS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-m", "pytest", "-p", "anyio", "-p", "openai_plugin", "-p", "no:cacheprovider"]
    command += ["--quiet", "--tb=short", "-W", "error", "-c", os.devnull, "--rootdir", str(directory)]
    child = subprocess.run(
        [*command, *MODULES], cwd=directory, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert child.returncode in (0, 1), child.stdout + child.stderr
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    return {line["test"]: line for line in lines}


def test_every_test_ran(outcomes: dict[str, dict[str, Any]]) -> None:
    assert {line["outcome"] for line in outcomes.values()} <= {"passed", "failed"}
    assert {test.partition("::")[0] for test in outcomes} == set(MODULES)
    # 52 tests each for both clients, in 2 variants for the one and 3 for the other.
    assert len(outcomes) == 260


def test_nothing_fails_but_what_is_refused(outcomes: dict[str, dict[str, Any]]) -> None:
    failed = {
        test: line["error"] for test, line in outcomes.items() if line["outcome"] != "passed" and not must_fail(test)
    }
    assert not failed, "\n".join(f"{test}: {error}" for test, error in failed.items())


def test_what_is_refused_is_refused_as_listed(outcomes: dict[str, dict[str, Any]]) -> None:
    listed = {test: line for test, line in outcomes.items() if must_fail(test)}
    for test, line in listed.items():
        assert line["outcome"] == "failed", f"{test} passes: take it off the list"
        assert line["error"].startswith(REFUSED[short(test)].error), f"{test}: {line['error']}"
    assert {short(test) for test in listed} == REFUSED.keys()
    assert all(refused.parameters or refused.reason for refused in REFUSED.values())


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
async def router(anyio_backend: Any, model: Path) -> AsyncIterator[Router]:
    async with AsyncLlama(model, n_ctx=256, n_parallel=2, n_threads=1, alias="*") as client:
        yield Router(client)


@pytest.mark.anyio
@pytest.mark.parametrize("name", [name for name, refused in REFUSED.items() if refused.parameters])
async def test_only_the_listed_parameters_are_refused(
    name: str, outcomes: dict[str, dict[str, Any]], router: Router
) -> None:
    """The same request is answered without them, and for each of them it is refused."""
    path, text = next(line["request"] for test, line in outcomes.items() if short(test) == name)
    body: dict[str, Any] = json.loads(text)
    refused: set[str] = set()
    for _ in range(len(body)):
        reply = await router.handle(HTTPRequest("POST", path, body=json.dumps(body).encode()))
        if not isinstance(reply.body, bytes):
            await reply.body.aclose()
        if reply.status_code == 200:
            break
        assert reply.status_code == 400
        assert isinstance(reply.body, bytes)
        # A place within a parameter blames the parameter.
        parameter = re.split(r"[.\[]", json.loads(reply.body)["error"]["param"])[0]
        assert parameter in body
        del body[parameter]
        refused.add(parameter)
    assert refused == REFUSED[name].parameters.keys()
