"""`embeddings.create`: the vectors, what is refused, and every way a request ends."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from support import ENDLESS, QUESTION, gather, is_idle, stats, until
from tools.minilm import MiniLM, minilm_directory, minilm_gguf
from tools.tiny_models import (
    bert_model,
    tiny_bert,
    tiny_hybrid,
    tiny_llama,
    tiny_mamba,
    tiny_reranker,
    tiny_swa,
)

from llama_async import APITimeoutError, AsyncLlama, BadRequestError, ClientClosedError, RateLimitError

pytestmark = pytest.mark.anyio

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A fast auburn animal leapt across a sleepy hound.",
    "Der schnelle braune Fuchs: ÄÖÜ, naïve façade.",
    "日本語のテキスト",
    "Москва — столица России.",
    "emoji 🙂 in the middle",
    "don't stop-believing: 3.14% of it",
    "x" * 150,
    "[CLS] stays text, and so does [SEP]",
    "a",
    "word " * 200,
]
WORDS = "one two three four five six seven eight nine ten".split()


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
async def minilm(anyio_backend: Any) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(minilm_gguf(), n_threads=1) as client:
        yield client


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert.gguf")


async def embed(client: AsyncLlama, texts: Any, **options: Any) -> np.ndarray[Any, Any]:
    response = await client.embeddings.create(model="default", input=texts, **options)
    assert [item.index for item in response.data] == list(range(len(response.data)))
    return np.array([item.embedding for item in response.data])


# -- what comes out ----------------------------------------------------------------------------------------------------


async def test_agrees_with_the_reference(minilm: AsyncLlama) -> None:
    reference = MiniLM(minilm_directory())
    response = await minilm.embeddings.create(model="default", input=SENTENCES)
    tokens = [reference.tokens(sentence) for sentence in SENTENCES]
    assert response.usage.prompt_tokens == response.usage.total_tokens == sum(map(len, tokens))
    for expected, item in zip(tokens, response.data, strict=True):
        assert np.dot(reference.embed(expected), item.embedding) > 1 - 1e-4


async def test_the_result_is_openais(minilm: AsyncLlama) -> None:
    response = await minilm.embeddings.create(model="default", input="hello", user="somebody")
    assert (response.object, response.model, len(response.data)) == ("list", "default", 1)
    assert (response.data[0].object, response.data[0].index) == ("embedding", 0)
    assert all(type(value) is float for value in response.data[0].embedding)
    assert np.linalg.norm(response.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert response._request_id is not None
    type(response).model_validate(response.to_dict())


async def test_tokens_are_taken_as_they_are(minilm: AsyncLlama) -> None:
    reference = MiniLM(minilm_directory())
    tokens = [reference.tokens(sentence) for sentence in SENTENCES[:3]]
    expected = await embed(minilm, SENTENCES[:3])
    np.testing.assert_allclose(await embed(minilm, tokens), expected, atol=1e-4)
    np.testing.assert_allclose(await embed(minilm, (tuple(run) for run in tokens)), expected, atol=1e-4)
    np.testing.assert_allclose(await embed(minilm, tokens[0]), expected[:1], atol=1e-4)
    np.testing.assert_allclose(await embed(minilm, np.array(tokens[0])), expected[:1], atol=1e-4)


async def test_dimensions_are_cut_and_scaled_anew(minilm: AsyncLlama) -> None:
    whole = await embed(minilm, SENTENCES[:3])
    cut = await embed(minilm, SENTENCES[:3], dimensions=64)
    expected = whole[:, :64] / np.linalg.norm(whole[:, :64], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-4)


async def test_base64_is_the_same_bytes(minilm: AsyncLlama) -> None:
    expected = await embed(minilm, SENTENCES[:3])
    response = await minilm.embeddings.create(model="default", input=SENTENCES[:3], encoding_format="base64")
    for item, vector in zip(response.data, expected, strict=True):
        assert isinstance(item.embedding, str)
        decoded = np.frombuffer(base64.b64decode(item.embedding), "<f4")
        np.testing.assert_array_equal(decoded, vector.astype(np.float32))


async def test_norms(minilm: AsyncLlama) -> None:
    by_norm = {norm: (await embed(minilm, "hello", extra_body={"embd_normalize": norm}))[0] for norm in (-1, 0, 1, 2)}
    raw = by_norm[-1]
    np.testing.assert_allclose(by_norm[2], raw / np.linalg.norm(raw), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_norm[1], raw / np.abs(raw).sum(), rtol=1e-4, atol=1e-6)
    assert np.abs(by_norm[0]).max() == pytest.approx(32760)


@pytest.mark.parametrize("make", [tiny_bert, tiny_llama, tiny_swa, tiny_mamba, tiny_hybrid])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
async def test_together_is_as_alone(make: Any, pooling: Any, tmp_path: Path) -> None:
    """Inputs in one step do not see each other, and what is computed in pieces is whole."""
    path = make(tmp_path / "model.gguf")
    texts = [" ".join(WORDS[:n]) for n in (1, 4, 2, 9, 3)] + [" ".join(WORDS * 3)]
    async with AsyncLlama(path, n_ctx=512, pooling=pooling, n_threads=1, n_ubatch=512) as client:
        together = await embed(client, texts)
        for text, vector in zip(texts, together, strict=True):
            np.testing.assert_allclose((await embed(client, text))[0], vector, atol=1e-3)
    # Steps of 32 tokens at most: the longest is cut, where the model can be.
    async with AsyncLlama(path, n_ctx=512, pooling=pooling, n_threads=1, n_ubatch=32) as client:
        np.testing.assert_allclose(await embed(client, texts), together, atol=1e-3)


async def test_a_model_that_generates_embeds_too(client: AsyncLlama) -> None:
    near, other, far = await embed(client, ["cats are animals", "dogs are animals", "0x7f >>= 3; return EINVAL;"])
    assert near @ other > near @ far
    assert (await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=2)).choices  # type: ignore[arg-type]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": b"bytes"}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": ["a", [5]]}, "input[1]"),
        ({"input": [[5], "a"]}, "input[1]"),
        ({"input": [[5], []]}, "input[1]"),
        ({"input": [[5], [5, "a"]]}, "input[1]"),
        ({"input": [[5], [5, True]]}, "input[1]"),
        ({"input": [1.5]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [2**40]}, "input"),
        ({"input": [5, None]}, "input"),
        ({"input": [10**6]}, "input"),  # no token of this model
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 65}, "dimensions"),
        ({"input": "a", "dimensions": "64"}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "user": 5}, "user"),
        ({"input": "a", "extra_body": {"embd_normalize": 3}}, "embd_normalize"),
        ({"input": "a", "extra_body": {"top_k": 3}}, "top_k"),
    ],
)
async def test_refused(options: Any, param: str, tiny: Path) -> None:
    async with AsyncLlama(tiny, n_threads=1) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.embeddings.create(model="default", **options)
        assert caught.value.param == param
        assert (await client.embeddings.create(model="default", input="a")).data


async def test_too_long_an_input_is_named(tiny: Path, tmp_path: Path) -> None:
    async with AsyncLlama(tiny, n_threads=1) as client:
        fits = "a " * 254  # and two special tokens
        assert (await client.embeddings.create(model="default", input=fits)).usage.prompt_tokens == 256
        for texts, param in ((["a", fits + "a"], "input[1]"), (fits + "a", "input"), ([[5], [5] * 257], "input[1]")):
            with pytest.raises(BadRequestError, match=r"has 257 tokens.* is 256") as caught:
                await client.embeddings.create(model="default", input=texts)
            assert (caught.value.param, caught.value.code) == (param, "context_length_exceeded")
        with pytest.raises(BadRequestError) as caught:
            await client.embeddings.create(model="default", input=["a", "a " * 10**6])
        assert caught.value.code == "context_length_exceeded"
    # Of a model that keeps a state, the context is the limit, not what one step computes.
    async with AsyncLlama(tiny_llama(tmp_path / "llama.gguf"), n_ctx=512, n_ubatch=32, n_threads=1) as client:
        assert (await client.embeddings.create(model="default", input=[5] * 512)).usage.prompt_tokens == 512
        with pytest.raises(BadRequestError, match="is 512"):
            await client.embeddings.create(model="default", input=[5] * 513)


async def test_what_a_model_cannot(tiny: Path, tmp_path: Path) -> None:
    async with AsyncLlama(tiny, n_threads=1) as client:
        with pytest.raises(BadRequestError, match="cannot generate") as caught:
            await client.chat.completions.create(model="default", messages=QUESTION)  # type: ignore[arg-type]
        assert (caught.value.param, caught.value.code) == ("model", "unsupported")
    for path, pooling in ((tiny_reranker(tmp_path / "rank.gguf"), None), (tiny, "rank")):
        async with AsyncLlama(path, n_threads=1, pooling=pooling) as client:  # type: ignore[arg-type]
            with pytest.raises(BadRequestError, match='pooling is "rank"'):
                await client.embeddings.create(model="default", input="a")


def test_pooling_is_checked(tiny: Path) -> None:
    for pooling in ("none", "max", 1):
        with pytest.raises(ValueError, match="pooling"):
            AsyncLlama(tiny, pooling=pooling)  # type: ignore[arg-type]


async def test_values_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    model = bert_model()
    token = model.metadata["tokenizer.ggml.tokens"].index("▁z")
    model.tensors["token_embd.weight"][token] = np.nan
    async with AsyncLlama(model.save(tmp_path / "nan.gguf"), n_threads=1, check_tensors=False) as client:
        good, bad = await gather(
            lambda: client.embeddings.create(model="default", input=["a", "b"]),
            lambda: client.embeddings.create(model="default", input=["a", "z", "b"]),
        )
        assert "not finite" in str(bad)
        assert len(good.data) == 2
        await until(lambda: is_idle(client))


async def test_a_full_queue(tiny: Path) -> None:
    async with AsyncLlama(tiny, n_threads=1, max_queue=1) as client:
        results = await gather(*[lambda: client.embeddings.create(model="default", input="a b c")] * 20)
        assert {type(result).__name__ for result in results} <= {"CreateEmbeddingResponse", "RateLimitError"}
        assert any(isinstance(result, RateLimitError) for result in results)


# -- how it ends -------------------------------------------------------------------------------------------------------

MANY = ["the same sentence, said over and over again " * 8] * 500


async def test_cancelled(minilm: AsyncLlama) -> None:
    before = stats(minilm)["n_prefilled"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embed, minilm, MANY)
        await until(lambda: stats(minilm)["n_prefilled"] > before)
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(minilm))
    assert stats(minilm)["n_prefilled"] - before < 500 * 64
    assert len(await embed(minilm, "next")) == 1


async def test_cancelled_in_the_middle_of_a_long_step(tmp_path: Path) -> None:
    """One input that takes seconds, in one graph: it is stopped by the abort callback."""
    model = bert_model(n_embd=256, n_layer=24, n_ctx_train=4096)
    async with AsyncLlama(model.save(tmp_path / "slow.gguf"), n_threads=1, n_ctx=4096) as client:
        await embed(client, "a")
        for timeout in (None, 0.3):
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:

                    async def ask(timeout: float | None = timeout) -> None:
                        with pytest.raises(APITimeoutError):
                            await embed(client, ["a " * 4000], timeout=timeout)

                    tasks.start_soon(ask)
                    await until(lambda: stats(client)["n_running"] == 1)
                    if timeout is None:
                        tasks.cancel_scope.cancel()
                await until(lambda: is_idle(client), timeout_s=5)
        assert stats(client)["n_prefilled"] < 100


async def test_timeout(minilm: AsyncLlama) -> None:
    with pytest.raises(APITimeoutError):
        await embed(minilm, MANY, timeout=0.2)
    with pytest.raises(APITimeoutError):
        await embed(minilm, "a", timeout=0)
    await until(lambda: is_idle(minilm))


async def test_closed_while_embedding(tmp_path: Path) -> None:
    client = AsyncLlama(minilm_gguf(), n_threads=1)
    await client.load()
    errors: list[BaseException] = []

    async def ask() -> None:
        with pytest.raises(ClientClosedError) as caught:
            await embed(client, MANY)
        errors.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await until(lambda: stats(client)["n_prefilled"] > 0)
        await client.close()
    assert len(errors) == 3


async def test_many_requests_share_steps(minilm: AsyncLlama) -> None:
    before = stats(minilm)["n_steps"]
    expected = await embed(minilm, SENTENCES[:2])
    results = await gather(*[lambda: embed(minilm, SENTENCES[:2])] * 20)
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-4)
    assert stats(minilm)["n_steps"] - before < 20


async def test_a_single_query_does_not_wait_for_a_thousand_documents(minilm: AsyncLlama) -> None:
    done: list[str] = []

    async def ask(name: str, texts: list[str]) -> None:
        await embed(minilm, texts)
        done.append(name)

    before = stats(minilm)["n_prefilled"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "many", MANY[:100])
        await until(lambda: stats(minilm)["n_prefilled"] > before)
        tasks.start_soon(ask, "one", ["a query"])
    assert done == ["one", "many"]


async def test_embedding_while_four_streams_generate(client: AsyncLlama) -> None:
    """Both go on: the streams' answers grow while vectors are computed, in the same model."""
    n_tokens = 0

    async def stream() -> None:
        nonlocal n_tokens
        async for chunk in await client.chat.completions.create(**ENDLESS, stream=True, max_tokens=400):
            n_tokens += bool(chunk.choices and chunk.choices[0].delta.content)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(stream)
        await until(lambda: n_tokens > 20)
        for _ in range(3):
            before = n_tokens
            assert len(await embed(client, SENTENCES[:4])) == 4
            assert n_tokens > before
        assert stats(client)["n_running"] == 4
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(client))


async def test_two_thousand_vectors_do_not_hold_the_loop(tiny: Path) -> None:
    from llama_async._generation import Delta, End
    from llama_async._inputs import embedding_request
    from llama_async._vectors import embedding_response

    packed = np.arange(1536, dtype=np.float32).tobytes()
    request = embedding_request("default", {"input": "a"})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        deltas = [Delta(index, "", packed, 0, 1) for index in range(2048)]
        response = await embedding_response(request, deltas, End(0))
        tasks.cancel_scope.cancel()
    assert len(response.data) == 2048
    assert turns > 90  # every 128 KiB of 12 MiB
