"""The complete C API of the pinned llama.cpp.

`ffi` and `lib` have every function, struct, enum and constant of `llama.h`, `mtmd.h` and `mtmd-helper.h`, and of the
`ggml*.h` and `gguf.h` that they include.

Owns nothing: `ffi` and `lib` are CFFI's. What is allocated here is freed by hand, what the headers say about threads
holds, and **a failed `GGML_ASSERT` ends the process**. Every call releases the GIL. `AsyncLlama` needs none of this;
use it for what the client does not offer, on models and contexts of your own.

    from llama_async.lowlevel import ffi, lib

    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(b"model.gguf", lib.llama_model_default_params())

The names are those of the headers; `examples/low_level.py` tokenizes, decodes and samples with them. The `la_*` names
that `lib` has too are the private boundary of this package.

Source: llama.cpp, include/llama.h, tools/mtmd/*.h, ggml/include/*.h at the commit that `doctor` reports. One function
that ggml-cpu.h declares, `ggml_threadpool_get_n_threads`, is missing: upstream defines it nowhere.
"""

from __future__ import annotations

from ._native import ffi, lib  # noqa: TID251 (this module and _binding are the two that may)

__all__ = ["ffi", "lib"]
