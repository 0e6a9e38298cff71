"""The application inside others, and its OpenAPI document."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from support import CLIENT_OPTIONS, QUESTION

from llama_async import AsyncLlama, OptionError
from llama_async._compat import EXTRA_BODY_PARAMETERS
from llama_async._http import _NOT_IN_BODY, _ROUTES
from llama_async.resources import AsyncApplyTemplate, AsyncDetokenize, AsyncRerank, AsyncTokenize
from llama_async.server import AppSettings, ServerSettings, create_app
from llama_async.server._openapi import _OTHER_KINDS, document
from llama_async.types import local_params

pytestmark = pytest.mark.anyio
ONLY_ASYNCIO = True

BODY: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 2}


@asynccontextmanager
async def asking(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as http:
        yield http


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
async def test_mounted_with_a_client_of_the_applications(model_path: Path, kind: Any) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        async with client:
            yield

    app = kind(lifespan=lifespan)
    app.mount("/llm", create_app(client))
    async with app.router.lifespan_context(app), asking(app) as http:
        assert (await http.post("/llm/v1/chat/completions", json=BODY)).json()["usage"]["completion_tokens"] == 2
        assert (await http.get("/llm/health/ready")).json() == {"status": "ready"}
        assert (await http.get("/llm/v1/models/default")).json()["id"] == "default"
        assert (await http.get("/llm/nothing")).json()["error"]["code"] == "unknown_url"
        assert (await http.get("/llm/openapi.json")).json()["info"]["title"] == "llama-async"
        assert not client.is_closed()
    assert client.is_closed()


async def test_its_own_client_lives_as_long_as_the_lifespan_it_is_given(model_path: Path) -> None:
    llm = create_app(ServerSettings(model=model_path, **CLIENT_OPTIONS))
    app = FastAPI(lifespan=llm.lifespan)
    app.mount("/llm", llm)
    async with asking(app) as http:
        assert (await http.get("/llm/health/ready")).status_code == 503
        async with app.router.lifespan_context(app):
            assert llm.client.stats() is not None
            assert (await http.get("/llm/health/ready")).status_code == 200
            assert (await http.post("/llm/chat/completions", json=BODY)).status_code == 200
    assert llm.client.is_closed()


async def test_under_a_path_with_other_routes(shared_client: AsyncLlama) -> None:
    app = Starlette(
        routes=[Mount("/a b/c", create_app(shared_client, AppSettings(docs=False, metrics=False, page=False)))]
    )
    async with asking(app) as http:
        assert (await http.get("/a%20b/c/v1/models")).status_code == 200
        for path in ("", "/docs", "/openapi.json", "/metrics"):
            assert (await http.get(f"/a%20b/c/{path}", follow_redirects=True)).status_code == 404


def test_settings_come_once() -> None:
    with pytest.raises(OptionError, match="settings"):
        create_app(ServerSettings(model="m.gguf"), AppSettings())


# -- the document ------------------------------------------------------------------------------------------------------


def test_it_has_every_route() -> None:
    paths = document(has_keys=False)["paths"]
    described = {
        (tuple("*" if part.startswith("{") else part for part in path[1:].split("/")), method.upper())
        for path, methods in paths.items()
        for method in methods
    }
    assert described == {(parts, method) for parts, methods in _ROUTES.items() for method in methods}


def test_every_parameter_is_described() -> None:
    others = {name for name, extra in EXTRA_BODY_PARAMETERS.items() if extra.kind == "other"}
    assert others == set(_OTHER_KINDS)


def test_its_references_resolve() -> None:
    made = document(has_keys=True)
    names = set(made["components"]["schemas"])

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if "$ref" in value else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert {reference.removeprefix("#/components/schemas/") for reference in references(made)} <= names
    for schema in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert "security" in made
    assert "gpt-4" not in json.dumps(made)


@pytest.mark.parametrize(
    ("params", "resource", "names"),
    [
        (local_params.RerankParams, AsyncRerank, {}),
        (local_params.TokenizeParams, AsyncTokenize, {"text": "content"}),
        (local_params.DetokenizeParams, AsyncDetokenize, {}),
    ],
)
def test_bodies_are_the_methods_parameters(params: Any, resource: Any, names: dict[str, str]) -> None:
    parameters = set(inspect.signature(resource.__call__).parameters) - _NOT_IN_BODY - {"self"}
    assert {names.get(name, name) for name in parameters} == set(params.__annotations__)


def test_the_body_of_a_template_is_too() -> None:
    parameters = set(inspect.signature(AsyncApplyTemplate.__call__).parameters) - _NOT_IN_BODY - {"self"}
    extra = {"chat_template", "chat_template_kwargs"}
    assert parameters | extra == set(local_params.ApplyTemplateParams.__annotations__)


async def test_replies_match_it(shared_client: AsyncLlama) -> None:
    app = create_app(shared_client)
    async with asking(app) as http:
        made = (await http.get("/openapi.json")).json()
        for path, body in {
            "/chat/completions": {**BODY, "logprobs": True, "top_logprobs": 1, "top_k": 5},
            "/completions": {"model": "default", "prompt": "One", "max_tokens": 2, "logprobs": 1},
            "/embeddings": {"model": "default", "input": "a", "encoding_format": "base64"},
            "/tokenize": {"content": ["a", "b"]},
            "/detokenize": {"tokens": [1, 2]},
            "/apply-template": {"messages": QUESTION},
        }.items():
            operation = made["paths"][path]["post"]
            check(made, operation["requestBody"]["content"]["application/json"]["schema"], body)
            reply = await http.post(f"/v1{path}", json=body)
            assert reply.status_code == 200
            check(made, operation["responses"]["200"]["content"]["application/json"]["schema"], reply.json())
        operation = made["paths"]["/models"]["get"]
        models = (await http.get("/v1/models")).json()
        check(made, operation["responses"]["200"]["content"]["application/json"]["schema"], models)
        fields = made["components"]["schemas"]["ServedModel"]["properties"]
        assert set(models["data"][0]) <= set(fields)
        assert {"max_model_len", "meta"} <= set(fields)
        refused = (await http.post("/v1/embeddings", json={})).json()
        check(made, operation["responses"]["400"]["content"]["application/json"]["schema"], refused)


def check(made: Any, schema: Any, value: Any) -> None:
    jsonschema.validate(value, {**schema, "components": made["components"]})
