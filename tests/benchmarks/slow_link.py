"""A TCP link with a delay, between two ends on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK_BYTES = 256 * 1024


@asynccontextmanager
async def delayed_port(port: int, one_way_s: float) -> AsyncIterator[int]:
    """Forward a new port to `port`; every byte arrives that much later, in both directions.

    Nothing but the delay holds it up: what is under way is kept in memory.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_CHUNK_BYTES):
                loop.call_later(one_way_s, writer.write, data)
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        for ends in ((reader, back), (there, writer)):
            task = asyncio.create_task(forward(*ends))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connect, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
