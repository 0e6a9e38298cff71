"""`llama-async chat`: a conversation at the terminal. An interrupt ends the answer, not the program."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from llama_async._errors import OpenAIError

from .line_input import LineInput
from .session import Pace, begin
from .terminal import answers, escaped, messages, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from llama_async import Llama

__all__ = ["COMMANDS", "Chat"]

COMMANDS = {
    "/help": "what can be typed",
    "/system": "/system TEXT sets instructions and begins anew; alone: shows them",
    "/reset": "forget the conversation, keep the instructions",
    "/retry": "answer the last message once more",
    "/save": "/save FILE writes the conversation: .json, or else Markdown",
    "/exit": "leave, as Ctrl-D does",
}
_HELP = """\
Enter sends, Alt-Enter or Ctrl-J begins a new line.
\"\"\" begins and ends a message of several lines.
Ctrl-C ends an answer, or clears what is typed.
A message that begins with / needs a blank before it."""


class Chat:
    """A conversation, and the loop around it.

    Args:
        client: Who answers.
        parameters: Of each request.
        system: Instructions.
        markdown: Whether answers are shown as Markdown.
        history: Where what is typed is remembered; `None`: nowhere.
    """

    def __init__(
        self,
        client: Llama,
        *,
        parameters: dict[str, Any],
        system: str | None,
        markdown: bool,
        history: Path | None,
    ) -> None:
        self._client = client
        self._parameters = parameters
        self._system = system
        self._markdown = markdown
        self._turns: list[dict[str, str]] = []
        self._input = LineInput(history, COMMANDS)
        self._is_terminal = sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def conversation(self) -> list[dict[str, str]]:
        """The messages, instructions first."""
        return ([{"role": "system", "content": self._system}] if self._system else []) + self._turns

    def run(self) -> None:
        """Read and answer until the end of the input, or `/exit`."""
        if self._is_terminal:
            name = self._client.models.list().data[0].id
            answers().print(f"[bold]{escaped(name)}[/]  [dim]/help says what can be typed[/]\n")
        while True:
            try:
                text = self._input.read()
            except KeyboardInterrupt:
                # What was typed is gone; a second hint would be noise.
                continue
            except EOFError:
                return
            if text.startswith("/"):
                if not self._obey(text.strip()):
                    return
            elif text.strip():
                self._ask(text.strip())

    # -- commands

    def _obey(self, line: str) -> bool:
        """Do what a command says; returns whether to go on."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name in {"/exit", "/quit", "/bye"}:
            return False
        actions: dict[str, Callable[[str], None]] = {
            "/help": self._help,
            "/system": self._set_system,
            "/reset": self._reset,
            "/retry": self._retry,
            "/save": self._save,
        }
        action = actions.get(name)
        if action is None:
            self._say(f"there is no command {name}; /help lists them")
        else:
            action(rest)
        return True

    def _help(self, _: str) -> None:
        for name, meaning in COMMANDS.items():
            answers().print(f"  [bold]{name:8}[/] {escaped(meaning)}", soft_wrap=True)
        answers().print(escaped(_HELP), style="dim", soft_wrap=True)

    def _set_system(self, text: str) -> None:
        if not text:
            self._say(self._system or "there are no instructions")
            return
        self._system = text
        self._turns = []
        self._say("the conversation begins anew with these instructions")

    def _reset(self, _: str) -> None:
        self._turns = []
        self._say("the conversation begins anew")

    def _retry(self, _: str) -> None:
        if self._turns and self._turns[-1]["role"] == "assistant":
            self._turns.pop()
        if not self._turns:
            self._say("nothing was asked yet")
            return
        self._ask(self._turns.pop()["content"])

    def _save(self, name: str) -> None:
        if not name:
            self._say("/save needs a file's name")
            return
        path = Path(name).expanduser()
        text = _as_json(self.conversation) if path.suffix == ".json" else _as_markdown(self.conversation)
        try:
            path.write_text(text, "utf-8")
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}")
        else:
            n = len(self.conversation)
            self._say(f"{n} message{'s' * (n != 1)} saved to {path}")

    # -- answers

    def _ask(self, text: str) -> None:
        self._turns.append({"role": "user", "content": text})
        pieces: list[str] = []
        pace = Pace()
        try:
            note = self._stream(pieces, pace)
        except KeyboardInterrupt:
            note = "interrupted"
        except OpenAIError as error:
            # The question goes too: it could not be answered then, and would be in the way later.
            self._turns.pop()
            hint = "; /reset makes room" if getattr(error, "code", None) == "context_length_exceeded" else ""
            messages().print(f"[bold red]error:[/] {escaped(str(error))}{hint}", soft_wrap=True)
            return
        if pieces:
            self._turns.append({"role": "assistant", "content": "".join(pieces)})
        else:
            self._turns.pop()
        if self._is_terminal:
            footer = " · ".join(filter(None, [str(pace), note]))
            answers().print(f"[dim]{escaped(footer)}[/]\n")

    def _stream(self, pieces: list[str], pace: Pace) -> str | None:
        """Show an answer while it comes; returns what is to be said about its end."""
        stream = begin(self._client, self.conversation, self._parameters)
        finish_reason = None
        thoughts = _Thoughts(is_shown=self._is_terminal)
        try:
            with self._output() as output, thoughts:
                for chunk in stream:
                    pace.note(chunk)
                    for choice in chunk.choices:
                        finish_reason = choice.finish_reason or finish_reason
                        # An answer that has begun owns the screen.
                        if not pieces:
                            thoughts.feed(getattr(choice.delta, "reasoning_content", None))
                        if choice.delta.content:
                            thoughts.end()
                            pieces.append(choice.delta.content)
                            output.feed(choice.delta.content)
        finally:
            stream.close()
        return "cut: max-tokens or the context is used up" if finish_reason == "length" else None

    def _output(self) -> Any:
        if self._is_terminal and self._markdown:
            from .markdown import MarkdownStream

            return MarkdownStream(answers())
        return _Plain(is_terminal=self._is_terminal)

    def _say(self, text: str) -> None:
        messages().print(escaped(text), style="dim", soft_wrap=True)


class _Thoughts(nullcontext[Any]):
    """What a model thinks before it answers: dim, and apart from the answer."""

    def __init__(self, *, is_shown: bool) -> None:
        super().__init__()
        self._is_shown = is_shown
        self._is_open = False

    def __exit__(self, *_: object) -> None:
        self.end()

    def feed(self, text: str | None) -> None:
        if text and self._is_shown:
            self._is_open = True
            answers().print(escaped(text), end="", style="dim italic", soft_wrap=True)

    def end(self) -> None:
        if self._is_open:
            self._is_open = False
            answers().print("\n")


class _Plain(nullcontext[Any]):
    """Text as it comes."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._shown = visible if is_terminal else str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        print(flush=True)

    def feed(self, text: str) -> None:
        sys.stdout.write(self._shown(text))
        sys.stdout.flush()


def _as_json(conversation: list[dict[str, str]]) -> str:
    return json.dumps({"messages": conversation}, indent=2, ensure_ascii=False) + "\n"


def _as_markdown(conversation: list[dict[str, str]]) -> str:
    return "\n\n".join(f"## {turn['role']}\n\n{turn['content']}" for turn in conversation) + "\n"
