"""The values of llama_async.h that Python works with, and the request it sends across.

A mirror without the extension, so that requests are checked and tested without it; a test compares every value with the
compiled header.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LOGIT_BIAS_STRUCT",
    "LOGPROB_STRUCT",
    "MAX_CHOICES",
    "MAX_TOP_LOGPROBS",
    "PREDICTED_STRUCT",
    "RECORD_STRUCT",
    "SEED_RANDOM",
    "Finish",
    "ModelStats",
    "Predicted",
    "RecordKind",
    "Request",
    "RequestFlag",
    "Segment",
    "SegmentFlag",
    "SegmentKind",
    "Status",
    "Task",
    "TokenLogprob",
    "parse_logprobs",
]

MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20
SEED_RANDOM = 0xFFFFFFFF

# The fields of la_record: its id, four integers from kind on, four offsets and sizes, four counters, two times.
RECORD_STRUCT = struct.Struct("=Q4i4I4i2f")
# la_logit_bias: token, bias.
LOGIT_BIAS_STRUCT = struct.Struct("=if")
# la_logprob: token, logprob, n_bytes, n_top.
LOGPROB_STRUCT = struct.Struct("=if2I")
# la_predicted: n_accepted, n_rejected.
PREDICTED_STRUCT = struct.Struct("=2i")


class Status(enum.IntEnum):
    """`la_status`."""

    OK = 0
    INVALID = 1
    CONTEXT_LENGTH = 2
    GRAMMAR = 3
    TEMPLATE = 4
    QUEUE_FULL = 5
    CANCELLED = 6
    TIMEOUT = 7
    CLOSED = 8
    LOAD = 9
    MEMORY = 10
    UNSUPPORTED = 11
    INTERNAL = 12
    FORKED = 13
    NOT_READY = 14


class Finish(enum.IntEnum):
    """`la_finish`."""

    NONE = 0
    STOP = 1
    LENGTH = 2
    TOOL_CALLS = 3
    ABORTED = 4


class RecordKind(enum.IntEnum):
    """`la_record_kind`."""

    DELTA = 1
    END = 2
    LOADING = 3
    READY = 4
    CLOSED = 5
    REASONING = 6
    TOOL_CALL = 7


class SegmentKind(enum.IntEnum):
    """`la_segment_kind`."""

    TOKENS = 1
    TEXT = 2
    CHAT = 3
    MEDIA = 4


class Task(enum.IntEnum):
    """`la_task`."""

    GENERATE = 0
    EMBED = 1
    RERANK = 2
    TOKENIZE = 3
    DETOKENIZE = 4
    RENDER = 5


class SegmentFlag(enum.IntFlag):
    """`LA_SEGMENT_*` flags."""

    NONE = 0
    ADD_SPECIAL = 1
    PARSE_SPECIAL = 2


class RequestFlag(enum.IntFlag):
    """`LA_REQUEST_*`."""

    NONE = 0
    STREAM = 1
    NO_CACHE = 2
    PROMPT_LOGPROBS = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt: `data` is laid out as its `kind` says in llama_async.h."""

    kind: SegmentKind
    data: bytes
    flags: SegmentFlag = SegmentFlag.NONE


@dataclass(frozen=True, slots=True)
class Request:
    """What one `la_engine_submit` takes.

    Attributes:
        segments: The prompt.
        sampling: Fields of `la_sampling` that differ from the model's own, by name.
        logit_bias: Packed `la_logit_bias` entries.
        dry_breakers: Sequence breakers of the DRY sampler, `None` for upstream's.
        samplers: Names of samplers in order, `None` for upstream's.
        grammar: GBNF, empty for none.
        stop: Strings that end an answer.
        n_choices: Answers to generate.
        max_tokens: Per choice; -1 for no limit.
        priority: Higher first, 0 is normal.
        timeout_s: Longest silence, 0 for no limit.
        task: What is wanted of the segments.
        embd_normalize: The norm of embeddings: -1 none, 0 max absolute, 1 taxicab, 2 euclidean.
        embd_dimensions: Leading dimensions of embeddings to keep, 0 for all.
        speculation: Fields of `la_speculation` that differ from the engine's own, by name.
        prediction: What the answer will probably say, empty for nothing.
    """

    segments: tuple[Segment, ...]
    sampling: Mapping[str, int | float] = field(default_factory=lambda: MappingProxyType({}))
    logit_bias: bytes = b""
    dry_breakers: tuple[str, ...] | None = None
    samplers: tuple[str, ...] | None = None
    grammar: str = ""
    stop: tuple[str, ...] = ()
    n_choices: int = 1
    max_tokens: int = -1
    flags: RequestFlag = RequestFlag.NONE
    priority: int = 0
    timeout_s: float = 0.0
    task: Task = Task.GENERATE
    embd_normalize: int = 2
    embd_dimensions: int = 0
    speculation: Mapping[str, int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    prediction: str = ""


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What a loaded model has done and is doing.

    Attributes:
        n_parallel: Sequences that may decode at once.
        n_queued: Requests accepted that no sequence works on yet, those being prepared included.
        n_running: Sequences that prefill or decode.
        n_requests: Requests accepted since the model was loaded.
        n_ended: Requests ended, in whatever way.
        n_steps: Calls of `llama_decode`.
        n_prefilled: Prompt tokens computed.
        n_cached: Prompt tokens taken from a cached prefix.
        n_generated: Tokens sampled.
        n_drafted: Tokens guessed and computed to see whether they are right.
        n_accepted: Those that were; they are among `n_generated`.
        n_preempted: Sequences that gave their slot to another and went on later.
        n_stored_bytes: Main memory that holds prefixes which had to leave the KV cache.
        n_wakeups: Times the event loop was woken.
        decode_s: Seconds inside `llama_decode`.
        sample_s: Seconds spent on sampling and on building text.
    """

    n_parallel: int
    n_queued: int
    n_running: int
    n_requests: int
    n_ended: int
    n_steps: int
    n_prefilled: int
    n_cached: int
    n_generated: int
    n_drafted: int
    n_accepted: int
    n_preempted: int
    n_stored_bytes: int
    n_wakeups: int
    decode_s: float
    sample_s: float


class Predicted(NamedTuple):
    """`la_predicted`: what became of a request's prediction, in tokens."""

    n_accepted: int
    n_rejected: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token, its natural log probability, and the most likely alternatives at its place."""

    token: int
    logprob: float
    text: bytes
    top: tuple[TokenLogprob, ...] = ()


def parse_logprobs(packed: bytes) -> Iterator[TokenLogprob]:
    """Yield the tokens of a delta's packed `la_logprob` entries."""
    offset = 0
    while offset < len(packed):
        token, logprob, n_bytes, n_top = LOGPROB_STRUCT.unpack_from(packed, offset)
        offset += LOGPROB_STRUCT.size
        text = packed[offset : offset + n_bytes]
        offset += n_bytes
        top = []
        for _ in range(n_top):
            other, other_logprob, other_size, _none = LOGPROB_STRUCT.unpack_from(packed, offset)
            offset += LOGPROB_STRUCT.size
            top.append(TokenLogprob(other, other_logprob, packed[offset : offset + other_size]))
            offset += other_size
        yield TokenLogprob(token, logprob, text, tuple(top))
