"""Whether greedy answers are the model's own: teacher forcing, alone, in a bare `llama_decode` loop.

Kernels add up in another order for other batches, so that logits move, and bytes need not repeat. What has to hold is
that each token of a greedy answer is the most likely one but for a margin, which is measured: how far logits of
the same tokens move when they are computed in other chunks, and beside another answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import Self

from llama_async.lowlevel import ffi, lib

from .figures import usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Prompts come in parts of a step's budget and behind a copied prefix, and answers token by token.
CHUNKS = (512, 33, 8, 1)

# How long the cut of a text is looked for, in decoded tokens beyond one for each byte.
MOST_WRONG_STEPS = 100


class Judge:
    """A context with flash attention, which computes each answer from nothing, alone.

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
        self._piece = ffi.new("char[]", 512)
        params = lib.llama_context_default_params()
        # Two sequences in one cache, so that one's cells can lie between the other's.
        params.n_seq_max = 2
        params.kv_unified = True
        params.n_ctx = 2 * n_ctx
        params.n_outputs_max = n_ctx
        params.n_batch = params.n_ubatch = max(CHUNKS)
        params.n_threads = params.n_threads_batch = n_threads or usable_cores()
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.no_perf = True
        self._context = lib.llama_init_from_model(self._model, params)
        if self._context == ffi.NULL:
            raise SystemExit("cannot create a context")
        # Behind an end nothing comes.
        self._silent = {token for token in range(self._n_vocab) if not self._spelling(token)} - set(self.ends())
        self._batch = lib.llama_batch_init(max(CHUNKS), 0, 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    def _spelling(self, token: int) -> bytes:
        size = lib.llama_token_to_piece(self._vocab, token, self._piece, len(self._piece), 0, False)
        return bytes(ffi.buffer(self._piece, size)) if size > 0 else b""

    def tokens_by_bytes(self) -> dict[bytes, int]:
        """Return the token of each spelling that only one has."""
        tokens: dict[bytes, int] = {}
        shared: set[bytes] = set()
        for token in range(self._n_vocab):
            spelling = self._spelling(token)
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
        self._clear()
        tokens = [*prompt, *answer]
        places = [(token, place, (0,)) for place, token in enumerate(tokens)]
        return np.stack(self._decode(places, len(prompt) - 1, chunk))

    def logits_beside(self, prompt: Sequence[int], answer: Sequence[int]) -> NDArray[np.float32]:
        """Compute prompt and answer as `logits` does, beside another answer to the same prompt, in the same batches."""
        self._clear()
        first = len(prompt) - 1
        rows = self._decode([(token, place, (0, 1)) for place, token in enumerate(prompt)], first)
        for index, token in enumerate(answer):
            place = len(prompt) + index
            pair = [(token, place, (0,)), (prompt[index % len(prompt)], place, (1,))]
            rows += self._decode(pair, first)[:1]
        return np.stack(rows)

    def _clear(self) -> None:
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)

    def _decode(
        self, tokens: Sequence[tuple[int, int, tuple[int, ...]]], first: int, chunk: int = CHUNKS[0]
    ) -> list[NDArray[np.float32]]:
        """Decode tokens, each with position and sequences; return the logits of those from position `first` on."""
        batch = self._batch
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            for row, (token, place, sequences) in enumerate(part):
                batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, place, len(sequences)
                for index, sequence in enumerate(sequences):
                    batch.seq_id[row][index] = sequence
                batch.logits[row] = place >= first
            batch.n_tokens = len(part)
            if lib.llama_decode(self._context, batch) != 0:
                raise SystemExit("llama_decode failed")
            rows += [self._row(row) for row, (_, place, _) in enumerate(part) if place >= first]
        return rows

    def _row(self, row: int) -> NDArray[np.float32]:
        data = ffi.buffer(lib.llama_get_logits_ith(self._context, row), 4 * self._n_vocab)
        return np.frombuffer(data, dtype=np.float32).copy()

    def spelled(
        self,
        prompt: Sequence[int],
        text: bytes,
        by_bytes: Mapping[bytes, int],
        end: Sequence[int] = (),
        banned: Sequence[int] = (),
    ) -> tuple[int, ...] | None:
        """Return the tokens of an answer whose text alone is known: a text can be cut into tokens in several ways.

        It is the cut whose worst token misses the largest logit by the least, so that where two are nearly as likely
        ("." and "...") what comes behind decides. Tokens without a spelling may lie between, where none is more likely.

        Args:
            prompt: Tokens.
            text: The answer.
            by_bytes: The token of each spelling.
            end: Tokens one of which ended the answer; empty: it did not end by itself.
            banned: Tokens that were not to be chosen.

        Returns:
            Tokens, or `None` where no cut exists.
        """
        longest = max(map(len, by_bytes))
        # The worst deficit, how much text is left, tokens, and whether they have ended. Of equals the furthest first.
        cuts: list[tuple[float, int, tuple[int, ...], bool]] = [(0.0, len(text), (), False)]
        self._clear()
        computed: list[int] = []
        n_steps = 0
        while cuts:
            worst, n_left, tokens, has_ended = heapq.heappop(cuts)
            rest = text[len(text) - n_left :]
            if has_ended or not (rest or end):
                return tokens
            logits = self._logits_behind([*prompt, *tokens], computed)
            logits[list(banned)] = -np.inf
            likeliest = int(logits.argmax())
            missed = logits[likeliest] - logits
            n_steps += 1
            if n_steps > len(text) + MOST_WRONG_STEPS:
                # Nobody's answer: any cut shows it.
                cuts.clear()
            sizes = range(1, min(longest, n_left) + 1)
            nexts = [(by_bytes[rest[:size]], size) for size in sizes if rest[:size] in by_bytes]
            if likeliest in self._silent and len(tokens) < len(prompt):
                nexts.append((likeliest, 0))
            for token, size in nexts:
                heapq.heappush(cuts, (max(worst, float(missed[token])), n_left - size, (*tokens, token), False))
            if end and not rest:
                heapq.heappush(cuts, (max(worst, float(missed[list(end)].min())), 0, tokens, True))
        return None

    def _logits_behind(self, tokens: list[int], computed: list[int]) -> NDArray[np.float32]:
        """Return the logits behind tokens, of which the context holds those `computed`, and make it hold all."""
        n_kept = 0
        while n_kept < min(len(computed), len(tokens) - 1) and computed[n_kept] == tokens[n_kept]:
            n_kept += 1
        if not lib.llama_memory_seq_rm(lib.llama_get_memory(self._context), 0, n_kept, -1):
            self._clear()
            n_kept = 0
        computed[:] = tokens
        places = [(token, n_kept + row, (0,)) for row, token in enumerate(tokens[n_kept:])]
        return self._decode(places, len(tokens) - 1)[0]

    def deficits(
        self, prompt: Sequence[int], answer: Sequence[int], end: Sequence[int] = (), banned: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """Return by how much each token of an answer misses the largest logit.

        Args:
            prompt: Tokens.
            answer: Tokens.
            end: Tokens one of which ended the answer; empty: it did not end by itself.
            banned: Tokens that were not to be chosen.
        """
        logits = self.logits(prompt, answer)
        logits[:, list(banned)] = -np.inf
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
            others.append(self.logits_beside(prompt, answer))
            moved = max(moved, *(float(np.abs(whole - other).max()) for other in others))
        return 2 * moved
