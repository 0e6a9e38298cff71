"""What sixteen streams cost at the least: a server that writes the same bytes to each at each step, and no more.

    python benchmarks/http_floor.py [--interval-ms 30] [--steps 100]

A thread rings a descriptor at each step, as the engine does; the event loop writes one chunk to each connection; a
process reads them all. Printed is the processor time of an event on either side: what `over_http.py` says of the event
loop can fall no lower than the writer's, and the reader's comes on top where both share their cores.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import selectors
import socket
import threading
import time
from typing import Any

N_STREAMS = 16
# As long as an event of text.
EVENT = b"118\r\n" + b"d" * 0x118 + b"\r\n"


def read_all(port: int, results: Any) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(N_STREAMS):
        selector.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
    started = time.process_time()
    n_open, n_events = N_STREAMS, 0
    while n_open:
        for key, _ in selector.select():
            connection: Any = key.fileobj
            part = connection.recv(8192)
            n_events += part.count(b"118\r\n")
            if not part:
                selector.unregister(connection)
                n_open -= 1
    results.put(1e6 * (time.process_time() - started) / n_events)


async def measure(interval_s: float, n_steps: int) -> tuple[float, float]:
    """Return the microseconds of an event: writing, reading."""
    loop = asyncio.get_running_loop()
    transports: list[Any] = []
    all_there, all_written = asyncio.Event(), asyncio.Event()

    class Connected(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            if len(transports) == N_STREAMS:
                all_there.set()

    server = await loop.create_server(Connected, "127.0.0.1", 0)
    results: Any = multiprocessing.Queue()
    reader = multiprocessing.Process(target=read_all, args=(server.sockets[0].getsockname()[1], results))
    reader.start()
    await all_there.wait()
    ringing, bell = os.pipe()
    n_written = 0

    def step() -> None:
        nonlocal n_written
        n_written += len(os.read(ringing, 1))
        for transport in transports:
            transport.write(EVENT)
        if n_written == n_steps:
            all_written.set()

    def ring() -> None:
        for _ in range(n_steps):
            time.sleep(interval_s)
            os.write(bell, b"!")

    loop.add_reader(ringing, step)
    started = time.thread_time()
    thread = threading.Thread(target=ring)
    thread.start()
    await all_written.wait()
    writing_us = 1e6 * (time.thread_time() - started) / (N_STREAMS * n_steps)
    thread.join()
    loop.remove_reader(ringing)
    for transport in transports:
        transport.close()
    reading_us: float = await loop.run_in_executor(None, results.get)
    reader.join()
    server.close()
    return writing_us, reading_us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval-ms", type=float, default=30)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    loops: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        pass
    else:
        loops["uvloop"] = uvloop.new_event_loop
    for name, make in loops.items():
        loop = make()
        writing_us, reading_us = loop.run_until_complete(measure(options.interval_ms / 1e3, options.steps))
        loop.close()
        print(f"{name}: {writing_us:.1f} us to write an event, {reading_us:.1f} to read it")


if __name__ == "__main__":
    main()
