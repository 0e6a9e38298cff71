"""Write the committed CFFI declarations from the headers: `nox -s gen`.

Two files come out, one per origin:

* `llama_async.cdef` from `_native/include/llama_async.h`, our own ABI;
* `llama_cpp.cdef` from llama.h, mtmd.h and mtmd-helper.h of the pinned llama.cpp, and the ggml headers they include.

The headers are run through the C preprocessor (`cc -E -dD`); lines from other files are dropped; what pycparser cannot
read is stripped. A macro that is neither a number, a string nor listed in `SKIPPED_MACROS` is an error, so that moving
the pin asks for a decision instead of losing a name.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

LLAMA_CPP_HEADERS = ("llama.h", "mtmd.h", "mtmd-helper.h")
LLAMA_CPP_INCLUDES = ("include", "ggml/include", "tools/mtmd")

# Declared in ggml-cpu.h, defined nowhere: naming it would make the extension unloadable.
UNDEFINED_FUNCTIONS = frozenset({"ggml_threadpool_get_n_threads"})
# Spellings for a C or C++ compiler, without a value.
SKIPPED_MACROS = frozenset(
    {
        "DEPRECATED",
        "GGML_API",
        "GGML_BACKEND_API",
        "GGML_NORETURN",
        "GGML_RESTRICT",
        "GGML_TENSOR_BINARY_OP_LOCALS",
        "GGML_TENSOR_BINARY_OP_LOCALS01",
        "GGML_TENSOR_TERNARY_OP_LOCALS",
        "GGML_TENSOR_UNARY_OP_LOCALS",
        "LA_API",
        "LA_NOEXCEPT",
        "LLAMA_API",
        "MTMD_API",
    }
)

_MARKER = re.compile(r'^# \d+ "(.*?)"')
_MACRO = re.compile(r"^#define\s+(\w+)(\(?)\s*(.*)$")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(slots=True)
class Header:
    """What one header file contributes, in order."""

    name: str
    first: int = sys.maxsize  # line of the preprocessor's output where its code begins
    code: list[str] = field(default_factory=list)
    macros: dict[str, str] = field(default_factory=dict)


def preprocess(headers: tuple[str, ...], include: list[Path]) -> list[Header]:
    """The lines and macros that come from files below `include`, by file."""
    with tempfile.TemporaryDirectory() as scratch:
        probe = Path(scratch) / "probe.c"
        probe.write_text("".join(f'#include "{header}"\n' for header in headers), "ascii")
        command = [*shlex.split(environ.get("CC", "cc")), "-E", "-dD", "-std=c11"]
        command += [f"-I{directory}" for directory in include]
        text = subprocess.run([*command, str(probe)], check=True, capture_output=True, text=True).stdout
    found: dict[str, Header] = {}
    current: Header | None = None
    for number, line in enumerate(text.splitlines()):
        if marker := _MARKER.match(line):
            path = Path(marker.group(1))
            ours = any(path.is_relative_to(directory) for directory in include)
            current = found.setdefault(path.name, Header(path.name)) if ours else None
        elif current is None:
            continue
        elif macro := _MACRO.match(line):
            name, function_like, value = macro.groups()
            if not function_like:
                current.macros[name] = value.strip()
        elif not line.startswith("#"):
            current.code.append(line)
            if line.strip():
                current.first = min(current.first, number)
    # A header's own code starts after what it includes: in this order everything is declared before its use.
    return sorted(found.values(), key=lambda header: header.first)


def strip(code: str) -> str:
    """Remove what is for compilers only."""
    code = re.sub(r"\b(_Noreturn|__restrict(__)?|restrict|__extension__)\b", "", code)
    while (start := code.find("__attribute__")) >= 0:
        end, depth = code.index("(", start), 0
        while True:
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
            if depth == 0:
                break
        code = code[:start] + code[end:]
    # Arithmetic with sizeof is the compiler's to do.
    code = re.sub(r"\[[^\]]*\bsizeof\b[^\]]*\]", "[...]", code)
    return re.sub(r"(\bstatic const \w+ \w+)\s*=[^;]*\bsizeof\b[^;]*;", r"\1;", code)


def declarations(code: str) -> Iterator[str]:
    """Split at the semicolons outside braces; one line each, but for the bodies of structs and enums."""
    depth, begin = 0, 0
    for position, character in enumerate(code):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == ";" and depth == 0:
            yield tidy(code[begin : position + 1])
            begin = position + 1
    if code[begin:].strip():
        raise SystemExit(f"left over after the last declaration: {code[begin:].strip()[:200]!r}")


def tidy(declaration: str) -> str:
    if "{" not in declaration:
        text = " ".join(declaration.split())
        text = re.sub(r"\s*([(),;])\s*", r"\1", text).replace(",", ", ")
        return re.sub(r"^extern ", "", text)
    lines, depth = [], 0
    for line in declaration.splitlines():
        text = " ".join(line.split())
        if not text:
            continue
        lines.append("    " * (depth - text.startswith("}")) + text)
        depth += text.count("{") - text.count("}")
    return "\n".join(lines)


def function_name(declaration: str) -> str | None:
    found = re.match(r"^[^({]*?\b(\w+)\(", declaration)
    return found.group(1) if found and not declaration.startswith("typedef") else None


def constants(header: Header, known: dict[str, str], enumerators: set[str]) -> Iterator[str]:
    """Declare the header's macros that have a value."""
    for name, value in header.macros.items():
        if name in SKIPPED_MACROS or not value:
            continue
        if re.fullmatch(r'("[^"]*"\s*)+', value):
            yield f"static char *const {name};"
            continue
        expression, previous = value, ""
        while expression != previous:
            previous = expression
            expression = _NAME.sub(lambda found: known.get(found.group(), found.group()), _NUMBER.sub("0", expression))
        names = set(_NAME.findall(expression)) - enumerators
        if names or not re.fullmatch(r"[\w\s()+\-*/|&~<>]+", expression):
            raise SystemExit(f"{header.name}: #define {name} {value}: neither number nor string; see SKIPPED_MACROS")
        yield f"#define {name} ..."


