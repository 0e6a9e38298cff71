"""`_abi`, the mirror that requests are checked with, against the header that the extension was compiled from."""

from __future__ import annotations

import dataclasses
import enum
import re

import pytest

from llama_async import _abi
from llama_async._abi import LOGPROB_STRUCT, RECORD_STRUCT
from llama_async.lowlevel import ffi, lib

PREFIXES = {
    _abi.Status: "LA_ERR_",
    _abi.Finish: "LA_FINISH_",
    _abi.RecordKind: "LA_RECORD_",
    _abi.SegmentKind: "LA_SEGMENT_",
    _abi.Task: "LA_TASK_",
    _abi.SegmentFlag: "LA_SEGMENT_",
    _abi.RequestFlag: "LA_REQUEST_",
}
C_ENUMS = {
    _abi.Status: "la_status",
    _abi.Finish: "la_finish",
    _abi.RecordKind: "la_record_kind",
    _abi.SegmentKind: "la_segment_kind",
    _abi.Task: "la_task",
}


@pytest.mark.parametrize("mirror", PREFIXES, ids=lambda mirror: mirror.__name__)
def test_values_are_those_of_the_header(mirror: type[enum.IntEnum]) -> None:
    for name, member in mirror.__members__.items():
        if issubclass(mirror, enum.Flag) and member == 0:
            continue
        c_name = "LA_OK" if member is _abi.Status.OK else PREFIXES[mirror] + name
        assert getattr(lib, c_name) == member, c_name


@pytest.mark.parametrize("mirror", C_ENUMS, ids=lambda mirror: mirror.__name__)
def test_no_value_of_the_header_is_missing(mirror: type[enum.IntEnum]) -> None:
    assert sorted(ffi.typeof(C_ENUMS[mirror]).elements) == sorted(int(member) for member in mirror)


def test_stats_have_every_counter() -> None:
    names = [name for name, _ in ffi.typeof("la_stats").fields if name != "struct_size"]
    assert [field.name for field in dataclasses.fields(_abi.ModelStats)] == names


def test_limits() -> None:
    assert _abi.MAX_CHOICES == lib.LA_MAX_CHOICES
    assert _abi.MAX_TOP_LOGPROBS == lib.LA_MAX_TOP_LOGPROBS
    assert _abi.SEED_RANDOM == lib.LA_SEED_RANDOM


@pytest.mark.parametrize(("layout", "name"), [(RECORD_STRUCT, "la_record"), (LOGPROB_STRUCT, "la_logprob")])
def test_layouts(layout: object, name: str) -> None:
    codes = {"uint64_t": "Q", "int32_t": "i", "uint32_t": "I", "float": "f"}
    fields = ffi.typeof(name).fields
    expanded = "".join(codes[field.type.cname] for _, field in fields)
    written = "".join(
        code * int(count or 1)
        for count, code in re.findall(r"(\d*)([QiIf])", layout.format)  # type: ignore[attr-defined]
    )
    assert written == expanded
    assert layout.size == ffi.sizeof(name)  # type: ignore[attr-defined]
