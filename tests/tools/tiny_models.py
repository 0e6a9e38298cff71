"""Random GGUF models of a few hundred kilobytes, written in milliseconds, for tests of mechanics, not of language.

Owns their weights, vocabulary and metadata. Everything follows from the arguments and the seed, so that two tests see
the same model. All weights are f32: a prompt computed in other chunks moves logits by 1e-5, and greedy answers can be
compared as text. Answers are printable ASCII, do not end by themselves, and depend on the whole prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = [
    "CHATML",
    "TINY_MODELS",
    "TinyModel",
    "bert_model",
    "hybrid_model",
    "llama_model",
    "mamba_model",
    "mtp_model",
    "swa_model",
    "tiny_bert",
    "tiny_hybrid",
    "tiny_llama",
    "tiny_mamba",
    "tiny_mtp",
    "tiny_reranker",
    "tiny_swa",
]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_UNK, _BOS, _EOS, _FIRST_BYTE = 0, 1, 2, 3
_IM_START, _IM_END = _FIRST_BYTE + 256, _FIRST_BYTE + 257
_N_FIXED = _IM_END + 1
# Whole words, so that not every character is a token of its own.
_WORDS = " the and of to in is you that it he was for on are as with his they at be this have from".split()

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class TinyModel:
    """What goes into a GGUF file. Change it before `save` to make a file that is wrong in one thing.

    Attributes:
        architecture: `general.architecture`.
        metadata: Key -> value: bool, int (stored as uint32), float (float32), text, or a list of one of them.
        tensors: Name -> array in numpy's order of dimensions, which is ggml's reversed.
        raw_types: Tensors that are arrays of bytes -> the type these bytes stand for.
    """

    architecture: str
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    raw_types: dict[str, gguf.GGMLQuantizationType] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        """Write the file and return its path."""
        writer = gguf.GGUFWriter(path, self.architecture)
        for key, value in self.metadata.items():
            writer.add_key_value(key, *_typed(value))
        for name, tensor in self.tensors.items():
            writer.add_tensor(name, tensor, raw_dtype=self.raw_types.get(name))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def _typed(value: Any) -> tuple[Any, gguf.GGUFValueType] | tuple[Any, gguf.GGUFValueType, gguf.GGUFValueType]:
    def scalar(value: Any) -> gguf.GGUFValueType:
        if isinstance(value, bool):
            return gguf.GGUFValueType.BOOL
        if isinstance(value, int):
            return gguf.GGUFValueType.INT32 if value < 0 else gguf.GGUFValueType.UINT32
        return gguf.GGUFValueType.FLOAT32 if isinstance(value, float) else gguf.GGUFValueType.STRING

    if not isinstance(value, list):
        return value, scalar(value)
    kind = scalar(value[0])
    # Upstream wants int32 where it reads an array of integers (token types, pattern of layers).
    return value, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.INT32 if kind is gguf.GGUFValueType.UINT32 else kind


def _vocabulary(n_vocab: int, chat_template: str | None) -> tuple[dict[str, Any], list[bool]]:
    """Return the tokenizer's metadata, and which tokens an answer may hold."""
    if n_vocab < _N_FIXED:
        raise ValueError(f"n_vocab is {n_vocab}, but the bytes and control tokens alone are {_N_FIXED}")
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<|im_start|>", "<|im_end|>"]
    kinds = [2, 3, 3, *[6] * 256, 3, 3]  # unknown, control, byte
    printable = [False] * _FIRST_BYTE + [0x20 <= byte < 0x7F for byte in range(256)] + [False, False]
    # The space alone too: spelled in bytes it would come back as "▁".
    words = ["▁", *("▁" + word for word in _WORDS)]
    n_words = n_vocab - _N_FIXED
    words = (words + [f"▁w{index}" for index in range(n_words)])[:n_words]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens + words,
        "tokenizer.ggml.scores": [0.0] * _N_FIXED + [-1.0 - index for index in range(n_words)],
        "tokenizer.ggml.token_type": kinds + [1] * n_words,
        "tokenizer.ggml.bos_token_id": _BOS,
        "tokenizer.ggml.eos_token_id": _EOS,
        "tokenizer.ggml.unknown_token_id": _UNK,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = chat_template
        metadata["tokenizer.ggml.eot_token_id"] = _IM_END
    return metadata, printable + [True] * n_words


