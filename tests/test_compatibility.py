"""`_compat`, the methods, docs/compatibility.md and openai's signatures agree, for every endpoint there is."""

from __future__ import annotations

import importlib
import inspect
import runpy
from pathlib import Path
from typing import Any

import openai
import pytest

import llama_async
from llama_async._compat import CLIENT_PARAMETERS, ENDPOINTS, EXTRA_BODY_PARAMETERS, Effect

DOCS = Path(__file__).parent.parent / "docs"


def method(package: str, endpoint: str) -> Any:
    """The asynchronous method behind the path of an endpoint, `chat.completions.create`."""
    *path, name = endpoint.split(".")
    module = importlib.import_module(".".join([package, "resources", *path]))
    return inspect.unwrap(getattr(getattr(module, f"Async{path[-1].capitalize()}"), name))


def parameters(function: Any) -> list[tuple[str, object, str]]:
    def default(value: object) -> str:
        # Sentinels are objects of each package's own; they are alike in name and falsehood.
        return "required" if value is inspect.Parameter.empty else type(value).__name__ + str(bool(value))

    return [(p.name, p.kind, default(p.default)) for p in inspect.signature(function).parameters.values()]


def test_the_page_is_the_table() -> None:
    page = runpy.run_path(str(DOCS / "compatibility.py"))
    assert (DOCS / "compatibility.md").read_text(encoding="utf-8") == page["render"](), (
        "run `python docs/compatibility.py`"
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_signature_is_openais(endpoint: str) -> None:
    assert parameters(method("llama_async", endpoint)) == parameters(method("openai", endpoint))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_table_has_every_parameter(endpoint: str) -> None:
    names = [name for name in inspect.signature(method("llama_async", endpoint)).parameters if name != "self"]
    assert sorted(names) == sorted(ENDPOINTS[endpoint])


def test_extra_parameters_shadow_none_of_openais() -> None:
    for name, extra in EXTRA_BODY_PARAMETERS.items():
        for endpoint in extra.endpoints:
            assert name not in ENDPOINTS.get(endpoint, {})


def test_the_clients_table_has_every_argument() -> None:
    theirs = [inspect.signature(method).parameters for method in (openai.AsyncOpenAI.__init__, openai.AsyncOpenAI.copy)]
    names = {name for parameters in theirs for name in parameters if name != "self" and not name.startswith("_")}
    assert names == set(CLIENT_PARAMETERS)


@pytest.mark.parametrize("name", ["__init__", "copy"])
def test_arguments_of_the_client_are_openais(name: str) -> None:
    ours = parameters(getattr(llama_async.AsyncLlama, name))
    theirs = parameters(getattr(openai.AsyncOpenAI, name))
    accepted = {known for known, given in CLIENT_PARAMETERS.items() if given.effect is not Effect.ABSENT}
    assert {item for item in ours if item[0] in CLIENT_PARAMETERS} == {item for item in theirs if item[0] in accepted}


def test_with_options_is_copy() -> None:
    assert llama_async.AsyncLlama.with_options is llama_async.AsyncLlama.copy
