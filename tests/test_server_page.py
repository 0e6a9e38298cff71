"""The pages of the server as bytes: what their policy lets a browser run, and that they load nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from serving import serving

from llama_async.server._page import html_page

PAGE = html_page("page.html")[1].decode()


def test_the_policy_names_what_is_in_the_page_and_nothing_else() -> None:
    headers, body = html_page("page.html")
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["trusted-types"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    for element in (b"script", b"style"):
        [content] = re.findall(rb"<%s>(.*?)</%s>" % (element, element), body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert policy[f"{element.decode()}-src"] == f"'sha256-{digest}'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "forbidden",
    [
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function",
        r"<(link|script|img|iframe)[^>]*src=",
        r"@import|url\(",
        r"\son[a-z]+=\"",
        r"\bstyle=\"",
    ],
)
def test_the_page_has_no(forbidden: str) -> None:
    assert re.findall(forbidden, PAGE) == []


def test_the_page_names_no_address_but_that_of_svg() -> None:
    assert set(re.findall(r"https?://[\w.]+", PAGE)) == {"http://www.w3.org"}


def test_the_page_is_served_unless_it_is_not_wanted(model_path: Path) -> None:
    with serving(model_path, api_keys=["sesame"]) as server:
        reply = httpx.get(server.url)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert reply.text == PAGE
        assert httpx.head(server.url).headers["content-length"] == str(len(reply.content))
        assert httpx.post(server.url, headers={"authorization": "Bearer sesame"}).status_code in {404, 405}
    with serving(model_path, page=False) as server:
        assert httpx.get(server.url).status_code == 404
