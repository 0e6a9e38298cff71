"""Whether a grammar accepts a text, by llama.cpp's own engine over a model's vocabulary, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llama_async.lowlevel import ffi, lib


class Grammars:
    """Compiles grammars for the vocabulary of a model."""

    def __init__(self, model: Path) -> None:
        params = lib.llama_model_default_params()
        params.vocab_only = True
        self._model = lib.llama_model_load_from_file(str(model).encode(), params)
        assert self._model != ffi.NULL
        self.vocab = lib.llama_model_get_vocab(self._model)
        self.end = lib.llama_vocab_eos(self.vocab)

    def close(self) -> None:
        lib.llama_model_free(self._model)

    @contextmanager
    def compiled(self, text: str) -> Iterator[Acceptor]:
        sampler = lib.llama_sampler_init_grammar(self.vocab, text.encode(), b"root")
        assert sampler != ffi.NULL, text
        try:
            yield Acceptor(self, sampler)
        finally:
            lib.llama_sampler_free(sampler)


class Acceptor:
    """One compiled grammar."""

    def __init__(self, grammars: Grammars, sampler: object) -> None:
        self._grammars = grammars
        self._sampler = sampler
        self._candidate = ffi.new("llama_token_data[1]")
        self._candidates = ffi.new("llama_token_data_array *")
        self._candidates.data = self._candidate

    def accepts(self, text: str, *, whole: bool = True) -> bool:
        """Whether the text, or with `whole` unset some text that begins with it, obeys the grammar."""
        lib.llama_sampler_reset(self._sampler)
        for token in self._tokens(text):
            if not self._allows(token):
                return False
            lib.llama_sampler_accept(self._sampler, token)
        return not whole or self._allows(self._grammars.end)

    def _tokens(self, text: str) -> list[int]:
        data = text.encode()
        tokens = ffi.new("llama_token[]", len(data) + 8)
        n = lib.llama_tokenize(self._grammars.vocab, data, len(data), tokens, len(tokens), False, False)
        assert n >= 0
        return list(tokens[0:n])

    def _allows(self, token: int) -> bool:
        self._candidate[0].id = token
        self._candidate[0].logit = 0
        self._candidates.size = 1
        self._candidates.selected = -1
        lib.llama_sampler_apply(self._sampler, self._candidates)
        return bool(self._candidate[0].logit > -1e30)
