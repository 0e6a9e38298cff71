"""Writes docs/compatibility.md from the table that the code obeys: `python docs/compatibility.py`."""

from __future__ import annotations

from pathlib import Path

from llama_async._compat import CLIENT_PARAMETERS, ENDPOINTS, EXTRA_BODY_PARAMETERS

PAGE = Path(__file__).with_suffix(".md")

_HEAD = """\
# Compatibility

What becomes of every parameter of `openai` 3.54.0's methods, and of ours. The tables are written from
`llama_async/_compat.py`, which the code obeys; a test holds page, tables and openai's signatures together.

* **honoured**: it does what openai's documentation says.
* **no effect**: accepted; it cannot change an answer that is computed in this process.
* **rejected**: a BadRequestError names it, unless its value asks for nothing.
* **absent**: a TypeError, as for any unknown name.

Where a request says nothing about sampling, llama.cpp's defaults hold (temperature 0.8, top_k 40, top_p 0.95, min_p
0.05), overridden by what the GGUF recommends. What tools, schemas and thinking guarantee: [tools.md](tools.md).
"""


def render() -> str:
    """Return the page."""
    lines = [_HEAD.rstrip()]
    for endpoint, parameters in ENDPOINTS.items():
        lines += ["", f"## {endpoint}\n", "| parameter | effect | note |", "|---|---|---|"]
        for name, parameter in parameters.items():
            note = parameter.note
            if parameter.neutral:
                values = ", ".join(f"`{_python(value)}`" for value in parameter.neutral)
                note = f"{note}; accepted: {values}"
            lines.append(f"| `{name}` | {parameter.effect.value} | {note} |")
    lines += [
        "",
        "## extra_body\n",
        "An unknown key is a BadRequestError.\n",
        "| key | type | range | endpoints | note |",
        "|---|---|---|---|---|",
    ]
    for name, extra in EXTRA_BODY_PARAMETERS.items():
        bounded = extra.low != float("-inf")
        lines.append(
            f"| `{name}` | {extra.kind if extra.kind != 'other' else ''} |"
            f" {f'{extra.low:g} .. {extra.high:g}' if bounded else ''} |"
            f" {', '.join(endpoint.removesuffix('.create') for endpoint in extra.endpoints if endpoint in ENDPOINTS)} |"
            f" {extra.note} |"
        )
    lines += [
        "",
        "## The client\n",
        "Arguments of `AsyncOpenAI` and of its `copy` and `with_options`. Those of `AsyncLlama` beside them are in its",
        "docstring.\n",
        "| argument | effect | note |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {given.effect.value} | {given.note} |" for name, given in CLIENT_PARAMETERS.items()]
    return "\n".join(lines) + "\n"


def _python(value: object) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
