"""openai's package for Node.js and the Vercel AI SDK against the server: tests/node has what they do.

Their packages are installed once into the directory that LLAMA_ASYNC_NODE names; `nox -s node` sees to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Running, serving

TESTS = Path(__file__).parent / "node"
KEY = "sesame"
PLACE = os.environ.get("LLAMA_ASYNC_NODE")
pytestmark = [
    pytest.mark.skipif(not PLACE, reason="needs packages of npm: nox -s node"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def installed() -> Path:
    """A copy of the tests beside the packages they import."""
    assert PLACE
    place = Path(PLACE)
    wanted, present = TESTS / "package-lock.json", place / "installed.json"
    if not present.exists() or present.read_bytes() != wanted.read_bytes():
        place.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy2(TESTS / name, place)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place, check=True)
        shutil.copy2(wanted, present)
    for file in TESTS.glob("*.mjs"):
        shutil.copy2(file, place)
    return place


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    with serving(model_path, api_keys=[KEY]) as running:
        yield running


@pytest.mark.parametrize("name", sorted(file.name for file in TESTS.glob("*.test.mjs")))
def test_node(server: Running, installed: Path, name: str) -> None:
    environment = {**os.environ, "LLAMA_ASYNC_BASE_URL": f"{server.url}/v1", "LLAMA_ASYNC_API_KEY": KEY}
    command = ["node", "--test", "--test-reporter=spec", name]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
