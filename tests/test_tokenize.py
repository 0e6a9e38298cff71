"""tokenize, detokenize, count_tokens and apply_template, against upstream's fixtures and its own functions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from support import ENDLESS, QUESTION, gather, is_idle, stats, until
from tools.tiny_models import llama_model, tiny_llama

from llama_async import APITimeoutError, AsyncLlama, BadRequestError, NotFoundError
from llama_async.lowlevel import ffi, lib

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [
    "The capital of France is Paris.",
    "naïve café — 日本語 🦙🦙",
    "  leading,   inner   and trailing  ",
    "line\nline\r\n\ttab",
    "a <|im_start|>user text<|im_end|>",
    "",
    "1234567890 3.14",
]


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
def vocab(model_path: Path) -> Any:
    """Upstream's vocabulary of the default model."""
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(model_path).encode(), params)
    assert model != ffi.NULL
    yield lib.llama_model_get_vocab(model)
    lib.llama_model_free(model)


@pytest.fixture(scope="module")
def fixtures(source: Path) -> Path:
    """Upstream's vocabularies with texts and their tokens."""
    return source / "models"


def upstream_tokens(vocab: Any, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
    data = text.encode()
    tokens = ffi.new("llama_token[]", len(data) + 8)
    n = lib.llama_tokenize(vocab, data, len(data), tokens, len(data) + 8, add_special, parse_special)
    assert n >= 0
    return list(tokens[0:n])


@pytest.mark.parametrize("add_special", [False, True])
@pytest.mark.parametrize("parse_special", [False, True])
async def test_tokens_are_upstreams(
    shared_client: AsyncLlama, vocab: Any, add_special: bool, parse_special: bool
) -> None:
    tokens = await shared_client.tokenize(TEXTS, add_special=add_special, parse_special=parse_special)
    assert tokens == [
        upstream_tokens(vocab, text, add_special=add_special, parse_special=parse_special) for text in TEXTS
    ]


async def test_text_comes_back(shared_client: AsyncLlama) -> None:
    tokens = await shared_client.tokenize(TEXTS)
    assert await shared_client.detokenize(tokens) == TEXTS
    one = await shared_client.tokenize(TEXTS[1])
    assert one == tokens[1]
    assert await shared_client.detokenize(iter(one)) == TEXTS[1]
    assert await shared_client.tokenize([]) == []
    assert await shared_client.detokenize([]) == ""


async def test_control_tokens_are_shown_and_half_characters_replaced(shared_client: AsyncLlama) -> None:
    [start] = await shared_client.tokenize("<|im_start|>")
    assert await shared_client.detokenize([start]) == "<|im_start|>"
    assert len(await shared_client.tokenize("<|im_start|>", parse_special=False)) > 1
    llama = await shared_client.tokenize("🦙")
    assert len(llama) > 1
    assert await shared_client.detokenize(llama[:1]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("name", ["llama-spm", "gpt-2", "phi-3"])
async def test_upstreams_fixtures(fixtures: Path, tmp_path: Path, name: str) -> None:
    """Its vocabularies have no weights, so each is given to a tiny model."""
    reader = gguf.GGUFReader(fixtures / f"ggml-vocab-{name}.gguf")
    vocabulary = {key: field.contents() for key, field in reader.fields.items() if key.startswith("tokenizer.ggml.")}
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])
    model = llama_model(n_vocab=n_vocab, n_embd=32, n_layer=1, chat_template=None)
    model.metadata = {k: v for k, v in model.metadata.items() if not k.startswith("tokenizer.")} | vocabulary
    path = model.save(tmp_path / "vocab.gguf")
    texts = (fixtures / f"ggml-vocab-{name}.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = (fixtures / f"ggml-vocab-{name}.gguf.out").read_text().splitlines()
    assert len(texts) >= len(lines) > 30
    async with AsyncLlama(path, n_ctx=256, n_parallel=1, n_threads=1) as client:
        tokens = await client.tokenize(texts[: len(lines)], parse_special=False)
    assert tokens == [list(map(int, line.split())) for line in lines]


async def test_bos_is_added_where_the_model_wants_it(tmp_path: Path) -> None:
    async with AsyncLlama(tiny_llama(tmp_path / "tiny.gguf"), n_ctx=256, n_threads=1) as client:
        plain = await client.tokenize("hi")
        assert await client.tokenize("hi", add_special=True) == [1, *plain]
        assert await client.count_tokens("hi") == 1 + len(plain)


async def test_counts_are_those_of_usage(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
    assert answer.usage is not None
    assert await shared_client.count_tokens(QUESTION) == answer.usage.prompt_tokens
    text = "The capital of France is"
    completion = await shared_client.completions.create(model="default", prompt=text, max_tokens=1)
    assert completion.usage is not None
    assert await shared_client.count_tokens(text) == completion.usage.prompt_tokens


async def test_apply_template(shared_client: AsyncLlama) -> None:
    prompt = await shared_client.apply_template(QUESTION)
    assert prompt.endswith("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")
    without = await shared_client.apply_template(QUESTION, add_generation_prompt=False)
    assert prompt == without + "<|im_start|>assistant\n"
    assert await shared_client.count_tokens(prompt) == await shared_client.count_tokens(QUESTION)
    # A name of a control token in a message is shown, and stays text where the prompt is computed.
    spelled = [{"role": "user", "content": "<|im_end|>"}]
    assert "user\n<|im_end|><|im_end|>" in await shared_client.apply_template(spelled)
    assert await shared_client.count_tokens(spelled) > await shared_client.count_tokens(
        await shared_client.apply_template(spelled)
    )


async def test_a_template_of_another_model(model_path: Path) -> None:
    template = "{{ tag }}:{% for m in messages %}{{ m.content }}{% endfor %}"
    async with AsyncLlama(model_path, n_ctx=256, n_threads=1, chat_template=template) as client:
        body = {"chat_template_kwargs": {"tag": "x"}}
        assert await client.apply_template(QUESTION, extra_body=body) == f"x:{QUESTION[0]['content']}"


async def test_longer_than_any_context(shared_client: AsyncLlama) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 10_000
    n = await shared_client.count_tokens(text)
    assert n > 90_000
    tokens = await shared_client.tokenize(text)
    assert len(tokens) == n
    assert await shared_client.detokenize(tokens) == text


async def test_they_take_no_step_and_wait_for_none(shared_client: AsyncLlama) -> None:
    await until(lambda: is_idle(shared_client))
    before = stats(shared_client)["n_steps"]
    await shared_client.tokenize("hi")
    await shared_client.apply_template(QUESTION)
    assert stats(shared_client)["n_steps"] == before
    streams = [await shared_client.chat.completions.create(stream=True, max_tokens=400, **ENDLESS) for _ in range(4)]
    assert await shared_client.tokenize("hi")
    assert stats(shared_client)["n_running"] == 4
    for stream in streams:
        await stream.close()


async def refusal(call: Any) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        await call
    return caught.value


async def test_what_is_refused(shared_client: AsyncLlama) -> None:
    c: Any = shared_client
    for call, param in [
        (c.tokenize(5), "text"),
        (c.tokenize(b"x"), "text"),
        (c.tokenize(["a", 5]), "text[1]"),
        (c.tokenize("\ud800"), "text"),
        (c.tokenize("a", add_special=1), "add_special"),
        (c.tokenize("a" * (4 * 2**20 + 1)), "text"),
        (c.detokenize("abc"), "tokens"),
        (c.detokenize(["a"]), "tokens[0]"),
        (c.detokenize([1, "a"]), "tokens"),
        (c.detokenize([-1]), "tokens"),
        (c.detokenize([49152]), "tokens"),
        (c.detokenize([[1], [2**31]]), "tokens[1]"),
        (c.count_tokens([]), "messages"),
        (c.count_tokens(5), "messages"),
        (c.apply_template("hi"), "messages"),
        (c.apply_template(QUESTION, add_generation_prompt="no"), "add_generation_prompt"),
        (c.apply_template(QUESTION, extra_body={"nonsense": 1}), "nonsense"),
    ]:
        error = await refusal(call)
        assert error.param == param, error


async def test_names_and_timeouts(shared_client: AsyncLlama) -> None:
    with pytest.raises(NotFoundError):
        await shared_client.tokenize("a", model="no-such-model")
    with pytest.raises(APITimeoutError):
        await shared_client.tokenize("a", timeout=0)


async def test_many_at_once(shared_client: AsyncLlama) -> None:
    texts = [f"text number {index}" for index in range(50)]
    results = await gather(*(lambda text=text: shared_client.tokenize(text) for text in texts))  # type: ignore[misc]
    assert await shared_client.detokenize(results) == texts


async def test_closing_ends_them(model_path: Path) -> None:
    client = AsyncLlama(model_path, n_ctx=256, n_threads=1)
    async with client:
        pass
    with pytest.raises(RuntimeError):
        await client.tokenize("a")


@pytest.fixture(scope="module")
async def shared_client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, n_ctx=1024, n_parallel=4, n_threads=1) as client:
        yield client
