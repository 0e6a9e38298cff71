"""GGUF files that are wrong in one thing each: what a bad download, a bad disk, a bad converter or an attacker makes.

Owns the recipes. `BROKEN` must be refused when loaded; each of `ASSERTED` runs into one of llama.cpp's own assertions,
which end the process unless they are caught.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tools.tiny_models import TinyModel, hybrid_model, llama_model, swa_model

__all__ = ["ASSERTED", "BROKEN", "write_all"]

Recipe = Callable[[Path], object]

_NORM = "blk.0.attn_norm.weight"
_MATRIX = "blk.0.attn_q.weight"


def write_all(recipes: Mapping[str, Recipe], directory: Path) -> dict[str, Path]:
    """Write every file into a directory; name -> path."""
    paths = {name: directory / f"{name}.gguf" for name in recipes}
    for name, recipe in recipes.items():
        recipe(paths[name])
    return paths


# -- bytes -------------------------------------------------------------------------------------------------------------


def _with_bytes(change: Callable[[bytes, Path], bytes], path: Path) -> None:
    llama_model().save(path)
    path.write_bytes(change(path.read_bytes(), path))


def _patched(position: int, value: bytes) -> Recipe:
    return partial(_with_bytes, lambda data, _: data[:position] + value + data[position + len(value) :])


def _cut(where: Callable[[gguf.GGUFReader, int], int]) -> Recipe:
    def cut(data: bytes, path: Path) -> bytes:
        return data[: where(gguf.GGUFReader(path), len(data))]

    return partial(_with_bytes, cut)


def _tensor_field(field: str, value: int) -> Recipe:
    """Change a number in the description of the last tensor."""

    def change(data: bytes, path: Path) -> bytes:
        tensor = gguf.GGUFReader(path).tensors[-1]
        # A description is: length of the name (u64), name, number of dimensions (u32), dimensions (u64 each), type
        # (u32), offset (u64).
        dims = tensor.field.offset + 8 + len(tensor.name) + 4
        kind = dims + 8 * len(tensor.shape)
        position, code = {"dimension": (dims, "<q"), "type": (kind, "<I"), "offset": (kind + 4, "<Q")}[field]
        return data[:position] + struct.pack(code, value) + data[position + struct.calcsize(code) :]

    return partial(_with_bytes, change)


# -- content -----------------------------------------------------------------------------------------------------------


def _changed(
    change: Callable[[TinyModel], object], path: Path, *, make: Callable[..., TinyModel] = llama_model
) -> None:
    model = make()
    change(model)
    model.save(path)


def _metadata(key: str, value: Any, *, make: Callable[..., TinyModel] = llama_model) -> Recipe:
    return partial(_changed, lambda model: model.metadata.__setitem__(key, value), make=make)


def _without(key: str) -> Recipe:
    return partial(_changed, lambda model: model.metadata.pop(key))


def _tensor(name: str, change: Callable[[Any], Any]) -> Recipe:
    return partial(_changed, lambda model: model.tensors.__setitem__(name, change(model.tensors[name])))


def _tokens(change: Callable[[list[str]], object]) -> Recipe:
    return partial(_changed, lambda model: change(model.metadata["tokenizer.ggml.tokens"]))


def _quantized(model: TinyModel) -> None:
    """Make a matrix Q8_0 with scales that are not numbers."""
    n_rows, n_columns = model.tensors[_MATRIX].shape
    block = np.frombuffer(np.float16(np.nan).tobytes() + bytes(32), np.uint8)
    model.tensors[_MATRIX] = np.tile(block, (n_rows, n_columns // 32))
    model.raw_types[_MATRIX] = gguf.GGMLQuantizationType.Q8_0


def _huge_array(path: Path) -> None:
    """Write a token list whose length field promises 2^62 strings."""
    llama_model().save(path)
    data = path.read_bytes()
    key = b"tokenizer.ggml.tokens"
    # After the key: type of the value (u32), type of the items (u32), number of items (u64).
    position = data.index(key) + len(key) + 8
    path.write_bytes(data[:position] + struct.pack("<Q", 2**62) + data[position + 8 :])


BROKEN: Mapping[str, Recipe] = {
    # the file
    "empty": lambda path: path.write_bytes(b""),
    "one-byte": lambda path: path.write_bytes(b"G"),
    "magic-only": lambda path: path.write_bytes(b"GGUF"),
    "not-gguf": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(4096)),
    "zeros": lambda path: path.write_bytes(bytes(1 << 16)),
    "html": lambda path: path.write_text("<!DOCTYPE html><title>404 Not Found</title>"),
    "directory": lambda path: path.mkdir(),
    # the header
    "version-0": _patched(4, struct.pack("<I", 0)),
    "version-1": _patched(4, struct.pack("<I", 1)),
    "version-99": _patched(4, struct.pack("<I", 99)),
    "big-endian": _patched(4, struct.pack(">I", 3)),
    "tensor-count-huge": _patched(8, struct.pack("<Q", 2**62)),
    "tensor-count-negative": _patched(8, struct.pack("<q", -1)),
    "metadata-count-huge": _patched(16, struct.pack("<Q", 2**62)),
    "key-length-huge": _patched(24, struct.pack("<Q", 2**63)),
    "array-length-huge": _huge_array,
    "truncated-header": _cut(lambda reader, size: 20),
    "truncated-metadata": _cut(lambda reader, size: 2000),
    "truncated-tensor-list": _cut(lambda reader, size: reader.tensors[-1].field.offset + 10),
    "truncated-before-data": _cut(lambda reader, size: reader.data_offset),
    "truncated-data": _cut(lambda reader, size: size // 2),
    "truncated-last-bytes": _cut(lambda reader, size: size - 64),
    # tensors
    "tensor-offset-beyond-file": _tensor_field("offset", 2**40),
    "tensor-offset-overflows": _tensor_field("offset", 2**64 - 32),
    "tensor-dimension-huge": _tensor_field("dimension", 2**62),
    "tensor-dimension-negative": _tensor_field("dimension", -1),
    "tensor-type-unknown": _tensor_field("type", 12345),
    "tensor-missing": partial(_changed, lambda model: model.tensors.pop(_MATRIX)),
    "tensor-shape-wrong": _tensor(_MATRIX, lambda matrix: matrix[:-1]),
    "tensor-transposed": _tensor("token_embd.weight", lambda matrix: np.ascontiguousarray(matrix.T)),
    "tensor-nan": _tensor(_MATRIX, lambda matrix: np.full_like(matrix, np.nan)),
    "tensor-infinite": _tensor(_NORM, lambda vector: np.full_like(vector, np.inf)),
    "tensor-nan-in-quantized": partial(_changed, _quantized),
    "no-tensors": partial(_changed, lambda model: model.tensors.clear()),
    # metadata
    "architecture-unknown": partial(_changed, lambda model: setattr(model, "architecture", "nonesuch")),
    "architecture-other": partial(_changed, lambda model: setattr(model, "architecture", "gemma3")),
    "layers-too-many": _metadata("llama.block_count", 3),
    "heads-none": _metadata("llama.attention.head_count", 0),
    "heads-do-not-fit": _metadata("llama.attention.head_count", 7),
    "kv-heads-none": _metadata("llama.attention.head_count_kv", 0),
    "embedding-none": _metadata("llama.embedding_length", 0),
    "embedding-huge": _metadata("llama.embedding_length", 2**31),
    "feed-forward-none": _metadata("llama.feed_forward_length", 0),
    "wrong-kind": _metadata("llama.block_count", "two"),
    "context-length-missing": _without("llama.context_length"),
    "norm-epsilon-missing": _without("llama.attention.layer_norm_rms_epsilon"),
    # vocabulary
    "tokenizer-missing": _without("tokenizer.ggml.model"),
    "tokenizer-unknown": _metadata("tokenizer.ggml.model", "nonesuch"),
    "tokenizer-none": _metadata("tokenizer.ggml.model", "no_vocab"),
    "tokenizer-without-merges": _metadata("tokenizer.ggml.model", "gpt2"),
    "tokens-missing": _without("tokenizer.ggml.tokens"),
    "tokens-too-few": _tokens(lambda tokens: tokens.pop()),
    "tokens-too-many": partial(
        _changed,
        lambda model: [
            model.metadata[f"tokenizer.ggml.{name}"].append(item)
            for name, item in (("tokens", "one more"), ("scores", 0.0), ("token_type", 1))
        ],
    ),
    "scores-too-few": _metadata("tokenizer.ggml.scores", [0.0]),
}

ASSERTED: Mapping[str, Recipe] = {
    "layers-none": _metadata("llama.block_count", 0),
    "layers-2^32": _metadata("llama.block_count", 2**32 - 1),
    "experts-without-use": _metadata("llama.expert_count", 8),
    "experts-used-without-any": _metadata("llama.expert_used_count", 2),
    "expert-groups-without-experts": _metadata("llama.expert_group_count", 2),
    "prediction-layers-too-many": _metadata("llama.nextn_predict_layers", 3),
    "rope-scaling-unknown": _metadata("llama.rope.scaling.type", "nonesuch"),
    "window-in-no-layer": _metadata("gemma3.attention.sliding_window_pattern", 1, make=swa_model),
    "token-twice": _tokens(lambda tokens: tokens.__setitem__(-1, tokens[-2])),
    "tokenizer-of-other-kind": _metadata("tokenizer.ggml.model", "bert"),
    "alignment-1": _metadata("general.alignment", 1),
    # found only when the first token is computed
    "norm-epsilon-negative": _metadata("llama.attention.layer_norm_rms_epsilon", -1.0),
    "norm-epsilon-nan": _metadata("llama.attention.layer_norm_rms_epsilon", float("nan")),
    "rope-dimensions-odd": _metadata("lfm2.rope.dimension_count", 7, make=hybrid_model),
    "rope-dimensions-too-many": _metadata("lfm2.rope.dimension_count", 2**16, make=hybrid_model),
    "norm-in-f16": _tensor(_NORM, lambda vector: vector.astype(np.float16)),
    "norm-in-i32": _tensor(_NORM, lambda vector: vector.astype(np.int32)),
    "matrix-in-i8": _tensor(_MATRIX, lambda matrix: matrix.astype(np.int8)),
    "matrix-in-f64": _tensor(_MATRIX, lambda matrix: matrix.astype(np.float64)),
    "embedding-in-i32": _tensor("token_embd.weight", lambda matrix: matrix.astype(np.int32)),
}
