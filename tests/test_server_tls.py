"""The server over TLS, with a certificate that is made here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import read_all, read_until, serving, until
from support import ENDLESS, QUESTION

from llama_async import OptionError
from llama_async.server import ServerSettings, load_settings
from llama_async.server._run import Server

BODY: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 4, "stream": True}
UNENDING = {**ENDLESS, **ENDLESS["extra_body"], "stream": True}
del UNENDING["extra_body"]


@dataclass(frozen=True)
class Certificate:
    """Files of one, and of its key, in a directory of their own."""

    certfile: Path
    keyfile: Path

    @property
    def settings(self) -> dict[str, Path]:
        return {"ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}

    def context(self) -> ssl.SSLContext:
        """What trusts it and nothing else."""
        return ssl.create_default_context(cafile=self.certfile)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Certificate]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")

    def make(*key: str) -> Certificate:
        made = Certificate(*(tmp_path_factory.mktemp("tls") / name for name in ("cert.pem", "key.pem")))
        command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", *(key or ["-nodes"])]
        subprocess.run([*command, "-keyout", made.keyfile, "-out", made.certfile], check=True, capture_output=True)
        return made

    return make


@pytest.fixture(scope="module")
def certificate(make: Callable[..., Certificate]) -> Certificate:
    return make()


def test_it_answers_over_tls(model_path: Path, certificate: Certificate) -> None:
    with serving(model_path, **certificate.settings) as running:
        assert re.fullmatch(r"https://127\.0\.0\.1:\d+", running.url)
        with httpx.Client(base_url=running.url, verify=certificate.context(), timeout=60) as http:
            assert http.get("/health/ready").status_code == 200
            assert http.post("/v1/chat/completions", json={**BODY, "stream": False}).json()["usage"]
            # The page's own origin, which has the same scheme.
            reply = http.post("/v1/tokenize", json={"content": "a"}, headers={"origin": running.url})
            assert reply.status_code == 200
            assert http.post("/v1/chat/completions", json=BODY).text.endswith("data: [DONE]\n\n")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(running.url)

        def send(body: object) -> socket.socket:
            connection = certificate.context().wrap_socket(running.connect(), server_hostname="localhost")
            content = json.dumps(body).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            return connection

        with send(UNENDING) as left:
            read_until(left, b"data: ")
        until(running.is_idle, timeout_s=5)
        with running.connect() as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            try:
                assert b"200" not in read_all(plain)
            except ConnectionResetError:
                pass


def test_an_idle_connection_does_not_hold_up_the_end(model_path: Path, certificate: Certificate) -> None:
    context = certificate.context()
    with (
        serving(model_path, **certificate.settings) as running,
        context.wrap_socket(running.connect(), server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert read_until(connection, b'"ok"}')
        started = time.monotonic()
        # It reads no more, as a pool's connection does not.
        running.stop()
        assert time.monotonic() - started < 10


# As a process, with a file of settings; and what it says when it is ready.


@contextmanager
def process(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "llama_async", "serve", "--port", "0", *arguments]
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "LLAMA_ASYNC_TUNE": "0"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=elsewhere, env=environment
    ) as child:
        try:
            assert child.stderr is not None
            found = (re.match(r"(\S+)  the API is below", line) for line in child.stderr)
            yield child, next(match[1] for match in found if match)
        finally:
            child.kill()


@pytest.mark.parametrize("by", ["file", "flags"])
def test_the_line_that_says_it_is_ready_says_https(
    model_path: Path, certificate: Certificate, tmp_path: Path, by: str
) -> None:
    lines = [f'model = "{model_path}"', "n_ctx = 256", "n_threads = 1"]
    arguments = ["--config", str(tmp_path / "server.toml")]
    if by == "file":
        lines += ['ssl_certfile = "cert.pem"', 'ssl_keyfile = "key.pem"']
        shutil.copy(certificate.certfile, tmp_path / "cert.pem")
        shutil.copy(certificate.keyfile, tmp_path / "key.pem")
    else:
        arguments += ["--ssl-certfile", str(certificate.certfile), "--ssl-keyfile", str(certificate.keyfile)]
    (tmp_path / "server.toml").write_text("\n".join(lines))
    with process(tmp_path, *arguments) as (child, url):
        assert url.startswith("https://127.0.0.1:")
        assert httpx.get(f"{url}/health/ready", verify=certificate.context()).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0


# -- what is wrong -----------------------------------------------------------------------------------------------------


def test_a_certificate_may_hold_its_key(certificate: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(certificate.keyfile.read_text() + certificate.certfile.read_text())
    server = Server(ServerSettings(model="m.gguf", port=0, ssl_certfile=both))
    assert server.url.startswith("https://")
    for listening in server._sockets:
        listening.close()


def test_certificates_that_cannot_be_used(make: Callable[..., Certificate], certificate: Certificate) -> None:
    # Nobody is asked for the password of a key.
    locked = make("-passout", "pass:secret")
    none = certificate.certfile.with_name("none.pem")
    for certfile, keyfile in (
        (none, certificate.keyfile),
        (certificate.certfile, none),
        (certificate.certfile, None),
        (certificate.keyfile, certificate.keyfile),
        (certificate.certfile, make().keyfile),
        (locked.certfile, locked.keyfile),
    ):
        with pytest.raises(OptionError, match="ssl_certfile"):
            Server(ServerSettings(model="m.gguf", port=0, ssl_certfile=certfile, ssl_keyfile=keyfile))


def test_a_key_needs_a_certificate() -> None:
    with pytest.raises(OptionError, match="ssl_certfile"):
        load_settings(flags={"model": "m.gguf", "ssl_keyfile": "key.pem"}, environment={})
