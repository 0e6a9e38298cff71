"""A server on this machine that speaks the hub's protocol, and does to a transfer what networks and servers do."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "a" * 40
# Hosts differ, so that a redirect from one to the other leaves the hub.
HUB_HOST, CDN_HOST = "localhost", "127.0.0.1"


@dataclass
class Repository:
    """Files, and how they are told about and sent."""

    files: dict[str, bytes]
    commit: str = COMMIT
    is_gated: bool = False
    has_hashes: bool = True
    # What the listing says of contents, where it is not so.
    false_contents: dict[str, bytes] = field(default_factory=dict)

    def described(self, path: str) -> bytes:
        return self.false_contents.get(path, self.files[path])


class HubServer:
    """Runs from `start` to `stop`; everything may be changed meanwhile."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        # Old name -> new name.
        self.renamed: dict[str, str] = {}
        self.plain: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        # Of a content's path: after how many bytes each of the next answers ends, cut off.
        self.cuts: dict[str, list[int]] = defaultdict(list)
        # Statuses that the next answers of a path have instead.
        self.faults: dict[str, list[int]] = defaultdict(list)
        self.knows_ranges = True
        self.token: str | None = None
        # (method, path, headers)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        # Set once a transfer waits; it goes on when `go_on` is set.
        self.holds_at: int | None = None
        self.is_held = threading.Event()
        self.go_on = threading.Event()

    def start(self) -> None:
        hub = self

        class Handler(_Handler):
            server_state = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        return f"http://{HUB_HOST}:{self.port}"

    @property
    def cdn(self) -> str:
        return f"http://{CDN_HOST}:{self.port}"

    def ranges(self) -> list[str | None]:
        """The ranges asked for when contents were."""
        return [headers.get("range") for method, path, headers in self.requests if path.startswith("/content/")]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault of the server's."""


class _Handler(BaseHTTPRequestHandler):
    server_state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        state = self.server_state
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        state.requests.append((self.command, self.path, headers))
        renamed = next((name for name in state.renamed if f"{name}/" in path), None)
        if state.faults[path]:
            self._send(state.faults[path].pop(0), b"", {})
        elif renamed is not None:
            self._send(307, b"", {"location": self.path.replace(renamed, state.renamed[renamed])})
        elif path.startswith("/api/models/"):
            self._listing(path.removeprefix("/api/models/"))
        elif path.startswith("/content/"):
            owner, name, file = path.removeprefix("/content/").split("/", 2)
            self._content(path, state.repositories[f"{owner}/{name}"].files[file], None)
        elif path in state.plain:
            self._content(path, state.plain[path], state.etags.get(path))
        elif "/resolve/" in path:
            self._resolve(path.lstrip("/"))
        else:
            self._send(404, b"", {})

    def _repository(self, repo_id: str) -> Repository | None:
        state = self.server_state
        repository = state.repositories.get(repo_id)
        authorization = self.headers.get("authorization")
        if authorization is not None and authorization != f"Bearer {state.token}":
            self._send(401, b"", {"x-error-message": "Invalid credentials in Authorization header"})
        elif repository is None and authorization is None:
            self._send(401, b"", {"x-error-code": "RepoNotFound"})
        elif repository is None:
            self._send(404, b"", {"x-error-code": "RepoNotFound"})
        elif repository.is_gated and authorization is None:
            self._send(401, b"", {"x-error-code": "GatedRepo"})
        else:
            return repository
        return None

    def _listing(self, rest: str) -> None:
        repo_id, _, revision = rest.partition("/revision/")
        repository = self._repository(repo_id)
        if repository is None:
            return
        if revision not in {"main", repository.commit}:
            self._send(404, b"", {"x-error-code": "RevisionNotFound"})
            return
        siblings = []
        for path in repository.files:
            content = repository.described(path)
            sibling: dict[str, Any] = {"rfilename": path}
            if repository.has_hashes:
                sibling |= {"size": len(content), "blobId": git_oid(content)}
                if path.endswith(".gguf"):
                    sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        self._send(200, json.dumps({"sha": repository.commit, "siblings": siblings}).encode(), {})

    def _resolve(self, rest: str) -> None:
        repo_id, _, tail = rest.partition("/resolve/")
        _, _, path = tail.partition("/")
        repository = self._repository(repo_id)
        if repository is None:
            return
        if path not in repository.files:
            self._send(404, b"", {"x-error-code": "EntryNotFound"})
            return
        content = repository.described(path)
        headers = {
            "location": f"{self.server_state.cdn}/content/{repo_id}/{path}",
            "x-repo-commit": repository.commit,
            "x-linked-etag": f'"{sha256(content)}"',
            "x-linked-size": str(len(content)),
        }
        self._send(302, b"", headers)

    def _content(self, path: str, content: bytes, etag: str | None) -> None:
        state = self.server_state
        headers = {} if etag is None else {"etag": etag}
        start = 0
        wanted = self.headers.get("range") if state.knows_ranges else None
        if wanted is not None and self.headers.get("if-range") in {None, etag}:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._send(416, b"", {"content-range": f"bytes */{len(content)}"})
                return
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = state.cuts[path].pop(0) if state.cuts[path] else None
        self._send(206 if start else 200, content[start:], headers, cut)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        state = self.server_state
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if state.holds_at is not None and len(body) > state.holds_at:
                self.wfile.write(body[: state.holds_at])
                self.wfile.flush()
                state.is_held.set()
                state.go_on.wait()
                body = body[state.holds_at :]
            self.wfile.write(body if cut is None else body[:cut])
        except OSError:
            self.close_connection = True
        if cut is not None:
            self.close_connection = True


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def forget_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine says about hubs and proxies."""
    for name in os.environ:
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
