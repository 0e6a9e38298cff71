"""The official JSON-Schema-Test-Suite, draft 2020-12, as the pinned jsonschema's source distribution carries it.

Each case is a schema with values that are said to satisfy it or not. Formats are assertions here, as they are for us.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .sdists import SourceDistribution

__all__ = ["Case", "cases"]

_DIRECTORY = "json/tests/draft2020-12/"

_JSONSCHEMA = SourceDistribution(
    "jsonschema",
    "4.26.0",
    "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326",
    lambda path: path.startswith(_DIRECTORY) and path.endswith(".json"),
)


@dataclass(frozen=True)
class Case:
    """One schema of the suite.

    Attributes:
        name: File and description.
        schema: The schema.
        values: Values, and whether they satisfy it.
    """

    name: str
    schema: Any
    values: tuple[tuple[Any, bool], ...]


def cases() -> list[Case]:
    """Return every schema once; the suite is fetched first if need be."""
    directory = _JSONSCHEMA.unpacked() / _DIRECTORY
    by_text: dict[str, Case] = {}
    for path in sorted(directory.rglob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            values = tuple((test["data"], test["valid"]) for test in group["tests"])
            # Whether a format is checked is the reader's choice; here it is, so its own files tell what is valid.
            if path.name in ("format.json", "content.json"):
                values = ()
            text = json.dumps(group["schema"], sort_keys=True)
            name = f"{path.relative_to(directory).with_suffix('').as_posix()}: {group['description']}"
            known = by_text.setdefault(text, Case(name, group["schema"], ()))
            by_text[text] = Case(known.name, known.schema, known.values + values)
    return list(by_text.values())
