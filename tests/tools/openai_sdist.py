"""The pinned openai's own tests, from its source distribution.

Only the tests of resources that exist here are unpacked, without the configuration that starts clients over sockets.
"""

from __future__ import annotations

from pathlib import Path

from .sdists import SourceDistribution

__all__ = ["MODULES", "openai_tests"]

MODULES = (
    "tests/api_resources/chat/completions/test_messages.py",
    "tests/api_resources/chat/test_completions.py",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_embeddings.py",
    "tests/api_resources/test_models.py",
)
_PACKAGES = {parent.as_posix() for module in MODULES for parent in Path(module).parents if parent.name}
_MEMBERS = frozenset({*MODULES, "tests/utils.py", *(f"{package}/__init__.py" for package in _PACKAGES)})

_OPENAI = SourceDistribution(
    "openai",
    "3.54.0",
    "2e393e63f8a38be6452806f9ef0b6534fecd6d41ab3b2165180dfce3599249cd",
    _MEMBERS.__contains__,
)


def openai_tests() -> Path:
    """Return the directory that holds the package `tests`; fetched first if need be."""
    directory = _OPENAI.unpacked()
    missing = [path for path in sorted(_MEMBERS) if not (directory / path).is_file()]
    assert not missing, missing
    return directory
