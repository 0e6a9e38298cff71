"""Tokenize, decode and sample by hand, with nothing but llama.cpp's own C functions.

    python examples/low_level.py [MODEL.gguf] [PROMPT]

Without a model the default one is fetched. Everything that is allocated is freed, in the opposite order.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from llama_async._default_model import default_model_path
from llama_async.lowlevel import ffi, lib

N_GENERATE = 48


def tokenize(vocab: ffi.CData, text: str) -> list[int]:
    data = text.encode()
    # Called with no room it returns the negative of the room it needs.
    n_tokens = -lib.llama_tokenize(vocab, data, len(data), ffi.NULL, 0, True, True)
    tokens = ffi.new("llama_token[]", n_tokens)
    if lib.llama_tokenize(vocab, data, len(data), tokens, n_tokens, True, True) != n_tokens:
        raise RuntimeError("the tokenizer changed its mind")
    return list(tokens)


def piece(vocab: ffi.CData, token: int) -> bytes:
    buffer = ffi.new("char[]", 256)
    n_bytes = lib.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
    return bytes(ffi.buffer(buffer, max(n_bytes, 0)))


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(model_path: str, prompt: str) -> str:
    silent = ffi.callback("void(enum ggml_log_level, const char *, void *)", lambda level, text, data: None)
    lib.llama_log_set(silent, ffi.NULL)
    with ExitStack() as cleanup:
        # The callback is freed with this frame; upstream's own may follow.
        cleanup.callback(lib.llama_log_set, ffi.NULL, ffi.NULL)
        lib.llama_backend_init()
        cleanup.callback(lib.llama_backend_free)

        model = lib.llama_model_load_from_file(model_path.encode(), lib.llama_model_default_params())
        if model == ffi.NULL:
            raise SystemExit(f"cannot load {model_path}")
        cleanup.callback(lib.llama_model_free, model)
        vocab = lib.llama_model_get_vocab(model)
        tokens = tokenize(vocab, f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n")

        params = lib.llama_context_default_params()
        params.n_ctx = len(tokens) + N_GENERATE
        # Threads wait for each other by spinning: more of them than cores and they crawl.
        params.n_threads = params.n_threads_batch = usable_cores()
        params.n_batch = len(tokens)  # more tokens in one llama_decode would end the process
        context = lib.llama_init_from_model(model, params)
        if context == ffi.NULL:
            raise SystemExit("cannot create a context")
        cleanup.callback(lib.llama_free, context)

        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        cleanup.callback(lib.llama_sampler_free, chain)  # frees the samplers in it as well
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_k(40))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(0.2))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(7))

        answer = b""
        current = ffi.new("llama_token[]", tokens)
        for _ in range(N_GENERATE):
            if (status := lib.llama_decode(context, lib.llama_batch_get_one(current, len(current)))) != 0:
                raise SystemExit(f"llama_decode returned {status}")
            token = lib.llama_sampler_sample(chain, context, -1)
            if lib.llama_vocab_is_eog(vocab, token):
                break
            answer += piece(vocab, token)
            current = ffi.new("llama_token[]", [token])
        return answer.decode("utf-8", "replace")


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else str(default_model_path())
    question = sys.argv[2] if len(sys.argv) > 2 else "What is the capital of France?"
    print(main(path, question))
