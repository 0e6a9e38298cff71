"""The command line: `python -m llama_async`, also as `llama-async`.

The commands are those of `cli`, where its extra is installed; without it, `doctor` and `demo`. Nothing is imported
before the command is known.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ._commands import QUESTION, demo, doctor

__all__ = ["main", "without_extra"]

# What needs the extra `cli`.
_OTHERS = ("bench", "chat", "models", "pull", "run", "serve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 if it failed, 2 if it was called wrongly, 130 if interrupted."""
    if all(find_spec(name) is not None for name in ("typer", "rich", "prompt_toolkit")):
        from .cli.app import main as run

        return run(arguments)
    return without_extra(sys.argv[1:] if arguments is None else arguments)


def without_extra(arguments: Sequence[str]) -> int:
    """Run one of the commands that need nothing else installed."""
    if arguments and arguments[0] in _OTHERS:
        print(f"llama-async {arguments[0]} needs: pip install 'llama-async[cli]'", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(
        prog="llama-async",
        description="local models behind the async openai client API",
        epilog=f"with `pip install 'llama-async[cli]'` also: {', '.join(_OTHERS)}",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    about = commands.add_parser("doctor", help="what was built, what this machine offers, and a self-test")
    about.add_argument("--json", action="store_true", help="print one JSON object")
    answer = commands.add_parser("demo", help="stream an answer of the default model (98 MB, fetched once)")
    answer.add_argument("question", nargs="?", default=QUESTION)
    answer.add_argument("--model", help="a GGUF file; default: SmolLM2-135M-Instruct")
    answer.add_argument("--max-tokens", type=int, default=200)
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return doctor(as_json=options.json)
    return demo(options.question, options.model, options.max_tokens)


if __name__ == "__main__":
    sys.exit(main())
