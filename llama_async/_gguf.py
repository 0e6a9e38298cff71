"""What a GGUF file says about itself, read without loading it: metadata and the kinds of its tensors.

Not the engine's reader: that one ends the process where a key is empty, and needs the extension. Bounded, whatever the
file claims: nothing is believed before the bytes are there.

Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ._errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["GgufArray", "GgufFile", "read_gguf"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
# Elements of an array that are kept; vocabularies have a quarter of a million.
_N_KEPT = 8
# ggml's types and file types (ggml.h, llama.h at the pinned commit).
_TENSOR_TYPES = dict(
    enumerate(
        "F32 F16 Q4_0 Q4_1 4 5 Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL "
        "IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 31 32 33 TQ1_0 TQ2_0 36 37 38 MXFP4 NVFP4".split()
    )
)


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array: how many elements, and the first of them."""

    n: int
    first: tuple[GgufValue, ...]


GgufValue: TypeAlias = "int | float | bool | str | GgufArray"


@dataclass(frozen=True, slots=True)
class GgufFile:
    """The head of a GGUF file.

    Attributes:
        version: Of the format.
        metadata: Key -> value.
        n_tensors: Tensors in this file.
        n_parameters: Their elements, all together.
        tensor_types: How many tensors there are of each type, the most frequent first.
    """

    version: int
    metadata: Mapping[str, GgufValue]
    n_tensors: int
    n_parameters: int
    tensor_types: Mapping[str, int]

    def number(self, key: str) -> int | None:
        """The value of a key that is an integer; a `{arch}` in it stands for the model's architecture."""
        value = self.metadata.get(key.replace("{arch}", str(self.metadata.get("general.architecture"))))
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_gguf(path: Path) -> GgufFile:
    """Return what the file says.

    Raises:
        ModelLoadError: It is not there, is no GGUF file, or ends too early.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).read()
    except (OSError, ValueError, struct.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelLoadError(str(path), reason or "it is no GGUF file") from error


class _Reader:
    """Raises ValueError or struct.error where the file is not as the format wants it."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def read(self) -> GgufFile:
        if self._data[:4] != b"GGUF":
            raise ValueError("it is no GGUF file")
        self._at = 4
        version = self._one("I")
        if version not in {2, 3}:
            raise ValueError(f"its version of GGUF is {version}, where 2 and 3 are known")
        n_tensors, n_pairs = self._one("Q"), self._one("Q")
        metadata = {}
        for _ in range(n_pairs):
            key = self._text()
            metadata[key] = self._value(self._one("I"))
        types: Counter[str] = Counter()
        n_parameters = 0
        for _ in range(n_tensors):
            self._text()
            n_dimensions = self._one("I")
            if n_dimensions > _MAX_DIMENSIONS:
                raise ValueError(f"a tensor has {n_dimensions} dimensions")
            n_parameters += math.prod(self._one("Q") for _ in range(n_dimensions))
            kind = self._one("I")
            types[_TENSOR_TYPES.get(kind, str(kind))] += 1
            self._at += 8
        return GgufFile(version, metadata, n_tensors, n_parameters, dict(types.most_common()))

    def _one(self, code: str) -> int:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value  # type: ignore[no-any-return]

    def _text(self) -> str:
        n_bytes = self._one("Q")
        if n_bytes > len(self._data) - self._at:
            raise ValueError("it ends in the middle of a text")
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at].decode("utf-8", "replace")

    def _value(self, kind: int, depth: int = 0) -> GgufValue:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            if depth > _MAX_DIMENSIONS:
                raise ValueError("its arrays are nested too deep")
            return self._array(depth)
        if kind not in _SCALARS:
            raise ValueError(f"it has a value of the unknown type {kind}")
        return self._one(_SCALARS[kind])

    def _array(self, depth: int) -> GgufArray:
        kind, n = self._one("I"), self._one("Q")
        if kind in _SCALARS:
            n_bytes = struct.calcsize(f"<{_SCALARS[kind]}")
            if n * n_bytes > len(self._data) - self._at:
                raise ValueError("it ends in the middle of an array")
            end = self._at + n * n_bytes
            kept = tuple(self._one(_SCALARS[kind]) for _ in range(min(n, _N_KEPT)))
            self._at = end
            return GgufArray(n, kept)
        if kind == _STRING:
            # Lengths only, but for the first: a vocabulary's texts are of no use here.
            first = tuple(self._text() for _ in range(min(n, _N_KEPT)))
            for _ in range(n - len(first)):
                n_bytes = self._one("Q")
                if n_bytes > len(self._data) - self._at:
                    raise ValueError("it ends in the middle of a text")
                self._at += n_bytes
            return GgufArray(n, first)
        values = [self._value(kind, depth + 1) for _ in range(n)]
        return GgufArray(n, tuple(values[:_N_KEPT]))
