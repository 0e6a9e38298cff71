"""Requests made from the OpenAPI document, right and wrong: none is a fault of the server's.

A short search each time; `SCHEMATHESIS_EXAMPLES=2000 pytest tests/test_server_schemathesis.py` searches on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from serving import Running, serving
from tools.tiny_models import tiny_llama

from llama_async.server._openapi import document

N_EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))

schema = schemathesis.openapi.from_dict(document(has_keys=False))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # Of random weights, since no answer is looked at: it answers at once, so that more is asked.
    path = tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")
    # What is generated asks for answers of any length.
    with serving(path, n_ctx=64, request_timeout_s=20) as running:
        yield running


@schema.parametrize()
@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize="SCHEMATHESIS_EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_no_request_is_a_fault_of_the_servers(case: Any, server: Running) -> None:
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    case.call_and_validate(base_url=f"{server.url}/v1", checks=checks, timeout=120)
