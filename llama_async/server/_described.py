"""What is told of a model beyond openai's fields: what users of vLLM and of llama-server look for.

Only what is known anyhow: nothing is loaded and no file is opened for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_async._errors import NotFoundError
from llama_async._models import BaseModel, build
from llama_async.pagination import AsyncPage
from llama_async.types import Model

if TYPE_CHECKING:
    from llama_async import AsyncLlama

__all__ = ["ModelMeta", "ServedModel", "described"]


class ModelMeta(BaseModel):
    """What llama-server tells of a model, by its names."""

    n_vocab: int
    n_ctx_train: int
    """Tokens of context that it was trained for."""

    n_embd: int
    n_params: int
    size: int
    """Bytes of its weights."""


class ServedModel(Model):
    """A model's name and origin, and what is known of it."""

    max_model_len: int | None = None
    """Longest context of one request in tokens, by vLLM's name; there when it is loaded, or the settings say so."""

    meta: ModelMeta | None = None
    """There while the model is loaded."""


def described(result: object, client: AsyncLlama) -> object:
    """Return a result, with more about each model in it where it is a model or a page of them.

    Args:
        result: What a resource has returned.
        client: Whose.
    """
    if isinstance(result, Model):
        return _served(result, client)
    if isinstance(result, AsyncPage):
        page = result.to_dict()
        return build(AsyncPage[ServedModel], **{**page, "data": [_served(model, client) for model in result.data]})
    return result


def _served(model: Model, client: AsyncLlama) -> ServedModel:
    fields = model.to_dict()
    try:
        source = client._registry.resolve(model.id)  # noqa: SLF001 (the public surface names no model's options)
    except NotFoundError:
        # Deleted since.
        return build(ServedModel, **fields)
    engine = source.engine
    if engine is not None:
        facts = engine.facts
        meta = {name: facts[name] for name in ("n_vocab", "n_ctx_train", "n_embd", "n_params")}
        fields |= {"max_model_len": facts["n_ctx"], "meta": build(ModelMeta, **meta, size=facts["size_bytes"])}
    elif "n_ctx" in source.options.numbers:
        fields["max_model_len"] = source.options.numbers["n_ctx"]
    return build(ServedModel, **fields)
