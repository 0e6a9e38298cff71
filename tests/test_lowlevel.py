"""The low-level API is complete, and it works on a real model."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from llama_async._default_model import default_model_path
from llama_async.lowlevel import ffi, lib

ROOT = Path(__file__).resolve().parent.parent
HEADERS = {
    "include/llama.h": "LLAMA_API",
    "tools/mtmd/mtmd.h": "MTMD_API",
    "tools/mtmd/mtmd-helper.h": "MTMD_API",
    "ggml/include/ggml.h": "GGML_API",
    "ggml/include/ggml-alloc.h": "GGML_API",
    "ggml/include/ggml-backend.h": "GGML_API",
    "ggml/include/ggml-cpu.h": "GGML_BACKEND_API",
    "ggml/include/ggml-opt.h": "GGML_API",
    "ggml/include/gguf.h": "GGML_API",
}
# ggml-cpu.h declares it, upstream defines it nowhere.
UNDEFINED = {"ggml_threadpool_get_n_threads"}
# Compile-time spellings, not values.
NOT_VALUES = re.compile(r"_API$|^GGML_(NORETURN|RESTRICT)$|_LOCALS(01)?$|^(LLAMA|MTMD|MTMD_HELPER)_H$|^_WIN32_WINNT$")


def read(source: Path, header: str) -> str:
    """The header without comments, directives and the parts for C++ compilers."""
    text = (source / header).read_text("utf-8")
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL).replace("\\\n", " ")
    kept: list[str] = []
    skipping: list[bool] = []
    for line in text.splitlines():
        directive = line.strip().replace("# ", "#")
        if directive.startswith("#if"):
            skipping.append(directive.split()[1:] == ["__cplusplus"] and directive.startswith("#ifdef"))
        elif directive.startswith(("#else", "#elif")):
            skipping[-1] = False
        elif directive.startswith("#endif"):
            skipping.pop()
        elif not any(skipping) and not directive.startswith("#"):
            kept.append(line)
    return "\n".join(kept)


def declared_functions(text: str, export: str) -> set[str]:
    names = set()
    text = re.sub(r"\b(GGML_)?DEPRECATED\s*\(", " ", text)
    for found in re.finditer(rf"\b(?:{export}|LLAMA_API|GGML_API|GGML_BACKEND_API)\b([^;{{]*?)\b(\w+)\s*\(", text):
        names.add(found.group(2))
    return names


@pytest.mark.parametrize("header", HEADERS)
def test_every_declared_function_is_exposed(source: Path, header: str) -> None:
    names = declared_functions(read(source, header), HEADERS[header])
    assert len(names) >= 10
    missing = {name for name in names if not hasattr(lib, name)}
    assert missing <= UNDEFINED


def test_the_header_parser_sees_the_whole_api(source: Path) -> None:
    counts = {header: len(declared_functions(read(source, header), export)) for header, export in HEADERS.items()}
    assert counts["include/llama.h"] >= 219
    assert sum(counts.values()) >= 950


@pytest.mark.parametrize("header", HEADERS)
def test_every_enumerator_is_exposed(source: Path, header: str) -> None:
    names = set()
    for body in re.findall(r"\benum\b[^;{(]*\{(.*?)\}", read(source, header), flags=re.DOTALL):
        names |= set(re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", body))
    assert {name for name in names if not isinstance(getattr(lib, name, None), int)} == set()


@pytest.mark.parametrize("header", HEADERS)
def test_every_struct_is_exposed(source: Path, header: str) -> None:
    for name in set(re.findall(r"\bstruct\s+(\w+)\s*[{;]", read(source, header))):
        assert ffi.typeof(f"struct {name} *").kind == "pointer"
    for name in re.findall(r"\bstruct\s+(\w+)\s*\{", read(source, header)):
        assert ffi.sizeof(f"struct {name}") > 0


@pytest.mark.parametrize("header", HEADERS)
def test_every_constant_is_exposed(source: Path, header: str) -> None:
    text = re.sub(r"\\\n", " ", (source / header).read_text("utf-8"))
    macros = re.findall(r"^\s*#\s*define\s+(\w+)[ \t]+\S", text, flags=re.MULTILINE)
    names = {name for name in macros if not NOT_VALUES.search(name) and f"{name}(" not in text}
    for name in names:
        assert isinstance(getattr(lib, name), (int, ffi.CData)), name


def test_constants_have_the_headers_values() -> None:
    assert lib.LLAMA_DEFAULT_SEED == 0xFFFFFFFF
    assert lib.LLAMA_TOKEN_NULL == -1
    assert ffi.string(lib.GGUF_MAGIC) == b"GGUF"
    assert ffi.sizeof("struct ggml_tensor") == lib.GGML_TENSOR_SIZE


def low_level() -> ModuleType:
    """examples/low_level.py"""
    specification = importlib.util.spec_from_file_location("low_level", ROOT / "examples" / "low_level.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_tokenize_and_decode_by_hand() -> None:
    answer = low_level().main(str(default_model_path()), "What is the capital of France?")
    assert "Paris" in answer


def test_decode_gives_one_row_of_logits_per_wanted_position() -> None:
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(str(default_model_path()).encode(), lib.llama_model_default_params())
    assert model != ffi.NULL
    vocab = lib.llama_model_get_vocab(model)
    params = lib.llama_context_default_params()
    params.n_threads = params.n_threads_batch = low_level().usable_cores()
    context = lib.llama_init_from_model(model, params)
    text = b"The quick brown fox jumps over the lazy"
    tokens = ffi.new("llama_token[]", 32)
    n_tokens = lib.llama_tokenize(vocab, text, len(text), tokens, 32, True, True)
    assert 5 < n_tokens < 32
    assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, n_tokens)) == 0
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    logits = lib.llama_get_logits_ith(context, -1)
    best = max(range(n_vocab), key=lambda token: logits[token])
    buffer = ffi.new("char[]", 64)
    size = lib.llama_token_to_piece(vocab, best, buffer, 64, 0, False)
    assert bytes(ffi.buffer(buffer, size)) == b" dog"
    lib.llama_free(context)
    lib.llama_model_free(model)


def test_import_is_quick(tmp_path: Path) -> None:
    code = "import llama_async, time; t = time.perf_counter(); import llama_async._native; print(time.perf_counter()-t)"
    command = [sys.executable, "-c", code]
    # Not in the source tree, which has no extension.
    runs = [subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True) for _ in range(5)]
    assert min(float(run.stdout) for run in runs) < 0.030
