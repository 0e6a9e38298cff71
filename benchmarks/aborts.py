"""Connections that end before their answers: ten thousand of them must leave nothing behind.

    python benchmarks/aborts.py [--connections 10000] [--model FILE] [--clients 8] [--seed 1]

A server in a process of its own, by default on a model of random weights, which is written with the `gguf` package.
Each connection is dropped at a random point: in its head or its body, before the first token, in the midst of a long
prompt or of a stream, after an end of its own half, in its second request; by an end (FIN) or a reset (RST). Afterwards
no sequence runs or waits, every request that began has ended, tasks and descriptors are as many as before, memory has
not grown in the second half, and the server answers. Prints what it saw; ends with 1 if something is left.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness.figures import machine, print_facts
from harness.prompts import passage

# How long what was dropped may take to be gone.
SETTLE_S = 30
# Allocators keep what several threads had at once; a leaked sequence or task of each connection would be tens of MiB.
MAX_GROWTH_MIB = 12
# What there is of none once everything is over.
MOVING = ("running", "queued", "unended", "requests", "connections")
RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, no time

PROGRAM = """
import asyncio, gc, json, os, sys, threading
from llama_async.server import ServerSettings
from llama_async.server._run import Server

class Watched(Server):
    async def main(self):
        loop = asyncio.get_running_loop()
        threading.Thread(target=self.listen, args=(loop,), daemon=True).start()
        await super().main()

    def listen(self, loop):
        for _ in sys.stdin:
            loop.call_soon_threadsafe(self.tell)

    def tell(self):
        gc.collect()
        stats = self.application.client.stats("default")
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        print(json.dumps({
            "running": stats.n_running, "queued": stats.n_queued, "unended": stats.n_requests - stats.n_ended,
            "began": stats.n_requests, "requests": self.application.n_requests,
            "connections": len(self.server_state.connections), "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd")), "MiB": resident,
        }), flush=True)

Watched(ServerSettings(**json.loads(sys.argv[1])), lambda url: print(url, flush=True)).run()
"""


class Watched:
    """The server's process, which tells what it holds."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent / "harness",  # away from a source tree that has no extension
        )
        host, _, port = self._line().removeprefix("http://").rpartition(":")
        self.address = (host, int(port))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server has ended with {self._process.wait()}")
        return line.strip()

    def held(self) -> dict[str, float]:
        """Return what it holds now."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        held: dict[str, float] = json.loads(self._line())
        return held

    def settled(self) -> dict[str, float]:
        """Return what it holds once nothing is under way, or when that took too long."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            held = self.held()
            if not any(held[name] for name in MOVING) or time.monotonic() > deadline:
                return held
            time.sleep(0.02)

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait(60)


def request(body: dict[str, Any], *, keep: bool = True) -> bytes:
    content = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + ("" if keep else "connection: close\r\n")
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def chat(content: str, n_tokens: int, *, stream: bool = True) -> dict[str, Any]:
    return {
        "model": "default", "messages": [{"role": "user", "content": content}], "max_tokens": n_tokens,
        "ignore_eos": True, "stream": stream,
    }  # fmt: skip


