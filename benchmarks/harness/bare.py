"""The ceiling: `llama_decode` on the same tokens, and nothing around it.

Samples nothing, reads no logits, tells nobody. What an engine may choose (flash attention, whether prompts share a
batch) is tried both ways, and the faster one counts.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from typing_extensions import Self

from llama_async.lowlevel import ffi, lib

from .figures import usable_cores
from .workloads import Shape

N_UBATCH = 512
N_BATCH = 2048


@dataclass(frozen=True)
class Variant:
    """What may be chosen freely.

    Attributes:
        flash: Flash attention.
        together: Prompts of several sequences share batches.
    """

    flash: bool
    together: bool


class Bare:
    """A context and the tokens that its sequences hold.

    `n_outputs` is how many rows of logits a batch may ask for; not given, one of each sequence.
    """

    def __init__(
        self, path: str, shape: Shape, n_threads: int | None, variant: Variant, n_outputs: int | None = None
    ) -> None:
        self._together = variant.together
        self._n_past = [0] * shape.n_parallel
        self._any_token = itertools.count(1000, 7)
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if self._model == ffi.NULL:
            raise SystemExit(f"cannot load {path}")
        self._n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model))
        params = lib.llama_context_default_params()
        params.n_ctx = shape.n_parallel * shape.n_ctx
        params.n_seq_max = shape.n_parallel
        params.n_outputs_max = n_outputs or shape.n_parallel
        params.n_batch, params.n_ubatch = N_BATCH, N_UBATCH
        params.n_threads = params.n_threads_batch = n_threads or usable_cores()
        params.flash_attn_type = (
            lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if variant.flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.kv_unified, params.no_perf = False, True
        self._context = lib.llama_init_from_model(self._model, params)
        # Without one, each graph would start threads of its own.
        pool_params = ffi.new("struct ggml_threadpool_params *")
        lib.ggml_threadpool_params_init(pool_params, params.n_threads)
        self._pool = lib.ggml_threadpool_new(pool_params)
        lib.llama_attach_threadpool(self._context, self._pool, ffi.NULL)
        self._batch = lib.llama_batch_init(N_BATCH, 0, 1)
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
        lib.ggml_threadpool_free(self._pool)
        lib.llama_model_free(self._model)

    def forget(self) -> None:
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        self._n_past = [0] * len(self._n_past)

    def prefill(self, prompts: dict[int, Sequence[int]]) -> float:
        """Compute tokens that follow what each sequence holds; return the seconds."""
        seconds = 0.0
        for sequence, tokens in prompts.items():
            for index, token in enumerate(tokens):
                if self._rows == N_UBATCH:
                    seconds += self._compute()
                self._add(sequence, token, index + 1 == len(tokens))
            if not self._together:
                seconds += self._compute()
        return seconds + self._compute()

    def decode(self, n_sequences: int, n_steps: int) -> list[float]:
        """Decode one token of each of the first sequences in a step; return each step's seconds."""
        return [self._step(range(n_sequences)) for _ in range(n_steps)]

    def rows(self, shape: Sequence[int]) -> float:
        """Compute so many rows of each sequence, all with logits, and take them back; return the seconds."""
        held = list(self._n_past)
        for sequence, n_rows in enumerate(shape):
            for _ in range(n_rows):
                self._add(sequence, next(self._any_token) % self._n_vocab, True)
        seconds = self._compute()
        for sequence, n_held in enumerate(held):
            self._cut(sequence, n_held)
        return seconds

    def copy_to_all(self) -> float:
        """Copy sequence 0 to the others; return the seconds, those of the decode step that does it included."""
        n_past = self._n_past[0]
        memory = lib.llama_get_memory(self._context)
        for sequence in range(1, len(self._n_past)):
            lib.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        self._n_past = [n_past] * len(self._n_past)
        last = len(self._n_past) - 1
        seconds = self._step([last])
        self._cut(last, n_past)
        return seconds

    def _cut(self, sequence: int, n_past: int) -> None:
        lib.llama_memory_seq_rm(lib.llama_get_memory(self._context), sequence, n_past, -1)
        self._n_past[sequence] = n_past

    def _step(self, sequences: Sequence[int]) -> float:
        for sequence in sequences:
            self._add(sequence, next(self._any_token) % self._n_vocab, True)
        return self._compute()

    def _add(self, sequence: int, token: int, wants_logits: bool) -> None:
        batch, row = self._batch, self._rows
        batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, self._n_past[sequence], 1
        batch.seq_id[row][0], batch.logits[row] = sequence, wants_logits
        self._n_past[sequence] += 1
        self._rows += 1

    def _compute(self) -> float:
        if self._rows == 0:
            return 0.0
        self._batch.n_tokens, self._rows = self._rows, 0
        started = time.perf_counter()
        if lib.llama_decode(self._context, self._batch) != 0:
            raise SystemExit("llama_decode failed")
        lib.llama_synchronize(self._context)
        return time.perf_counter() - started


