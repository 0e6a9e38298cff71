# The compiled extension (CFFI, API mode). What its names mean stands in _native/include/llama_async.h.
from typing import Any

ffi: Any
lib: Any