class _Weights:
    """Draws tensors whose products keep unit variance, and collects them by name."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.tensors: dict[str, Array] = {}

    def matrix(self, name: str, n_out: int, n_in: int, gain: float = 1.0) -> None:
        weights = self._random.standard_normal((n_out, n_in)) * gain / np.sqrt(n_in)
        self.tensors[f"{name}.weight"] = weights.astype(np.float32)

    def constant(self, name: str, n: int, value: float = 1.0) -> None:
        self.tensors[name] = np.full(n, value, np.float32)

    def table(self, n_vocab: int, n_embd: int) -> None:
        self.tensors["token_embd.weight"] = self._random.standard_normal((n_vocab, n_embd)).astype(np.float32)

    def output(self, answerable: list[bool], n_embd: int) -> None:
        # Gain 6 puts seconds a good distance behind the most likely token; the others' logits are all 0, far below.
        self.matrix("output", len(answerable), n_embd, gain=6)
        self.tensors["output.weight"][~np.array(answerable)] = 0

    def attention(self, block: str, n_embd: int, n_head: int, n_head_kv: int, head_dim: int) -> None:
        # Gain 2 makes attention pick rather than average, so that single tokens far back tell.
        self.matrix(f"{block}.attn_q", n_head * head_dim, n_embd, gain=2)
        self.matrix(f"{block}.attn_k", n_head_kv * head_dim, n_embd, gain=2)
        self.matrix(f"{block}.attn_v", n_head_kv * head_dim, n_embd)
        self.matrix(f"{block}.attn_output", n_embd, n_head * head_dim, gain=2)

    def experts(self, block: str, n_embd: int, n_ff: int, n_expert: int) -> None:
        """Of one layer, and one that is shared; each of them n_ff wide."""
        for name, n_out, n_in in (("gate", n_ff, n_embd), ("up", n_ff, n_embd), ("down", n_embd, n_ff)):
            self.matrix(f"{block}.ffn_{name}_shexp", n_out, n_in)
            shape = (n_expert, n_out, n_in)
            weights = self._random.standard_normal(shape) / np.sqrt(n_in)
            self.tensors[f"{block}.ffn_{name}_exps.weight"] = weights.astype(np.float32)

    def feed_forward(self, block: str, n_embd: int, n_ff: int) -> None:
        self.constant(f"{block}.ffn_norm.weight", n_embd)
        self.matrix(f"{block}.ffn_gate", n_ff, n_embd)
        self.matrix(f"{block}.ffn_up", n_ff, n_embd)
        self.matrix(f"{block}.ffn_down", n_embd, n_ff)


def _metadata(architecture: str, **values: Any) -> dict[str, Any]:
    return {f"{architecture}.{key.replace('__', '.')}": value for key, value in values.items()}


def llama_model(
    *,
    seed: int = 0,
    n_vocab: int = 300,
    n_embd: int = 64,
    n_layer: int = 2,
    n_head: int = 4,
    n_head_kv: int = 2,
    n_ctx_train: int = 4096,
    chat_template: str | None = CHATML,
) -> TinyModel:
    """Return a plain transformer: grouped-query attention, SwiGLU, RoPE."""
    vocabulary, answerable = _vocabulary(n_vocab, chat_template)
    n_ff = 2 * n_embd
    weights = _Weights(seed)
    weights.table(n_vocab, n_embd)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.constant(f"{block}.attn_norm.weight", n_embd)
        weights.attention(block, n_embd, n_head, n_head_kv, n_embd // n_head)
        weights.feed_forward(block, n_embd, n_ff)
    weights.constant("output_norm.weight", n_embd)
    weights.output(answerable, n_embd)
    metadata = _metadata(
        "llama",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer,
        feed_forward_length=n_ff,
        attention__head_count=n_head,
        attention__head_count_kv=n_head_kv,
        attention__layer_norm_rms_epsilon=1e-5,
        rope__dimension_count=n_embd // n_head,
        vocab_size=n_vocab,
    )
    return TinyModel("llama", {"general.name": "tiny llama", **metadata, **vocabulary}, weights.tensors)


def swa_model(
    *,
    seed: int = 0,
    n_vocab: int = 300,
    n_embd: int = 64,
    n_layer: int = 2,
    n_head: int = 4,
    n_ctx_train: int = 4096,
    n_swa: int = 32,
    chat_template: str | None = CHATML,
) -> TinyModel:
    """Return a Gemma 3 whose even layers see only the last `n_swa` tokens."""
    vocabulary, answerable = _vocabulary(n_vocab, chat_template)
    n_ff, head_dim, n_head_kv = 2 * n_embd, n_embd // n_head, 2
    weights = _Weights(seed)
    weights.table(n_vocab, n_embd)
    # Gemma multiplies embeddings by sqrt(n_embd).
    weights.tensors["token_embd.weight"] /= np.sqrt(np.float32(n_embd))
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.constant(f"{block}.attn_norm.weight", n_embd)
        weights.attention(block, n_embd, n_head, n_head_kv, head_dim)
        weights.constant(f"{block}.attn_q_norm.weight", head_dim, 2)
        weights.constant(f"{block}.attn_k_norm.weight", head_dim, 2)
        weights.constant(f"{block}.post_attention_norm.weight", n_embd, 2)
        weights.feed_forward(block, n_embd, n_ff)
        weights.constant(f"{block}.post_ffw_norm.weight", n_embd)
    weights.constant("output_norm.weight", n_embd)
    weights.output(answerable, n_embd)
    metadata = _metadata(
        "gemma3",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer,
        feed_forward_length=n_ff,
        attention__head_count=n_head,
        attention__head_count_kv=n_head_kv,
        attention__key_length=head_dim,
        attention__value_length=head_dim,
        attention__layer_norm_rms_epsilon=1e-6,
        attention__sliding_window=n_swa,
        attention__sliding_window_pattern=2,
    )
    return TinyModel("gemma3", {"general.name": "tiny swa", **metadata, **vocabulary}, weights.tensors)


def mamba_model(
    *,
    seed: int = 0,
    n_vocab: int = 300,
    n_embd: int = 64,
    n_layer: int = 2,
    n_ctx_train: int = 4096,
    chat_template: str | None = CHATML,
) -> TinyModel:
    """Return a recurrent model (Mamba): its state cannot step back."""
    vocabulary, answerable = _vocabulary(n_vocab, chat_template)
    d_conv, d_inner, d_state, dt_rank = 4, 2 * n_embd, 16, max(1, n_embd // 16)
    weights = _Weights(seed)
    weights.table(n_vocab, n_embd)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.constant(f"{block}.attn_norm.weight", n_embd)
        weights.matrix(f"{block}.ssm_in", 2 * d_inner, n_embd)
        weights.matrix(f"{block}.ssm_conv1d", d_inner, d_conv)
        weights.constant(f"{block}.ssm_conv1d.bias", d_inner, 0)
        weights.matrix(f"{block}.ssm_x", dt_rank + 2 * d_state, d_inner, gain=2)
        weights.matrix(f"{block}.ssm_dt", d_inner, dt_rank)
        # softplus(-6) is a step of 0.0025, and the decay 1: the state remembers some 400 tokens.
        weights.constant(f"{block}.ssm_dt.bias", d_inner, -6)
        weights.tensors[f"{block}.ssm_a"] = np.full((d_inner, d_state), -1, np.float32)
        weights.constant(f"{block}.ssm_d", d_inner, 0.02)
        weights.matrix(f"{block}.ssm_out", n_embd, d_inner, gain=64)
    weights.constant("output_norm.weight", n_embd)
    weights.output(answerable, n_embd)
    metadata = _metadata(
        "mamba",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer,
        feed_forward_length=0,
        attention__head_count=0,
        attention__layer_norm_rms_epsilon=1e-5,
        ssm__conv_kernel=d_conv,
        ssm__inner_size=d_inner,
        ssm__state_size=d_state,
        ssm__time_step_rank=dt_rank,
    )
    return TinyModel("mamba", {"general.name": "tiny mamba", **metadata, **vocabulary}, weights.tensors)


def hybrid_model(
    *,
    seed: int = 0,
    n_vocab: int = 300,
    n_embd: int = 64,
    n_layer: int = 4,
    n_head: int = 4,
    n_ctx_train: int = 4096,
    chat_template: str | None = CHATML,
) -> TinyModel:
    """Return an LFM2: even layers are short convolutions with a state, odd ones attention."""
    vocabulary, answerable = _vocabulary(n_vocab, chat_template)
    n_ff, head_dim, n_head_kv, l_cache = 2 * n_embd, n_embd // n_head, 2, 3
    weights = _Weights(seed)
    weights.table(n_vocab, n_embd)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.constant(f"{block}.attn_norm.weight", n_embd)
        if layer % 2:
            weights.attention(block, n_embd, n_head, n_head_kv, head_dim)
            weights.constant(f"{block}.attn_q_norm.weight", head_dim, 2)
            weights.constant(f"{block}.attn_k_norm.weight", head_dim, 2)
        else:
            weights.matrix(f"{block}.shortconv.conv", n_embd, l_cache)
            weights.matrix(f"{block}.shortconv.in_proj", 3 * n_embd, n_embd)
            weights.matrix(f"{block}.shortconv.out_proj", n_embd, n_embd)
        weights.feed_forward(block, n_embd, n_ff)
    weights.constant("token_embd_norm.weight", n_embd)
    weights.output(answerable, n_embd)
    metadata = _metadata(
        "lfm2",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer,
        feed_forward_length=n_ff,
        attention__head_count=n_head,
        attention__head_count_kv=[n_head_kv if layer % 2 else 0 for layer in range(n_layer)],
        attention__layer_norm_rms_epsilon=1e-5,
        rope__dimension_count=head_dim,
        shortconv__l_cache=l_cache,
        vocab_size=n_vocab,
    )
    return TinyModel("lfm2", {"general.name": "tiny hybrid", **metadata, **vocabulary}, weights.tensors)


def mtp_model(
    *,
    seed: int = 0,
    n_vocab: int = 300,
    n_embd: int = 64,
    n_layer: int = 2,
    n_head: int = 4,
    n_head_kv: int = 2,
    n_expert: int = 2,
    n_ctx_train: int = 4096,
    chat_template: str | None = CHATML,
) -> TinyModel:
    """Return GLM-4.5's architecture: a dense layer, experts, and one more layer that predicts the token after the next.

    That layer has random weights too: what it guesses is wrong mostly, as a test of taking guesses back wants it.
    """
    vocabulary, answerable = _vocabulary(n_vocab, chat_template)
    n_ff = 2 * n_embd
    weights = _Weights(seed)
    weights.table(n_vocab, n_embd)
    for layer in range(n_layer + 1):
        block = f"blk.{layer}"
        weights.constant(f"{block}.attn_norm.weight", n_embd)
        weights.attention(block, n_embd, n_head, n_head_kv, n_embd // n_head)
        weights.constant(f"{block}.post_attention_norm.weight", n_embd)
        if layer == 0:
            weights.matrix(f"{block}.ffn_gate", n_ff, n_embd)
            weights.matrix(f"{block}.ffn_up", n_ff, n_embd)
            weights.matrix(f"{block}.ffn_down", n_embd, n_ff)
            continue
        weights.matrix(f"{block}.ffn_gate_inp", n_expert, n_embd)
        weights.constant(f"{block}.exp_probs_b.bias", n_expert, 0.0)
        weights.experts(block, n_embd, n_ff, n_expert)
        if layer == n_layer:
            weights.matrix(f"{block}.nextn.eh_proj", n_embd, 2 * n_embd)
            weights.constant(f"{block}.nextn.enorm.weight", n_embd)
            weights.constant(f"{block}.nextn.hnorm.weight", n_embd)
    weights.constant("output_norm.weight", n_embd)
    weights.output(answerable, n_embd)
    metadata = _metadata(
        "glm4moe",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer + 1,
        nextn_predict_layers=1,
        leading_dense_block_count=1,
        feed_forward_length=n_ff,
        expert_feed_forward_length=n_ff,
        expert_count=n_expert,
        expert_used_count=1,
        expert_shared_count=1,
        expert_weights_scale=1.0,
        expert_weights_norm=True,
        attention__head_count=n_head,
        attention__head_count_kv=n_head_kv,
        attention__key_length=n_embd // n_head,
        attention__value_length=n_embd // n_head,
        attention__layer_norm_rms_epsilon=1e-5,
        rope__dimension_count=n_embd // n_head,
        vocab_size=n_vocab,
    )
    return TinyModel("glm4moe", {"general.name": "tiny mtp", **metadata, **vocabulary}, weights.tensors)


def _wordpieces() -> dict[str, Any]:
    """Return the tokenizer's metadata of a vocabulary of single characters, 5 special tokens before them."""
    characters = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"▁{char}" for char in characters), *characters]
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 2, 3, 3, 3] + [1] * (2 * len(characters)),
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,  # upstream's spelling
        "tokenizer.ggml.mask_token_id": 4,
    }


