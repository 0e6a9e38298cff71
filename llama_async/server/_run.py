"""`run`: the application as a program, under uvicorn: sockets, signals, and slow clients.

What is here is what uvicorn leaves open: it has no limit on how long a request's head may take, lets a second SIGTERM
pass, and ends requests past the deadline by cancelling them without a word to their clients.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from llama_async._errors import OptionError

from ._app import Application, create_app
from ._endpoint import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ._settings import ServerSettings

__all__ = ["Server", "run"]

_log = logging.getLogger("llama_async.server")

try:
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    _OVER_HTTPTOOLS = False
else:
    _OVER_HTTPTOOLS = AutoHTTPProtocol is HttpToolsProtocol

_FRAMING = (b"content-length", b"transfer-encoding")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_MOST_HEAD_BYTES = 64 << 10
# How long ended requests may take to say so to clients that may not read.
_LAST_WORDS_S = 5
# And how long a peer over TLS may take to see that its idle connection ends.
_GOODBYE_S = 1


def run(settings: ServerSettings, *, on_ready: Callable[[str], object] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; then end in order, or at once when a second one comes.

    Blocks. Signals are handled in the main thread only; elsewhere it serves for ever.

    Args:
        settings: What to serve, and where.
        on_ready: Called with the server's URL when it listens and its models are loaded.

    Raises:
        OptionError: A setting is wrong, or the address cannot be listened at.
        ModelLoadError: A model cannot be loaded.
    """
    Server(settings, on_ready).run()


class Server(uvicorn.Server):
    """One server of an application.

    Args:
        settings: What to serve, and where. It listens from now on, and answers when `main` runs.
        on_ready: As for `run`.
    """

    def __init__(self, settings: ServerSettings, on_ready: Callable[[str], object] | None = None) -> None:
        if not settings.allowed_hosts and _is_loopback(settings.host):
            names = (*_LOOPBACK_NAMES, settings.host)
            settings = settings.model_copy(update={"allowed_hosts": names})
        self.settings = settings
        self.application: Application = create_app(settings)
        self._on_ready = on_ready
        _check_certificate(settings)
        self._sockets = _listen(settings)
        super().__init__(_config(self.application, settings))

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._sockets[0].getsockname()[:2]
        scheme = "http" if self.settings.ssl_certfile is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """Do as `main`, in an event loop of its own."""
        factory = self.config.get_loop_factory()
        try:
            anyio.run(self.main, backend="asyncio", backend_options={"loop_factory": factory} if factory else {})
        finally:
            for listening in self._sockets:
                listening.close()

    async def main(self) -> None:
        """Listen, load, serve, end."""
        if not (self.application.has_keys or _is_loopback(self.settings.host)):
            _log.warning("%s can be reached from elsewhere and asks for no API key (api_keys)", self.url)
        _log.info("listening at %s", self.url)
        loading = asyncio.create_task(self._load())
        try:
            await self.serve(sockets=self._sockets)
        finally:
            loading.cancel()
            [outcome] = await asyncio.gather(loading, return_exceptions=True)
            await self.application.client.close()
        if isinstance(outcome, Exception):
            raise outcome

    async def _load(self) -> None:
        try:
            await self.application.load()
        except BaseException:
            self.should_exit = True
            raise
        _log.info("ready")
        if self._on_ready is not None:
            self._on_ready(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: say so, stop listening, let answers finish, tell the rest why they do not."""
        application, settings = self.application, self.settings
        application.begin_drain()
        _log.info("ending: %d requests in flight", application.n_requests)
        if application.n_requests or settings.drain_s:
            await asyncio.sleep(settings.drain_s)
        application.stop_accepting()
        deadline = asyncio.get_running_loop().call_later(settings.shutdown_s, application.end_requests)
        try:
            await super().shutdown(sockets)
        finally:
            deadline.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM; not passed on afterwards, unlike uvicorn's: ending in order is a success."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """Begin to end; the second time, end at once."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        # Before anything else: whoever sends requests here should look for another place.
        self.application.begin_drain()
        self.should_exit = True


def _config(application: Application, settings: ServerSettings) -> uvicorn.Config:
    logs: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    level = settings.log_level.upper()
    logs["loggers"]["llama_async.server"] = {"handlers": ["default"], "level": level, "propagate": False}
    # What it says is said by us, but for its warnings.
    logs["loggers"]["uvicorn.error"] = {"level": "WARNING" if level == "INFO" else level}
    return uvicorn.Config(
        application,
        http=_protocol(settings.header_timeout_s),
        ws="none",
        lifespan="off",  # `Server.main` loads and closes, so that `/health` answers meanwhile
        log_config=logs,
        log_level=None,
        use_colors=False if os.environ.get("NO_COLOR") else None,  # `None`: on a terminal
        access_log=settings.access_log,
        root_path=settings.root_path,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.idle_timeout_s)),
        timeout_graceful_shutdown=round(settings.shutdown_s) + _LAST_WORDS_S,
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
    )


# -- connections -------------------------------------------------------------------------------------------------------


