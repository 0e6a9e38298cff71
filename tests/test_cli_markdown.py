"""Markdown that grows on a terminal ends up as the whole would have been shown, and never as a mess."""

from __future__ import annotations

import io
import random

import pyte
import pytest
from rich.console import Console
from rich.markdown import Markdown

from llama_async.cli import markdown
from llama_async.cli.markdown import MarkdownStream, stable_length

TEXT = """# Title

A paragraph with **bold** words
over two lines.

* one
* two
  * deeper

  and more of two

1. first

2. second

```python
def f():

    return "a blank line is within"
```

| a | b |
|---|---|
| 1 | 2 |

The end.
"""


@pytest.fixture(autouse=True)
def every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "_FRAME_S", 0.0)


def console(height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=60, height=height, color_system=None)


def shown(output: Console, height: int = 24) -> list[str]:
    """The lines of a real terminal's screen, those that scrolled away first."""
    screen = pyte.HistoryScreen(60, height, history=10_000)
    stream = pyte.Stream(screen)
    file = output.file
    assert isinstance(file, io.StringIO)
    stream.feed(file.getvalue().replace("\n", "\r\n"))
    above = ["".join(row[column].data for column in range(60)).rstrip() for row in screen.history.top]
    lines = [*above, *(line.rstrip() for line in screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def streamed(text: str, pieces: list[str], height: int = 24) -> list[str]:
    output = console(height)
    with MarkdownStream(output) as out:
        for piece in pieces:
            out.feed(piece)
    return shown(output, height)


def whole(text: str) -> list[str]:
    output = console()
    output.print(Markdown(text))
    return shown(output)


def words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()]


def pieces_of(text: str, seed: int) -> list[str]:
    chosen = random.Random(seed)
    pieces, at = [], 0
    while at < len(text):
        n = chosen.randint(1, 12)
        pieces.append(text[at : at + n])
        at += n
    return pieces


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("height", [8, 24, 100])
def test_the_end_of_it_is_the_whole(seed: int, height: int) -> None:
    """Blank lines aside, which blocks printed one by one have in other places."""
    assert words(streamed(TEXT, pieces_of(TEXT, seed), height)) == words(whole(TEXT))


def test_a_block_longer_than_the_screen() -> None:
    text = "".join(f"* item {index}\n" for index in range(100))
    assert words(streamed(text, pieces_of(text, 0), height=10)) == words(whole(text))


def test_what_would_steer_the_terminal_is_left_out() -> None:
    assert streamed("", ["red \x1b[31malert\x1b]0;title\x07 \x9bm end"]) == ["red [31malert]0;title m end"]


def test_an_error_in_the_middle_leaves_what_came() -> None:
    output = console()

    def fail() -> None:
        with MarkdownStream(output) as out:
            out.feed("# Title\n\nhalf a sent")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert words(shown(output)) == words(whole("# Title\n\nhalf a sent"))


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("", ""),
        ("one", ""),
        ("one\n\n", ""),
        ("one\n\ntwo", "one\n\n"),
        ("* a\n\n* b\n", ""),
        ("* a\n\nb", "* a\n\n"),
        ("```\none\n\ntwo", ""),
        ("```\none\n```\nafter", "```\none\n```\n"),
        ("a\n\n# b\n\nc", "a\n\n# b\n\n"),
    ],
)
def test_what_can_no_longer_change(text: str, stable: str) -> None:
    assert text[: stable_length(text)] == stable