def bert_model(
    *, seed: int = 0, n_embd: int = 64, n_layer: int = 2, n_head: int = 4, n_ctx_train: int = 256, rank: bool = False
) -> TinyModel:
    """Return an encoder. With `rank` it has a head that turns a pair of texts into a number."""
    vocabulary = _wordpieces()
    n_ff = 2 * n_embd
    weights = _Weights(seed)

    def norm(name: str) -> None:
        weights.constant(f"{name}.weight", n_embd)
        weights.constant(f"{name}.bias", n_embd, 0)

    weights.table(len(vocabulary["tokenizer.ggml.tokens"]), n_embd)
    weights.tensors["token_types.weight"] = np.zeros((2, n_embd), np.float32)
    weights.matrix("position_embd", n_ctx_train, n_embd, gain=np.sqrt(n_embd))
    norm("token_embd_norm")
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.attention(block, n_embd, n_head, n_head, n_embd // n_head)
        norm(f"{block}.attn_output_norm")
        weights.matrix(f"{block}.ffn_up", n_ff, n_embd)
        weights.matrix(f"{block}.ffn_down", n_embd, n_ff)
        norm(f"{block}.layer_output_norm")
    if rank:
        weights.matrix("cls", n_embd, n_embd)
        weights.constant("cls.bias", n_embd, 0)
        weights.matrix("cls.output", 1, n_embd, gain=3)
        weights.constant("cls.output.bias", 1, 0)
    metadata = _metadata(
        "bert",
        context_length=n_ctx_train,
        embedding_length=n_embd,
        block_count=n_layer,
        feed_forward_length=n_ff,
        attention__head_count=n_head,
        attention__layer_norm_epsilon=1e-12,
        attention__causal=False,
        pooling_type=4 if rank else 1,
    )
    return TinyModel("bert", {"general.name": "tiny bert", **metadata, **vocabulary}, weights.tensors)


def _write(make: Callable[..., TinyModel], path: Path, **options: Any) -> Path:
    return path if path.exists() else make(**options).save(path)


# Each takes a path and the keywords of its `..._model`, and writes the file unless it is there.
tiny_llama = partial(_write, llama_model)
tiny_swa = partial(_write, swa_model)
tiny_mamba = partial(_write, mamba_model)
tiny_hybrid = partial(_write, hybrid_model)
tiny_mtp = partial(_write, mtp_model)
tiny_bert = partial(_write, bert_model)
tiny_reranker = partial(_write, bert_model, rank=True)

TINY_MODELS: Mapping[str, Callable[..., Path]] = {
    "llama": tiny_llama,
    "swa": tiny_swa,
    "mamba": tiny_mamba,
    "hybrid": tiny_hybrid,
}
