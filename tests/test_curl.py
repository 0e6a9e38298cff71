"""Plain curl against the server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Running, serving, until
from support import ENDLESS, QUESTION

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")

BODY = {"model": "default", "messages": QUESTION, "max_tokens": 4, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    with serving(model_path) as running:
        yield running


def curl(server: Running, path: str, *options: str, body: Any = None) -> subprocess.CompletedProcess[str]:
    data = [] if body is None else ["-H", "content-type: application/json", "--data-binary", "@-"]
    command = ["curl", "--no-progress-meter", "--noproxy", "*", *data, *options, server.url + path]
    return subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("option", ["--http1.1", "--http1.0", "--compressed"])
def test_an_answer(server: Running, option: str) -> None:
    answer = json.loads(curl(server, "/v1/chat/completions", option, body=BODY).stdout)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("option", ["--http1.1", "--http1.0"])
def test_a_stream(server: Running, option: str) -> None:
    text = curl(server, "/v1/chat/completions", option, "-N", body={**BODY, "stream": True}).stdout
    *events, end, rest = text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    said = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert sum(bool(part) for part in said) > 1


def test_status_and_headers(server: Running) -> None:
    told = curl(server, "/v1/chat/completions", "-w", "\n%{http_code}", body={**BODY, "model": "nobody"}).stdout
    body, _, status = told.rpartition("\n")
    assert (json.loads(body)["error"]["code"], status) == ("model_not_found", "404")
    head = curl(server, "/v1/models", "-I").stdout.lower()
    assert "content-length" in head


def test_a_body_that_waits_to_be_asked_for(server: Running) -> None:
    # Of a long body curl sends the head alone, and the rest when the server says so.
    body = {**BODY, "user": "x" * (2 << 20)}
    told = curl(server, "/v1/chat/completions", "-v", "-H", "expect: 100-continue", body=body)
    assert "100 Continue" in told.stderr
    assert json.loads(told.stdout)["usage"]["completion_tokens"] == 4


def test_leaving_frees_the_slot(server: Running) -> None:
    body = json.dumps({**BODY, "messages": ENDLESS["messages"], "max_tokens": 900, "stream": True})
    command = ["curl", "-sN", "--noproxy", "*", "-d", body, f"{server.url}/v1/chat/completions"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(b"data: ")
        process.kill()
    until(server.is_idle)
