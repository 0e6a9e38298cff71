"""docs/compatibility.md says what `_compat` says (that `_compat` covers openai's signature: test_chat_completions)."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_the_table() -> None:
    page = runpy.run_path(str(DOCS / "compatibility.py"))
    assert (DOCS / "compatibility.md").read_text(encoding="utf-8") == page["render"](), (
        "run `python docs/compatibility.py`"
    )
