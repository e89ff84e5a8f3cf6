"""An upload over a link with a delay: a growing window against a fixed one."""

import asyncio
import time
from pathlib import Path

import pytest

from piwheels.protocol import messages as m
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.sockets import CurveGate, Router
from piwheels.protocol.upload_window import Transfer
from tests.benchmarks.slow_link import delayed_port
from tests.timeouts import LongTimeoutDealer

_SIZE_BYTES = 64 * 1024 * 1024
_ONE_WAY_S = 0.05
#: At 100 ms it carries at most 6.6 MB/s.
_FIXED_WINDOW_BYTES = 640 * 1024


class CountedTransfer(Transfer):
    """Counts its rounds, each of which takes at least a round trip of the link."""

    rounds = 0

    def _end_round(self, now: float) -> None:
        self.rounds += 1
        super()._end_round(now)


class FixedWindow(CountedTransfer):
    """Ten chunks of 64 KiB in flight, whatever the link."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes, chunk_bytes=64 * 1024)
        self.window_bytes = _FIXED_WINDOW_BYTES
        self._rounds_without_gain = 99


async def _answer(
    peer: "LongTimeoutDealer[m.ToUploader, m.FromUploader]", content: memoryview
) -> None:
    while True:
        message = await peer.receive()
        if isinstance(message, m.ChunkRequest):
            piece = content[message.offset : message.offset + message.length]
            chunk = m.FileChunk(build=1, filename="wheel", offset=message.offset)
            await peer.send(chunk, bytes(piece))


async def _receive(router: "Router[m.FromUploader, m.ToUploader]", transfer: Transfer) -> float:
    """Receive a file as `scheduler.uploads` does; bytes a second."""
    offer = await router.receive()
    began = time.perf_counter()
    while not transfer.complete:
        for piece in transfer.next_requests(time.monotonic()):
            fetch = m.ChunkRequest(
                build=1, filename="wheel", offset=piece.offset, length=piece.length
            )
            await router.send(offer.peer, fetch)
        envelope = await router.receive()
        assert isinstance(envelope.message, m.FileChunk)
        length = len(envelope.frames[0])
        assert transfer.on_chunk(envelope.message.offset, length, time.monotonic())
    return transfer.size_bytes / (time.perf_counter() - began)


async def _rate(store: KeyStore, transfer: Transfer, one_way_s: float) -> float:
    content = memoryview(bytes(transfer.size_bytes))
    router: Router[m.FromUploader, m.ToUploader] = Router(
        m.FromUploader, lambda reason, _: m.Rejected(reason=reason)
    )
    address = router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)
    async with delayed_port(int(address.rpartition(":")[2]), one_way_s) as port:
        dealer: LongTimeoutDealer[m.ToUploader, m.FromUploader] = LongTimeoutDealer(
            m.ToUploader,
            f"tcp://127.0.0.1:{port}",
            key=store.require("builder"),
            server_key=store.require("master").public,
        )
        await dealer.send(m.UploadOffer(build=1, filename="wheel", size_bytes=transfer.size_bytes))
        answering = asyncio.create_task(_answer(dealer, content))
        try:
            return await _receive(router, transfer)
        finally:
            answering.cancel()
            dealer.close()
            router.close()


@pytest.mark.slow
async def test_a_growing_window_needs_fewer_round_trips_than_a_fixed_one(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.generate("master")
    store.authorize(Role.BUILDER, "builder", store.load_or_generate("builder").public)
    async with CurveGate(lambda role, key: store.name_of(Role(role), key) is not None) as gate:
        gate.protect(Role.BUILDER)
        fixed, growing = FixedWindow(_SIZE_BYTES // 4), CountedTransfer(_SIZE_BYTES)
        rates = [await _rate(store, transfer, _ONE_WAY_S) for transfer in (fixed, growing)]
    print(
        f"\nat 100 ms: fixed {rates[0] / 1e6:.1f} MB/s in {4 * fixed.rounds} rounds, "
        f"growing {rates[1] / 1e6:.1f} MB/s in {growing.rounds} rounds"
    )
    # A link that is not the limit leaves the processor, so rates depend on the machine's other work.
    assert 4 * growing.rounds < 4 * fixed.rounds  # fixed transferred a quarter of the bytes
    assert growing.window_bytes > 4 * fixed.window_bytes
