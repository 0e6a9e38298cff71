"""Pages for browsers: their bytes, and the policy under which a browser runs what stands in them and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["html_page"]


@cache
def html_page(name: str) -> tuple[Mapping[str, str], bytes]:
    """Return the headers and the bytes of a page that lies beside this module."""
    body = resources.files("llama_async.server").joinpath(name).read_bytes()
    # Hashes rather than 'unsafe-inline': were a model's words ever to become markup, it would still have no effect.
    policy = (
        "default-src 'none'",
        f"script-src {_hashes(body, b'script')}",
        f"style-src {_hashes(body, b'style')}",
        "connect-src 'self'",
        "img-src data:",  # the page's icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text becomes markup or code, whatever assigns it.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "; ".join(policy),
        "cache-control": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return headers, body


def _hashes(page: bytes, element: bytes) -> str:
    contents = re.findall(rb"<%s>(.*?)</%s>" % (element, element), page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