def _protocol(header_timeout_s: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits on how long, and how large, a request's head may be."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type] # (one of two, by what is installed)
        _head_timer: asyncio.TimerHandle | None = None
        _n_head_bytes = 0
        _data = b""  # what is being parsed
        _moved = False  # whether that ends a head, or has some of a body
        _in_head = False  # whether it ends within one
        _skips = False  # what is being parsed stands for a head that was read before
        _running: Any = None  # the exchange that is answered; `cycle` is the one that is read

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._expect_head()

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            # Only the protocol over httptools calls it; over h11 every event goes through ASGI.
            cycle.scope["extensions"] = {WRITE: _writer(cycle)}
            self._running = cycle
            super()._start_asgi_task(cycle, _unchunked(cycle, app) if cycle.scope["http_version"] == "1.0" else app)

        def data_received(self, data: bytes) -> None:
            self._data, self._moved = data, False
            super().data_received(data)
            self._data = b""
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering and (self._moved or not _OVER_HTTPTOOLS):
                self._forget_head()
                return
            # Of another request's head, sent before the reply to the last one, as well; or of what follows a body. Or
            # of a body that was answered unread: uvicorn would wait for the rest without end.
            if self._in_head or not answering:
                self._expect_head()
            if self._moved:
                return
            self._n_head_bytes += len(data)
            if self._n_head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                if answering:
                    self.transport.abort()
                else:
                    self.send_400_response("The request's head is too long.")

        def shutdown(self) -> None:
            super().shutdown()
            if self.transport.is_closing():
                # Over TLS asyncio waits 30 s for a word of the peer's (before Python 3.11, for ever), and uvicorn for
                # that; whoever keeps a connection for later does not look at it.
                self.loop.call_later(_GOODBYE_S, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_head()
            super().connection_lost(exc)
            # Not the one that is read, where a client sends requests ahead.
            if self._running is not None and not self._running.response_complete:
                self._running.disconnected = True
                self._running.message_event.set()

        # The parser's events, of httptools.

        def on_message_begin(self) -> None:
            if not self._skips:
                self._in_head = True
                super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            if not self._skips:
                super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            if not self._skips:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            if self._skips:
                return
            self._moved, self._in_head = True, False
            super().on_headers_complete()
            if len(self.pipeline) == 1:
                # uvicorn reads no more now, and would not see the client go.
                self.flow.resume_reading()

        def on_body(self, body: bytes) -> None:
            self._moved = True
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._moved = True
            super().on_message_complete()

        def _unsupported_upgrade_warning(self) -> None:
            """Go on as if no upgrade had been offered. The parser takes what follows the head for another protocol's.

            Java's client offers HTTP/2 with every request, for one.
            """
            stopped = sys.exc_info()[1]
            if not _OVER_HTTPTOOLS or not isinstance(stopped, httptools.HttpParserUpgrade):
                return  # h11 goes on by itself
            self._data = self._data[stopped.args[0] :]
            framing = [b": ".join(header) for header in self.headers if header[0] in _FRAMING]
            self.cycle.more_body = True
            self.parser = httptools.HttpRequestParser(self)
            try:
                self._skips = True
                self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", b""]))
                self._skips = False
                if self._data:
                    super().data_received(self._data)
            except httptools.HttpParserError:
                self.transport.abort()

        def _expect_head(self) -> None:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(header_timeout_s, self._give_up)

        def _forget_head(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            self._n_head_bytes = 0

        def _give_up(self) -> None:
            # Nobody waits for a reply to half a request.
            self.transport.abort()

    return Protocol


def _writer(cycle: Any) -> Callable[[bytes], bool]:
    """Return what writes a part of the body of uvicorn's reply without waiting, and says whether it could.

    What it does is a part of what uvicorn does with a body's message. With sixteen streams the way there, a future, a
    task and ten coroutines deep, takes most of an event's time.
    """

    def write(part: bytes) -> bool:
        if cycle.flow.write_paused or cycle.transport.is_closing() or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    return write


def _unchunked(cycle: Any, app: ASGIApp) -> ASGIApp:
    """Return the application for a client of HTTP/1.0, which knows no chunks: a body ends with its connection.

    uvicorn over httptools sends it chunks all the same; that it closes the connection then is its own doing.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_plain(message: Message) -> None:
            if message["type"] == "http.response.start":
                if not any(name.lower() == b"content-length" for name, _ in message["headers"]):
                    cycle.chunked_encoding = False
            elif not cycle.expected_content_length:
                # uvicorn counts down what was announced.
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return answer


# -- sockets -----------------------------------------------------------------------------------------------------------


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_certificate(settings: ServerSettings) -> None:
    """Raise OptionError where a certificate cannot be used: before anything listens, and in words of ours."""
    if settings.ssl_certfile is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # OpenSSL would ask for a key's password at the terminal.
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password=lambda: "")
    except OSError as error:
        expected = f"a certificate that can be read, with its key (ssl_keyfile), which has no password: {error}"
        raise OptionError("ssl_certfile", str(settings.ssl_certfile), expected) from None


def _listen(settings: ServerSettings) -> list[socket.socket]:
    """Return a socket at each address that the host stands for; what they accept inherits their options."""
    host, port = settings.host, settings.port
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if port == 0 and sockets:
                break  # a second address would get another port
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # A peer that vanished, or has stopped reading, holds its connection no longer than this.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * settings.write_timeout_s))
            listener.bind(address)
            listener.setblocking(False)
    except OSError as error:
        for listener in sockets:
            listener.close()
        raise OptionError("host", f"{host}:{port}", f"an address that can be listened at: {error}") from None
    return sockets
