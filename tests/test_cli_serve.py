"""`llama-async serve`: flags become settings, the server answers, and ends in order."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llama_async._errors import OptionError
from llama_async.cli.serving import _parsed

SMALL = ["--threads", "1", "--ctx", "512", "--port", "0"]


@pytest.fixture
def start(model_path: Path, tmp_path: Path) -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **extra: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "llama_async", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "LLAMA_ASYNC_MODEL": str(model_path), **extra},
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        with child:
            pass


def url_of(child: subprocess.Popen[str]) -> str:
    """Where it serves, once it does."""
    assert child.stderr is not None
    said = ""
    for line in child.stderr:
        said += line
        if match := re.match(r"(http://\S+)  the API", line):
            return match[1]
    raise AssertionError(said)


def test_it_serves_the_default_model_until_told_to_stop(start: Any) -> None:
    child = start(*SMALL, "--alias", "gpt-4o-mini", "--api-key", "secret", "--set", "access_log=false")
    url = url_of(child)
    with httpx.Client(base_url=url, headers={"authorization": "Bearer secret"}, timeout=60) as http:
        assert "gpt-4o-mini" in {model["id"] for model in http.get("/v1/models").json()["data"]}
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        assert http.post("/v1/chat/completions", json=body).json()["usage"]["completion_tokens"] <= 2
        assert http.get("/v1/models", headers={"authorization": "Bearer guess"}).status_code == 401
    child.send_signal(signal.SIGTERM)
    output, messages = child.communicate(timeout=60)
    assert (child.returncode, output) == (0, "")
    assert "Traceback" not in messages


def test_flags_win_over_the_environment_and_that_over_the_file(start: Any, model_path: Path, tmp_path: Path) -> None:
    lines = [f'model = "{model_path}"', 'alias = ["file"]', "n_ctx = 256", "port = 1", "n_threads = 1", "docs = false"]
    (tmp_path / "server.toml").write_text("\n".join(lines))
    child = start("--config", "server.toml", "--port", "0", LLAMA_ASYNC_SERVER_ALIAS="environment")
    with httpx.Client(base_url=url_of(child), timeout=60) as http:
        names = {model["id"] for model in http.get("/v1/models").json()["data"]}
        assert {"environment", "file"} & names == {"environment"}
        assert http.get("/docs").status_code == 404
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 0


def test_an_address_that_is_taken(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = start("--port", str(taken.getsockname()[1]), "--threads", "1")
        _, messages = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "an address that can be listened at" in messages
    assert "Traceback" not in messages


def test_settings() -> None:
    given = ["a=1", "b.c=true", "b.d=text", "e=[1, 2]", "f=a=b"]
    assert _parsed(given) == {"a": 1, "b": {"c": True, "d": "text"}, "e": [1, 2], "f": "a=b"}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a.b=2"]])
def test_settings_that_are_none(given: list[str]) -> None:
    with pytest.raises(OptionError, match="set is"):
        _parsed(given)