@dataclass(frozen=True)
class Asked:
    """What an engine was asked in a run of the workload: prompts in order, and the tokens that came back."""

    prompts: list[list[int]]
    n_generated: list[int]

    def each(self) -> dict[int, Sequence[int]]:
        return dict(enumerate(self.prompts))


Figures = dict[str, float]


def together(bare: Bare, asked: Asked) -> tuple[float, float]:
    """Compute all prompts, then as many steps as give the rest of the tokens; return the seconds of both."""
    prefill_s = bare.prefill(asked.each())
    return prefill_s, sum(bare.decode(len(asked.prompts), asked.n_generated[0] - 1))


def single(bare: Bare, asked: Asked) -> Figures:
    prefill_s, decode_s = together(bare, asked)
    return rates(asked, prefill_s, decode_s) | {"first token ms": 1e3 * prefill_s}


def many16(bare: Bare, asked: Asked) -> Figures:
    return rates(asked, *together(bare, asked))


def rates(asked: Asked, prefill_s: float, decode_s: float) -> Figures:
    n_tokens = sum(asked.n_generated)
    n_decoded = n_tokens - len(asked.prompts)  # the prompts give the first ones
    return {"tok/s": n_tokens / (prefill_s + decode_s), "decode tok/s": n_decoded / decode_s}


def prefix16(bare: Bare, asked: Asked) -> Figures:
    first, last = min(asked.prompts), max(asked.prompts)
    n_shared = next(index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    prefill_s = bare.prefill({0: first[:n_shared]})
    copy_s = bare.copy_to_all()
    prefill_s += bare.prefill({index: tokens[n_shared:] for index, tokens in enumerate(asked.prompts)})
    decode_s = sum(bare.decode(len(asked.prompts), asked.n_generated[0] - 1))
    return {"s": prefill_s + copy_s + decode_s, "last first token s": prefill_s, "copies s": copy_s}


def turns(bare: Bare, asked: Asked) -> Figures:
    n_held = 0
    first_s = []
    seconds = 0.0
    for prompt, n_generated in zip(asked.prompts, asked.n_generated, strict=True):
        # What was generated is held as it was; the newest tokens of the prompt are new.
        first_s.append(bare.prefill({0: prompt[min(n_held, len(prompt) - 1) :]}))
        # The last token is computed with the next turn's: it is among those that the prompt repeats.
        seconds += first_s[-1] + sum(bare.decode(1, n_generated - 1))
        n_held = len(prompt) + n_generated - 1
    return {"tok/s": sum(asked.n_generated) / seconds, "first token ms": 1e3 * statistics.median(first_s[1:])}


def hol(bare: Bare, asked: Asked) -> Figures:
    _, *streams, late = asked.prompts
    first_s = bare.prefill({0: late})
    bare.forget()
    bare.prefill(dict(enumerate(streams)))
    steps = bare.decode(len(streams), 64)
    return {"its first token alone s": first_s, "gap p50 without it ms": 1e3 * statistics.median(steps)}


def short64(bare: Bare, asked: Asked) -> Figures:
    seconds = 0.0
    for start in range(0, len(asked.prompts), Shape.n_parallel):
        wave = asked.prompts[start : start + Shape.n_parallel]
        bare.forget()
        seconds += bare.prefill(dict(enumerate(wave)))
        seconds += sum(bare.decode(len(wave), asked.n_generated[0] - 1))
    return {"s": seconds}


def memory(bare: Bare, asked: Asked) -> Figures:
    together(bare, asked)
    return {}


CEILINGS: dict[str, Callable[[Bare, Asked], Figures]] = {
    "single": single,
    "many16": many16,
    "prefix16": prefix16,
    "turns": turns,
    "hol": hol,
    "short64": short64,
    "memory": memory,
}


def variants(workload: str) -> list[Variant]:
    """Return what is tried. Memory is that of a plain context, whose flash attention upstream turns on."""
    if workload == "memory":
        return [Variant(flash=True, together=True)]
    several = workload in {"many16", "prefix16", "short64"}
    return [Variant(flash, packed) for flash in (False, True) for packed in ((False, True) if several else (True,))]
