"""Emit the C of the extension module from the committed declarations. Called by CMake in every build.

The C (2 MB) is not committed: it depends on the cffi that emits it, the declarations do not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description="emit the C of llama_async._native")
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    builder = FFI()
    for name in ("llama_async.cdef", "llama_cpp.cdef"):
        builder.cdef((HERE / name).read_text("utf-8"))
    # One module, hence one set of C types: a tensor or batch of the low-level API can be passed wherever the other
    # half takes a pointer, and llama.cpp is linked once.
    headers = ("llama_async.h", "llama.h", "mtmd.h", "mtmd-helper.h")
    builder.set_source("llama_async._native", "".join(f'#include "{header}"\n' for header in headers))
    builder.emit_c_code(str(output))


if __name__ == "__main__":
    main()