class Dropper:
    """Opens connections and drops them."""

    def __init__(self, address: tuple[str, int], seed: int, n_ctx: int) -> None:
        self._address = address
        self._choose = random.Random(seed)
        self._n_ctx = n_ctx
        self.seen: Counter[str] = Counter()
        self._kinds = {
            "at once": self._at_once,
            "in the head": self._in_the_head,
            "in the body": self._in_the_body,
            "before the answer": self._before_the_answer,
            "in a long prompt": self._in_a_long_prompt,
            "in the stream": self._in_the_stream,
            "in the stream of several": self._in_the_stream_of_several,
            "half closed": self._half_closed,
            "in the second request": self._in_the_second_request,
        }

    def drop_one(self) -> None:
        kind = self._choose.choice(list(self._kinds))
        how = self._choose.choice(("end", "reset"))
        with socket.create_connection(self._address, timeout=60) as connection:
            try:
                self._kinds[kind](connection)
            except (ConnectionError, TimeoutError) as error:
                self.seen[f"{kind}: {type(error).__name__}"] += 1
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.seen[f"{kind}, by {how}"] += 1

    def _pause(self) -> None:
        time.sleep(self._choose.choice((0, 0, 0.001, 0.02 * self._choose.random())))

    def _words(self, n_tokens: int) -> str:
        # Of their own, so that no prefix is there yet.
        return passage(self._choose.randrange(1 << 30), n_tokens)

    def _at_once(self, _connection: socket.socket) -> None:
        self._pause()

    def _in_the_head(self, connection: socket.socket) -> None:
        head = request({}).partition(b"\r\n\r\n")[0]
        connection.sendall(head[: self._choose.randrange(1, len(head))])
        self._pause()

    def _in_the_body(self, connection: socket.socket) -> None:
        whole = request(chat(self._words(20), 8))
        n_head = whole.index(b"\r\n\r\n") + 4
        connection.sendall(whole[: self._choose.randrange(n_head, len(whole))])
        self._pause()

    def _before_the_answer(self, connection: socket.socket) -> None:
        connection.sendall(request(chat(self._words(8), self._n_ctx // 2, stream=self._choose.random() < 0.5)))
        self._pause()

    def _in_a_long_prompt(self, connection: socket.socket) -> None:
        # Tokens of random vocabularies are short: a quarter of a context in words is most of one in tokens.
        connection.sendall(request(chat(self._words(self._n_ctx // 8), 8, stream=self._choose.random() < 0.5)))
        self._pause()

    def _read_events(self, connection: socket.socket) -> None:
        n_wanted = self._choose.choice((1, 1, 2, 5, 20))
        data = b""
        while data.count(b"data: ") < n_wanted and (part := connection.recv(65536)):
            data += part

    def _in_the_stream(self, connection: socket.socket) -> None:
        connection.sendall(request(chat(self._words(8), self._n_ctx // 2)))
        self._read_events(connection)

    def _in_the_stream_of_several(self, connection: socket.socket) -> None:
        connection.sendall(request({**chat(self._words(8), self._n_ctx // 2), "n": 3}))
        self._read_events(connection)

    def _half_closed(self, connection: socket.socket) -> None:
        connection.sendall(request(chat(self._words(8), self._n_ctx // 2)))
        connection.shutdown(socket.SHUT_WR)
        if self._choose.random() < 0.5:
            self._read_events(connection)

    def _in_the_second_request(self, connection: socket.socket) -> None:
        connection.sendall(request(chat(self._words(8), 2)))
        data = b""
        while not data.endswith(b"0\r\n\r\n") and (part := connection.recv(65536)):
            data += part
        self._choose.choice((self._in_the_head, self._in_the_body, self._before_the_answer, self._in_the_stream))(
            connection
        )


def drop_many(droppers: list[Dropper], n_connections: int) -> None:
    """Have all droppers share so many connections, each in a thread."""
    errors: list[BaseException] = []

    def drop(dropper: Dropper, n: int) -> None:
        try:
            for _ in range(n):
                dropper.drop_one()
        except BaseException as error:
            errors.append(error)

    n_each, n_more = divmod(n_connections, len(droppers))
    threads = [
        threading.Thread(target=drop, args=(dropper, n_each + (index < n_more)))
        for index, dropper in enumerate(droppers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def status_of_an_answer(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(request(chat("hello", 2, stream=False), keep=False))
        data = b""
        while part := connection.recv(65536):
            data += part
    return data.partition(b"\r\n")[0]


def run(arguments: argparse.Namespace, model: str) -> list[str]:
    """Drop the connections; return what was left."""
    options = {
        "model": model, "port": 0, "access_log": False, "store": None, "n_threads": 1, "n_ctx": arguments.n_ctx,
        "n_parallel": 4, "log_level": "warning",
    }  # fmt: skip
    watched = Watched(options)
    try:
        seeds = range(arguments.seed, arguments.seed + arguments.clients)
        droppers = [Dropper(watched.address, seed, arguments.n_ctx) for seed in seeds]
        # What is made once is made before it is counted.
        drop_many(droppers, min(200, arguments.connections))
        status_of_an_answer(watched.address)
        before = watched.settled()
        started = time.perf_counter()
        drop_many(droppers, arguments.connections // 2)
        middle = watched.settled()
        drop_many(droppers, arguments.connections - arguments.connections // 2)
        seconds = time.perf_counter() - started
        after = watched.settled()
        status = status_of_an_answer(watched.address).decode()
    finally:
        code = watched.end()
    seen = sum((dropper.seen for dropper in droppers), Counter())
    for name, count in sorted(seen.items()):
        print(f"  {name}: {count}")
    print(f"before: {before}\nmiddle: {middle}\nafter:  {after}")
    n = arguments.connections
    began = int(after["began"] - before["began"])
    print(f"{n} connections in {seconds:.0f} s, {began} requests of theirs reached the engine; then: {status}")
    wrong = [f"{name}: {after[name]}" for name in MOVING if after[name]]
    kept = ("tasks", "threads", "descriptors")
    wrong += [f"{name}: {before[name]} before, {after[name]} after" for name in kept if after[name] > before[name]]
    if (growth := after["MiB"] - middle["MiB"]) > MAX_GROWTH_MIB:
        wrong.append(f"memory grew by {growth:.1f} MiB in the second half")
    if " 200 " not in status:
        wrong.append(f"the answer afterwards: {status}")
    if code != 0:
        wrong.append(f"the server ended with {code}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", help="a GGUF file; by default one of random weights")
    parser.add_argument("--n-ctx", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print_facts({"command": " ".join(["aborts.py", *sys.argv[1:]]), **machine()})
    with tempfile.TemporaryDirectory() as directory:
        model = arguments.model and str(Path(arguments.model).resolve())
        if model is None:
            sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "tools"))
            from tiny_models import tiny_llama

            model = str(tiny_llama(Path(directory) / "tiny.gguf"))
        wrong = run(arguments, model)
    for line in wrong:
        print(f"left: {line}")
    print("failed" if wrong else "passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