def generate(headers: tuple[str, ...], include: list[Path], title: str) -> str:
    found = preprocess(headers, include)
    known = {name: value for header in found for name, value in header.macros.items()}
    code = {header.name: strip("\n".join(header.code)) for header in found}
    enumerators = set(_NAME.findall(" ".join(re.findall(r"enum[^;{]*\{[^}]*\}", " ".join(code.values())))))
    sections, seen = [f"/* Written by gen.py from {title}. Do not edit: nox -s gen. */"], set()
    for header in found:
        lines = []
        for declaration in declarations(code[header.name]):
            # C allows an opaque typedef to be repeated, cffi does not.
            if declaration in seen or function_name(declaration) in UNDEFINED_FUNCTIONS:
                continue
            seen.add(declaration)
            lines.append(declaration)
        lines += constants(header, known, enumerators)
        if lines:
            sections.append(f"/* -- {header.name} -- */\n" + "\n".join(lines))
    return "\n\n".join(sections) + "\n"


def outputs(source: Path) -> dict[Path, str]:
    return {
        HERE / "llama_async.cdef": generate(
            ("llama_async.h",), [ROOT / "_native/include"], "_native/include/llama_async.h"
        ),
        HERE / "llama_cpp.cdef": generate(
            LLAMA_CPP_HEADERS,
            [source / directory for directory in LLAMA_CPP_INCLUDES],
            ", ".join(LLAMA_CPP_HEADERS) + " of the pinned llama.cpp and the ggml headers they include",
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="write the CFFI declarations from the headers")
    parser.add_argument("--source", type=Path, help="llama.cpp's source; default: what llama.cpp/obtain.py finds")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file would change")
    arguments = parser.parse_args()
    source = arguments.source
    if source is None:
        obtain = [sys.executable, str(ROOT / "llama.cpp/obtain.py")]
        source = Path(subprocess.run(obtain, check=True, capture_output=True, text=True).stdout.strip())
    stale = []
    for path, text in outputs(source.resolve()).items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path.name)
        if not arguments.check:
            path.write_text(text, "utf-8")
    if stale:
        print(("out of date: " if arguments.check else "written: ") + ", ".join(stale))
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
