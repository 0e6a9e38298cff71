"""Whether greedy answers are the model's own: teacher forcing, alone, in a bare `llama_decode` loop.

Kernels add up in another order for other batches, so that logits move, and bytes need not repeat. What has to hold is
that each token of a greedy answer is the most likely one but for a margin, which is measured: how far logits of
the same tokens move when they are computed in other chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import Self

from llama_async.lowlevel import ffi, lib

from .figures import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Prompts come in parts of a step's budget, behind a copied prefix, beside others, and answers token by token.
CHUNKS = (512, 33, 8, 1)


class Judge:
    """A context of one sequence with flash attention, which computes each answer from nothing.

    Args:
        path: The model file.
        n_ctx: The longest prompt with its answer, in tokens.
        n_threads: `None`: as many as there are cores.
    """

    def __init__(self, path: str, n_ctx: int, n_threads: int | None = None) -> None:
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if self._model == ffi.NULL:
            raise SystemExit(f"cannot load {path}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._n_vocab = lib.llama_vocab_n_tokens(self._vocab)
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_outputs_max = n_ctx
        params.n_batch = params.n_ubatch = max(CHUNKS)
        params.n_threads = params.n_threads_batch = n_threads or usable_cores()
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.no_perf = True
        self._context = lib.llama_init_from_model(self._model, params)
        if self._context == ffi.NULL:
            raise SystemExit("cannot create a context")
        self._batch = lib.llama_batch_init(max(CHUNKS), 0, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    def tokens_by_bytes(self) -> dict[bytes, int]:
        """Return the token of each spelling that only one has."""
        buffer = ffi.new("char[]", 512)
        tokens: dict[bytes, int] = {}
        shared: set[bytes] = set()
        for token in range(self._n_vocab):
            size = lib.llama_token_to_piece(self._vocab, token, buffer, 512, 0, False)
            spelling = bytes(ffi.buffer(buffer, size)) if size > 0 else b""
            if spelling in tokens:
                shared.add(spelling)
            tokens[spelling] = token
        return {spelling: token for spelling, token in tokens.items() if spelling and spelling not in shared}

    def ends(self) -> list[int]:
        """Return the tokens that end an answer."""
        return [token for token in range(self._n_vocab) if lib.llama_vocab_is_eog(self._vocab, token)]

    def logits(self, prompt: Sequence[int], answer: Sequence[int], chunk: int = CHUNKS[0]) -> NDArray[np.float32]:
        """Compute prompt and answer in chunks of so many tokens.

        Returns:
            float32[len(answer) + 1, n_vocab]: what each token of the answer was chosen from, and what comes after it.
        """
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        tokens = [*prompt, *answer]
        first = len(prompt) - 1
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            for row, token in enumerate(part):
                batch, place = self._batch, start + row
                batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, place, 1
                batch.seq_id[row][0], batch.logits[row] = 0, place >= first
            self._batch.n_tokens = len(part)
            if lib.llama_decode(self._context, self._batch) != 0:
                raise SystemExit("llama_decode failed")
            for row in range(len(part)):
                if start + row >= first:
                    data = ffi.buffer(lib.llama_get_logits_ith(self._context, row), 4 * self._n_vocab)
                    rows.append(np.frombuffer(data, dtype=np.float32).copy())
        return np.stack(rows)

    def deficits(self, prompt: Sequence[int], answer: Sequence[int], end: Sequence[int] = ()) -> NDArray[np.float32]:
        """Return by how much each token of an answer misses the largest logit.

        Args:
            prompt: Tokens.
            answer: Tokens.
            end: Tokens one of which ended the answer; empty: it did not end by itself.
        """
        logits = self.logits(prompt, answer)
        chosen = [logits[row, token] for row, token in enumerate(answer)]
        if end:
            chosen.append(logits[len(answer), list(end)].max())
        return np.asarray(logits[: len(chosen)].max(axis=1) - chosen)

    def margin(self, samples: Iterable[tuple[Sequence[int], Sequence[int]]]) -> float:
        """Return what the most likely token may miss when it is computed otherwise.

        Twice the largest move of a logit: its own may fall while another's rises.

        Args:
            samples: Prompts and answers.
        """
        moved = 0.0
        for prompt, answer in samples:
            whole, *others = (self.logits(prompt, answer, chunk) for chunk in CHUNKS)
            moved = max(moved, *(float(np.abs(whole - other).max()) for other in others))
        return 2 * moved
