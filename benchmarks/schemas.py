"""Under each schema of the official JSON-Schema-Test-Suite a model answers; how many are taken, end, and validate.

    python benchmarks/schemas.py [--model PATH] [--n 8] [--max-tokens 128] [--every 1]

The suite comes from the pinned jsonschema's source distribution. Without a model it is one of random weights, whose
answers are what the grammars leave open, thousands of them in minutes; a real one says what is likely. Ends with status
1 if an answer that ended does not validate.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from schema_answers import answers, is_accepted
from tools.json_schema_suite import Case, cases
from tools.tiny_models import tiny_llama

from llama_async import AsyncLlama, BadRequestError
from llama_async._grammar.compiler import schema_grammar


def why_refused(case: Case) -> str:
    try:
        schema_grammar(case.schema, "schema")
    except BadRequestError as error:
        message = str(error).partition("enforced: ")[2].rpartition(" (at ")[0] or str(error)
        return re.sub(r"'[^']*'|\d+(\.\d+)?(e-\d+)?", "...", message)
    return ""


def report_accepted(suite: list[Case]) -> list[Case]:
    started = time.process_time()
    accepted = list(filter(is_accepted, suite))
    compiled_s = time.process_time() - started
    refused = Counter(why for case in suite if (why := why_refused(case)))
    print(f"{len(accepted)} of {len(suite)} schemas accepted ({len(accepted) / len(suite):.1%}), in {compiled_s:.1f} s")
    for why, n in refused.most_common():
        print(f"  {n:3} refused: {why}")
    return accepted


async def report_answers(accepted: list[Case], options: Any, model: Path) -> bool:
    some = accepted[:: options.every]
    started = time.perf_counter()
    async with AsyncLlama(model, n_ctx=512 + options.max_tokens, n_parallel=16) as client:
        result = await answers(client, some, max_tokens=options.max_tokens, n=options.n, n_at_once=16 // options.n or 1)
    took_s = time.perf_counter() - started
    share = result.n_completed / result.n
    print(f"{result.n} answers under {len(some)} schemas in {took_s:.0f} s, {result.n_completed} ended ({share:.1%})")
    print(f"schemas with an answer that ended: {len(result.completed_under)} of {len(some)}")
    print(f"{result.n_completed - len(result.wrong)} of those answers validate, {len(result.wrong)} do not")
    for name, content in result.wrong:
        print(f"  {name}: {content}")
    return not result.wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a GGUF file; without it a tiny one of random weights")
    parser.add_argument("--n", type=int, default=8, help="answers a schema at a temperature of 2; one at 0")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--every", type=int, default=1, help="only every so many of the accepted schemas")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = arguments.model or tiny_llama(Path(directory) / "tiny.gguf")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        print(f"model {path.name} sha256 {digest}, {platform.machine()}, {platform.python_version()}")
        is_right = anyio.run(report_answers, report_accepted(cases()), arguments, path)
    sys.exit(not is_right)
