"""Every example runs, on the default model, in an interpreter of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).resolve().parent.parent / "examples"

EXPECTED = {
    "agent.py": ("turn 0: 3 calls", "get_population: The population of Paris", "reports Report(weather='sunny"),
    "cancellation.py": ("closed after", "left the block", "timed out", "cancelled", "and the engine goes on"),
    "extraction.py": ("Person(name='Maria Schmidt', age=34, city='Berlin', job='doctor')",),
    "hello.py": ("CompletionUsage",),
    "langchain_chat.py": ("whole: ", "streamed: "),
    "low_level.py": (),
    "openai_agents.py": ("whole: ", "streamed: "),
    "pydantic_ai_agent.py": ("whole: ", "streamed: "),
    "sixteen.py": ("ant:", "pig:", "tokens"),
    "streaming.py": ("tokens in",),
    "streaming_form.py": ("name         Maria Schmidt", "done: Form(name='Maria Schmidt', age=34, city='Berlin'"),
    "weather_tool.py": (
        "calls GetWeather: GetWeather(city='Paris'",
        "answers: The weather in Paris is sunny, 21 degrees",
    ),
}

# What an example needs beside the package: the group `integrations`.
NEEDS = {"langchain_chat.py": "langchain_openai", "openai_agents.py": "agents", "pydantic_ai_agent.py": "pydantic_ai"}


def test_every_example_is_here() -> None:
    assert sorted(path.name for path in DIRECTORY.glob("*.py")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example_runs(name: str, model_path: Path, tmp_path: Path) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    child = subprocess.run(
        [sys.executable, "-W", "error", str(DIRECTORY / name), str(model_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout
    for text in EXPECTED[name]:
        assert text in child.stdout
