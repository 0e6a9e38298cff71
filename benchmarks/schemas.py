"""Under each schema of the official JSON-Schema-Test-Suite a model answers; how many are taken, end, and validate.

    python benchmarks/schemas.py [--max-tokens 64] [--every 1]

The suite comes from the pinned jsonschema's source distribution. Ends with status 1 if an answer that ended does not
validate.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from schema_answers import answers, is_accepted
from tools.json_schema_suite import Case, cases

from llama_async import AsyncLlama, BadRequestError
from llama_async._default_model import default_model_path
from llama_async._grammar.compiler import schema_grammar


def why_refused(case: Case) -> str:
    try:
        schema_grammar(case.schema, "schema")
    except BadRequestError as error:
        message = str(error).partition("enforced: ")[2].rpartition(" (at ")[0] or str(error)
        return re.sub(r"'[^']*'|\d+(\.\d+)?(e-\d+)?", "...", message)
    return ""


async def main(options: Any) -> int:
    model = default_model_path()
    suite = cases()
    started = time.perf_counter()
    accepted = list(filter(is_accepted, suite))
    compiled_s = time.perf_counter() - started
    refused = Counter(why for case in suite if (why := why_refused(case)))
    digest = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    print(f"model {model.name} sha256 {digest}, {platform.machine()}, {platform.python_version()}")
    print(f"{len(accepted)} of {len(suite)} schemas accepted ({len(accepted) / len(suite):.1%}), in {compiled_s:.1f} s")
    for why, n in refused.most_common():
        print(f"  {n:3} refused: {why}")
    some = accepted[:: options.every]
    started = time.perf_counter()
    async with AsyncLlama(model, n_ctx=1024, n_parallel=8) as client:
        result = await answers(client, some, max_tokens=options.max_tokens, n_at_once=8)
    took_s = time.perf_counter() - started
    share = result.n_completed / result.n
    print(f"{result.n} answers under {len(some)} schemas in {took_s:.0f} s, {result.n_completed} ended ({share:.1%})")
    print(f"{result.n_completed - len(result.wrong)} of those validate, {len(result.wrong)} do not")
    for name, content in result.wrong:
        print(f"  {name}: {content}")
    return bool(result.wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--every", type=int, default=1, help="only every so many of the accepted schemas")
    sys.exit(anyio.run(main, parser.parse_args()))
