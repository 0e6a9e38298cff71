"""The chat page in a browser, headless Chromium, against a server with the real model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from serving import Running, serving, until

sync_api = pytest.importorskip("playwright.sync_api", reason="needs a browser: nox -s page")
from playwright.sync_api import Browser, Page, Route, expect  # noqa: E402 (only where it is there)

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-first-run",
    *(f"--disable-{name}" for name in "gpu quic background-networking component-update sync".split()),
)
# Where to keep the picture that docs/ has.
SCREENSHOT = os.environ.get("LLAMA_ASYNC_SCREENSHOT")
# The machine may be busy.
TIMEOUT_MS = 60_000
expect.set_options(timeout=TIMEOUT_MS)

DIGIT = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"]}
CALL: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "pick_digit", "parameters": DIGIT, "strict": True}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}

FORMATTED = """# Title

Text with **strong *and* slanted** words, `a * b * c`, snake_case_names and https://example.org/a_(b).

1. one
   - inner
     ```python
     def f():  # a comment
         return "text"
     ```
2. two

| a | b |
|---|--:|
| 1 | x \\| y |

> quoted

~~gone~~ [link](https://example.org "title")
"""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "there is no Chromium: apt-get install chromium, or give its path as CHROMIUM"
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, since tests may run as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    with serving(model_path) as running:
        yield running


@pytest.fixture
def expected() -> list[str]:
    """What the browser may complain of; nothing, unless a test adds to it."""
    return []


@pytest.fixture
def open_page(browser: Browser, expected: list[str]) -> Iterator[Open]:
    """Open the page of a server. The browser must have complained of nothing and asked nobody else."""
    complaints: list[str] = []
    hosts: set[str] = set()
    with ExitStack() as contexts:

        def opened(server: Running, *, more: object = None, **options: Any) -> Page:
            context = browser.new_context(**{"viewport": {"width": 1000, "height": 760}, **options})
            contexts.callback(context.close)
            context.set_default_timeout(TIMEOUT_MS)
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url else None)
            page.goto(server.url)
            if more is not None:
                set_more(page, more)
            return page

        yield opened
    assert [text for text in complaints if not any(part in text for part in expected)] == []
    assert len(hosts) == 1


def set_more(page: Page, more: object) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("More parameters").fill(json.dumps(more))
    page.get_by_role("button", name="Close").click()


def send(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.keyboard.press("Enter")


def said(page: Page, text: str, *, more: object = None) -> str:
    """Send, wait for the end, return the answer."""
    send(page, text)
    expect(page.locator("#messages > li").last).to_have_class("assistant")
    expect(page.locator("#send[title=Send]")).to_be_visible()
    return page.locator(".answer").last.inner_text()


def verbatim(text: str) -> dict[str, Any]:
    """Parameters with which the model says just this."""
    return {"grammar": f"root ::= {json.dumps(text)}", "temperature": 0}


def keep(page: Page, messages: object) -> None:
    """Make it the conversation that the page finds."""
    setting = f"localStorage.setItem('llama-async:/:chat', {json.dumps(json.dumps(messages))})"
    page.evaluate(f"addEventListener('pagehide', () => {setting})")
    page.reload()


def kept(page: Page) -> str:
    content: str = page.evaluate("JSON.stringify({...localStorage})")
    return content


# -- answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_streams_in(server: Running, open_page: Open) -> None:
    page = open_page(server, more={**SHORT, "max_tokens": 150})
    expect(page.get_by_label("Model")).to_be_enabled()
    expect(page.get_by_text("What shall we talk about?")).to_be_visible()
    send(page, "Count to ten.")
    # Some of it is there while the rest is still coming.
    expect(page.locator("body:has(#send[title=Stop]) .answer")).not_to_be_empty()
    expect(page.locator("#live")).to_contain_text("tokens/s")
    expect(page.locator(".figures")).to_contain_text("150 tokens · ")
    expect(page.locator(".figures")).to_contain_text("cut off at the limit of tokens")
    expect(page.locator("#status")).to_have_text("Answer complete")
    expect(page.locator(".user")).to_contain_text("Count to ten.")
    expect(page.get_by_label("Message", exact=True)).to_be_empty()


def test_settings_go_with_the_request(server: Running, open_page: Open) -> None:
    page = open_page(server)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("You are terse.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Top k").fill("7")
    page.get_by_label("Min p").fill("9")  # beyond its range
    page.get_by_label("Most tokens").fill("3")
    page.get_by_label("More parameters").fill('{"ignore_eos": true}')
    page.get_by_role("button", name="Close").click()
    with page.expect_request("**/v1/chat/completions") as asked:
        said(page, "Hello")
    body = asked.value.post_data_json
    assert body["messages"] == [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Hello"}]
    assert (body["temperature"], body["top_k"], body["max_tokens"], body["ignore_eos"]) == (0.5, 7, 3, True)
    assert "min_p" not in body
    expect(page.locator(".figures")).to_contain_text("3 tokens")
    page.reload()
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_label("System prompt")).to_have_value("You are terse.")
    page.get_by_label("More parameters").fill("{")
    expect(page.get_by_text("Not usable")).to_be_visible()


@pytest.mark.parametrize("by", ["key", "button"])
def test_stop_frees_the_slot(server: Running, open_page: Open, by: str) -> None:
    page = open_page(server, more={"ignore_eos": True, "max_tokens": 900})
    send(page, "Count to a thousand.")
    expect(page.locator(".answer")).not_to_be_empty()
    assert not server.is_idle()
    if by == "key":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Stop").click()
    until(server.is_idle)
    expect(page.locator(".figures")).to_contain_text("stopped")
    set_more(page, SHORT)
    with page.expect_request("**/v1/chat/completions") as asked:
        assert said(page, "Thanks")
    assert [message["role"] for message in asked.value.post_data_json["messages"]] == ["user", "assistant", "user"]


def test_leaving_frees_the_slot(server: Running, open_page: Open) -> None:
    page = open_page(server, more={"ignore_eos": True, "max_tokens": 900})
    send(page, "Count to a thousand.")
    expect(page.locator(".answer")).not_to_be_empty()
    page.reload()
    until(server.is_idle)
    expect(page.locator(".answer")).not_to_be_empty()
    expect(page.locator(".figures")).to_contain_text("stopped")


def test_thoughts_and_calls_are_folded(model_path: Path, source: Path, open_page: Open) -> None:
    template = (source / "models" / "templates" / "Qwen-QwQ-32B.jinja").read_text(encoding="utf-8")
    with serving(model_path, chat_template=template) as server:
        page = open_page(server, more={**CALL, "reasoning_budget_tokens": 5, "max_tokens": 80, "temperature": 0})
        send(page, "What is the capital of France?")
        thoughts, call = page.locator("details.thinking"), page.locator("details.call")
        expect(call.locator("summary")).to_have_text("Called pick_digit")
        # A call waits for its result.
        result = call.get_by_label("Result")
        expect(result).to_be_focused()
        assert json.loads(call.locator("pre").inner_text())["a"] in range(10)
        expect(thoughts.locator("summary")).to_contain_text("Thought for")
        expect(thoughts.locator(".inside")).to_be_hidden()
        thoughts.locator("summary").click()
        expect(thoughts.locator(".inside")).to_be_visible()
        expect(thoughts.locator(".inside")).not_to_be_empty()

        result.fill("4 o'clock")
        set_more(page, {"reasoning_budget_tokens": 0, **SHORT})
        with page.expect_request("**/v1/chat/completions") as asked:
            page.get_by_role("button", name="Send").click()
        _, turn, told = asked.value.post_data_json["messages"]
        assert turn["tool_calls"][0]["function"]["name"] == "pick_digit"
        assert turn["reasoning_content"]
        assert told == {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "4 o'clock"}
        expect(page.locator(".answer").last).not_to_be_empty()
        expect(page.locator("details.call pre")).to_be_hidden()


# -- what a model writes -----------------------------------------------------------------------------------------------


def test_markup_of_a_model_stays_text(server: Running, open_page: Open, expected: list[str]) -> None:
    hostile = (
        '<img src="/x.png" onerror="document.title=1"><script>document.title = 2</script> '
        "[a](javascript:document.title=3) [b](data:text/html,hi) ![c](/d.png) `<i>` **<b>e</b>** <javascript:f>"
    )
    page = open_page(server, more=verbatim(hostile))
    text = said(page, "Say it.")
    for part in ('<img src="/x.png" onerror', "<script>document.title = 2</script>", "<b>e</b>", "<javascript:f>"):
        assert part in text
    assert page.locator("#messages").locator("img, script, iframe, object, a, b, i:not(.waiting i)").count() == 0
    assert page.title() == "llama-async"
    page.reload()
    assert page.locator(".answer").inner_text() == text
    # Even what the page itself would do wrong, the browser refuses.
    expected.append("TrustedHTML")
    with pytest.raises(sync_api.Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")


def test_formatting(server: Running, open_page: Open) -> None:
    page = open_page(server, more=verbatim(FORMATTED), permissions=["clipboard-read", "clipboard-write"])
    said(page, "Say it.")
    answer = page.locator(".answer")
    expect(answer.locator("h1")).to_have_text("Title")
    expect(answer.locator("strong")).to_have_text("strong and slanted")
    expect(answer.locator("strong em")).to_have_text("and")
    expect(answer.locator("p code")).to_have_text("a * b * c")
    assert answer.locator("em").count() == 1
    expect(answer.locator("ol > li")).to_have_count(2)
    expect(answer.locator("ol > li > ul > li .code .k").first).to_have_text("def")
    assert answer.locator("th, td").all_inner_texts() == ["a", "b", "1", "x | y"]
    expect(answer.locator("blockquote")).to_have_text("quoted")
    expect(answer.locator("del")).to_have_text("gone")
    links = answer.locator("a")
    assert [link.get_attribute("href") for link in links.all()] == ["https://example.org/a_(b)", "https://example.org"]
    assert all("noopener" in (link.get_attribute("rel") or "") for link in links.all())
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == 'def f():  # a comment\n    return "text"'


# -- faults ------------------------------------------------------------------------------------------------------------


def test_a_refused_request_says_why(server: Running, open_page: Open, expected: list[str]) -> None:
    expected.append("status of 400")
    page = open_page(server, more={"temperature": 7})
    send(page, "Hello")
    error = page.locator(".error")
    expect(error).to_contain_text("The server answered with an error (400)")
    expect(error).to_contain_text("temperature")
    set_more(page, SHORT)
    error.get_by_role("button", name="Try again").click()
    expect(page.locator(".figures")).to_contain_text("12 tokens")
    expect(error).to_have_count(0)


def test_an_answer_that_breaks_off(server: Running, open_page: Open, expected: list[str]) -> None:
    expected.append("net::ERR")
    page = open_page(server)
    head = {"content-type": "text/event-stream"}
    chunk = 'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}'

    def answers(body: str) -> None:
        page.route("**/v1/chat/completions", lambda route: route.fulfill(headers=head, body=body), times=1)
        send(page, "Hello")

    # Comments, both kinds of line ends, an event of two lines, an error instead of an end.
    fault = 'data: {"error":\ndata: {"message": "a fault"}}'
    answers(f": a comment\n\n{chunk % 'One'}\r\n\r\n{chunk % ' two'}\n\n{fault}\n\n")
    expect(page.locator(".error")).to_contain_text("The answer broke off")
    expect(page.locator(".error")).to_contain_text("a fault")
    expect(page.locator(".answer")).to_have_text("One two")
    answers(chunk % "never ended" + "\n\n")
    expect(page.locator(".error").last).to_contain_text("the connection ended before the answer did")

    def fails(route: Route) -> None:
        route.abort()

    page.route("**/v1/chat/completions", fails, times=1)
    send(page, "Hello")
    expect(page.locator(".error").last).to_contain_text("No connection to the server")


def test_a_server_that_wants_a_key(model_path: Path, open_page: Open, expected: list[str]) -> None:
    expected.append("status of 401")
    with serving(model_path, api_keys=["sesame"]) as server:
        page = open_page(server)
        field = page.get_by_label("API key")
        expect(field).to_be_focused()
        field.fill("wrong")
        field.press("Tab")
        expect(page.get_by_text("The server refused this key.")).to_be_visible()
        field.fill("sesame")
        field.press("Tab")
        page.get_by_role("button", name="Close").click()
        set_more(page, SHORT)
        assert said(page, "Hello")
        assert "sesame" not in kept(page)


# -- the conversation --------------------------------------------------------------------------------------------------


def test_the_conversation_is_kept(server: Running, open_page: Open) -> None:
    page = open_page(server, more=SHORT)
    text = said(page, "Hello")
    page.reload()
    expect(page.locator(".answer")).to_have_text(text)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#messages > li")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".answer")).to_have_text(text)
    page.get_by_role("button", name="New chat").click()
    page.reload()
    expect(page.get_by_text("What shall we talk about?")).to_be_visible()
    # What another version left behind, or somebody wrote, does no harm.
    keep(page, [{}])
    expect(page.get_by_text("What shall we talk about?")).to_be_visible()


def test_keys_edit_and_again(server: Running, open_page: Open) -> None:
    page = open_page(server, more=SHORT)
    box = page.get_by_label("Message", exact=True)
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    box.press_sequentially("One")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    expect(box).to_have_value("One\ntwo")
    box.press("Enter")
    expect(page.locator(".figures")).to_contain_text("12 tokens")
    first = page.locator(".answer").inner_text()
    page.get_by_role("button", name="Again").click()
    expect(page.locator(".figures")).to_contain_text("12 tokens")
    assert page.locator(".answer").inner_text() == first
    page.locator(".user").hover()
    page.get_by_role("button", name="Edit").click()
    expect(box).to_have_value("One\ntwo")
    box.press("Escape")
    expect(box).to_be_empty()
    page.get_by_role("button", name="Edit").click()
    box.fill("Three")
    box.press("Enter")
    expect(page.locator(".user")).to_have_count(1)
    expect(page.locator(".user")).to_contain_text("Three")
    expect(page.locator(".figures")).to_contain_text("12 tokens")


# -- looks -------------------------------------------------------------------------------------------------------------


def test_a_phones_width(server: Running, open_page: Open) -> None:
    columns = 9
    table = f"|{' abcdefghijkl |' * columns}\n|{'---|' * columns}\n"
    wide = f"{FORMATTED}\n```\n{'x' * 300}\n```\n\n{table}"
    phone = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    page = open_page(server, **phone)
    keep(page, [{"role": "user", "content": "word" * 60}, {"role": "assistant", "content": wide, "calls": []}])
    expect(page.locator(".code")).to_have_count(2)
    for element in ("document.documentElement", "document.querySelector('main')"):
        assert page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 20)"
    for name in ("New chat", "Settings", "Send"):
        assert page.get_by_role("button", name=name).bounding_box()["width"] > 30


def test_everything_has_a_name(server: Running, open_page: Open) -> None:
    page = open_page(server)
    keep(page, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "```c\nint x;\n```", "calls": []}])
    page.get_by_role("button", name="Settings").click()
    names = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')].filter((e) => e.checkVisibility())"
        ".filter((e) => !(e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim()))"
        ".map((e) => e.outerHTML)"
    )
    assert names == []


@pytest.mark.skipif(not SCREENSHOT, reason="LLAMA_ASYNC_SCREENSHOT names the file to write")
def test_screenshot(server: Running, open_page: Open) -> None:
    assert SCREENSHOT
    weather = {"type": "object", "properties": {"city": {"enum": ["Paris", "Oslo"]}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": weather}}
    page = open_page(server, more={"temperature": 0, "max_tokens": 200}, viewport={"width": 960, "height": 840})
    said(page, "Write a Python function that reverses a string.")
    set_more(page, {**CALL, "tools": [tool], "temperature": 0, "max_tokens": 200})
    said(page, "What is the weather in Paris?")
    page.mouse.move(0, 0)
    page.screenshot(path=SCREENSHOT)
    assert Path(SCREENSHOT).stat().st_size < 150_000
