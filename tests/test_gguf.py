"""What a file says about itself is read as it is, and hostile files are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFWriter

from llama_async._errors import ModelLoadError
from llama_async._gguf import GgufArray, read_gguf


def test_the_default_model(model_path: Path) -> None:
    read = read_gguf(model_path)
    assert read.metadata["general.architecture"] == "llama"
    assert read.number("{arch}.context_length") == 8192
    assert read.metadata["tokenizer.ggml.add_bos_token"] is False
    tokens = read.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, GgufArray)
    assert (tokens.n, tokens.first[1]) == (49152, "<|im_start|>")
    assert (read.n_tensors, read.n_parameters) == (272, 134_515_008)
    assert read.tensor_types == {"Q4_1": 210, "F32": 61, "Q8_0": 1}


def test_as_upstreams_own_reader(model_path: Path) -> None:
    theirs = {name: field.contents() for name, field in GGUFReader(model_path).fields.items()}
    for key, value in read_gguf(model_path).metadata.items():
        if isinstance(value, GgufArray):
            assert (value.n, list(value.first)) == (len(theirs[key]), theirs[key][: len(value.first)])
        else:
            assert value == theirs[key]


def head(n_tensors: int, n_pairs: int, *parts: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_pairs) + b"".join(parts)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"PK\3\4", "no GGUF file"),
        (b"GGUF", "unpack"),
        (head(0, 0, version=1), "version of GGUF is 1"),
        (head(0, 1, struct.pack("<Q", 2**63)), "middle of a text"),
        (head(0, 2**62, text(b"a"), struct.pack("<IB", 0, 1)), "unpack"),
        (head(0, 1, text(b"a"), struct.pack("<I", 99)), "unknown type 99"),
        (head(0, 1, text(b"a"), struct.pack("<IIQ", 9, 4, 2**40)), "middle of an array"),
        (head(0, 1, text(b"a"), struct.pack("<IIQ", 9, 8, 2**40), text(b"b") * 20), "unpack"),
        (head(0, 1, text(b"a"), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 9), "nested too deep"),
        (head(1, 0, text(b"t"), struct.pack("<I", 99)), "99 dimensions"),
        (head(2**60, 0), "unpack"),
    ],
)
def test_hostile_files(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=reason):
        read_gguf(path)


def test_an_empty_key_is_no_end(tmp_path: Path) -> None:
    """Upstream's reader ends the process at it."""
    path = tmp_path / "empty.gguf"
    path.write_bytes(head(0, 1, text(b""), struct.pack("<IB", 7, 1)))
    assert read_gguf(path).metadata == {"": True}


def test_every_type_of_value(tmp_path: Path) -> None:
    path = tmp_path / "types.gguf"
    writer = GGUFWriter(path, "none")
    wanted = {"u8": 200, "i8": -3, "u16": 60000, "i16": -300, "u32": 2**31, "i32": -(2**31), "u64": 2**63, "i64": -1}
    for kind, value in wanted.items():
        getattr(writer, f"add_{'u' * (kind[0] == 'u')}int{kind[1:]}")(kind, value)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", val=True)
    writer.add_array("numbers", list(range(100)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    read = read_gguf(path).metadata
    assert {key: read[key] for key in wanted} == wanted
    assert (read["f64"], read["yes"]) == (0.1, True)
    assert read["numbers"] == GgufArray(100, tuple(range(8)))
