"""`client.rerank`: the order, the pairs that are computed, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from support import is_idle, stats, until
from tools.tiny_models import TinyModel, bert_model, llama_model, tiny_bert, tiny_llama

from llama_async import APITimeoutError, AsyncLlama, BadRequestError, ClientClosedError

pytestmark = pytest.mark.anyio

QUERY = "what is a panda?"
DOCUMENTS = ["hi", "it is a bear", "the giant panda is a bear of china", "a panda is an animal", "bananas are yellow"]


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return bert_model(rank=True)


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model: TinyModel, tmp_path_factory: Any) -> AsyncIterator[AsyncLlama]:
    path = model.save(tmp_path_factory.mktemp("models") / "rank.gguf")
    async with AsyncLlama(path, n_threads=1) as client:
        yield client


async def test_the_most_relevant_comes_first(client: AsyncLlama) -> None:
    response = await client.rerank(model="default", query=QUERY, documents=DOCUMENTS)
    scores = [result.relevance_score for result in response.results]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 5
    assert sorted(result.index for result in response.results) == list(range(5))
    assert (response.model, response.object) == ("default", "list")
    assert response.usage.prompt_tokens == response.usage.total_tokens > 5 * len(QUERY.replace(" ", ""))
    assert "document" not in response.to_dict()["results"][0]  # type: ignore[index]
    type(response).model_validate(response.to_dict())


async def test_each_pair_is_computed_by_itself(client: AsyncLlama) -> None:
    together = await client.rerank(model="default", query=QUERY, documents=DOCUMENTS)
    for result in together.results:
        alone = await client.rerank(model="default", query=QUERY, documents=[DOCUMENTS[result.index]])
        assert alone.results[0].relevance_score == pytest.approx(result.relevance_score, abs=2e-2)
    other = await client.rerank(model="default", query="who?", documents=DOCUMENTS)
    assert {r.relevance_score for r in other.results}.isdisjoint(r.relevance_score for r in together.results)


async def test_scores_are_what_the_head_computes(model: TinyModel, tmp_path: Path) -> None:
    path = model.save(tmp_path / "rank.gguf")
    # The same encoder without the head, pooled as the head does it: the first token's row.
    async with AsyncLlama(path, n_threads=1, pooling="cls") as encoder:
        words = model.metadata["tokenizer.ggml.tokens"]
        pair = [words.index(token) for token in ("[CLS]", "▁h", "i", "[SEP]", "▁y", "o")]
        response = await encoder.embeddings.create(model="default", input=pair, extra_body={"embd_normalize": -1})
        row = np.array(response.data[0].embedding)
    expected = np.tanh(model.tensors["cls.weight"] @ row) @ model.tensors["cls.output.weight"][0]
    async with AsyncLlama(path, n_threads=1) as client:
        ranked = await client.rerank(model="default", query="hi", documents=["yo"])
    assert ranked.results[0].relevance_score == pytest.approx(expected, abs=1e-2)
    assert ranked.usage.total_tokens == len(pair)


async def test_top_n_and_documents(client: AsyncLlama) -> None:
    whole = await client.rerank(model="default", query=QUERY, documents=iter(DOCUMENTS))
    top = await client.rerank(model="default", query=QUERY, documents=DOCUMENTS, top_n=2, return_documents=True)
    assert [result.index for result in top.results] == [result.index for result in whole.results[:2]]
    for result in top.results:
        assert result.document is not None
        assert result.document.text == DOCUMENTS[result.index]
    beyond = await client.rerank(model="default", query=QUERY, documents=DOCUMENTS, top_n=100)
    assert len(beyond.results) == 5


def qwen3_reranker() -> TinyModel:
    """A model for generation with a head of two labels, as Qwen3's rerankers are."""
    llama = llama_model()
    metadata = {key.replace("llama.", "qwen3."): value for key, value in llama.metadata.items()}
    metadata["qwen3.pooling_type"] = 4
    metadata["qwen3.classifier.output_labels"] = ["yes", "no"]
    model = TinyModel("qwen3", metadata, llama.tensors)
    for layer in range(2):
        for name in ("attn_q_norm", "attn_k_norm"):
            model.tensors[f"blk.{layer}.{name}.weight"] = np.ones(16, np.float32)
    model.tensors["cls.output.weight"] = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32) / 8
    return model


async def test_a_models_own_template(tmp_path: Path) -> None:
    """Texts that spell control tokens or placeholders stay texts."""
    model = qwen3_reranker()
    model.metadata["tokenizer.chat_template.rerank"] = "<|im_start|>{query}<|im_end|>{document}"
    model.metadata["tokenizer.chat_templates"] = ["rerank"]
    async with AsyncLlama(model.save(tmp_path / "rank.gguf"), n_ctx=256, n_threads=1) as client:

        async def n_tokens(query: str, document: str) -> int:
            response = await client.rerank(model="default", query=query, documents=[document])
            return response.usage.prompt_tokens

        assert await n_tokens("a", "b") == 4  # the template's two control tokens are one token each
        assert await n_tokens("<|im_end|>", "b") == 3 + len("<|im_end|>")
        assert await n_tokens("{document}", "b") == 3 + len("{document}")
        response = await client.rerank(model="default", query="a", documents=["b", "c" * 100])
        assert all(0 < result.relevance_score < 1 for result in response.results)  # "yes", of two labels


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"query": 5}, "query"),
        ({"query": ""}, "query"),
        ({"documents": "text"}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": None}, "documents"),
        ({"documents": ["a"] * 2049}, "documents"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": ["a", "\ud800"]}, "documents[1]"),
        ({"documents": ["a", "b " * 300]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"return_documents": 1}, "return_documents"),
        ({"model": 1}, "model"),
    ],
)
async def test_refused(options: Any, param: str, client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.rerank(**{"model": "default", "query": "q", "documents": ["a"], **options})
    assert caught.value.param == param


async def test_models_without_a_rank_head(tmp_path: Path) -> None:
    for make in (tiny_bert, tiny_llama):
        path = make(tmp_path / f"{make.args[0].__name__}.gguf")
        for pooling, message in ((None, 'pooling is "mean"'), ("rank", "no rank head")):
            async with AsyncLlama(path, n_ctx=256, n_threads=1, pooling=pooling) as client:  # type: ignore[arg-type]
                with pytest.raises(BadRequestError, match=message) as caught:
                    await client.rerank(model="default", query="q", documents=["a"])
                assert caught.value.code == "unsupported"


async def test_cancel_timeout_and_close(tmp_path: Path) -> None:
    path = bert_model(rank=True, n_embd=256, n_layer=8).save(tmp_path / "slow.gguf")
    documents = ["a b c " * 20] * 2000
    client = AsyncLlama(path, n_threads=1)
    await client.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.rerank(model="default", query="q", documents=documents))
        await until(lambda: stats(client)["n_running"] == 1)
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(client))
    with pytest.raises(APITimeoutError):
        await client.rerank(model="default", query="q", documents=documents, timeout=0.2)

    async def ask() -> None:
        with pytest.raises(ClientClosedError):
            await client.rerank(model="default", query="q", documents=documents)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: stats(client)["n_running"] == 1)
        await client.close()
