"""A message that the master fails over: its sender is answered, and the others are served."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from msgspec.structs import replace

from piwheels.errors import PiwheelsError
from piwheels.model import Outcome
from piwheels.protocol import message_base
from piwheels.protocol import messages as m
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.sockets import CurveGate, Router, generate_key_pair
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_registration import BuilderRegistration
from piwheels.scheduler.builder_state_machine import BuilderStateMachine
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.scheduler.reasons import KEYS_UNREADABLE
from piwheels.scheduler.uploads import UploadServer
from tests.scheduler.message_factories import hello, job
from tests.timeouts import WAIT_S, LongTimeoutDealer
from tests.unprivileged import inaccessible


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.generate("master")
    store.authorize(Role.BUILDER, "pi1", store.load_or_generate("one").public)
    return store


@pytest.fixture
async def gate(store: KeyStore) -> AsyncIterator[CurveGate]:
    async with CurveGate(lambda role, key: store.name_of(Role(role), key) is not None) as gate:
        gate.protect(Role.BUILDER)
        yield gate


def rejecting_router(incoming: Any) -> Router[Any, Any]:
    return Router(incoming, lambda reason, _: m.Rejected(reason=reason))


def bind(router: Router[Any, Any], store: KeyStore) -> str:
    return router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)


def peer(store: KeyStore, address: str, incoming: Any) -> LongTimeoutDealer[Any, Any]:
    server = store.require("master").public
    return LongTimeoutDealer(incoming, address, key=store.require("one"), server_key=server)


def dispatcher_of(router: Router[Any, Any], store: KeyStore) -> Dispatcher:
    lacking = cast("Any", None)
    return Dispatcher(
        db=lacking, targets_db=lacking, dsn="", router=router, keys=store, rules=lacking, logs=lacking,
        event_publisher=lacking, upload_server=lacking, registration=BuilderRegistration(store),
    )  # fmt: skip


@pytest.mark.usefixtures("gate")
async def test_an_invalid_builder_message_does_not_end_the_master(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(_: BuilderStateMachine, event: s.Event, _now: float) -> list[s.Instruction]:
        assert isinstance(event, s.MessageReceived)
        if isinstance(event.message, m.LogChunk):
            raise ValueError("Exceeds the limit (4300 digits) for integer string conversion")
        return [s.SendMessage(event.label, m.Ack())]

    monkeypatch.setattr(BuilderStateMachine, "handle", handle)
    router = rejecting_router(m.FromBuilder)
    builder = peer(store, bind(router, store), m.ToBuilder)
    listening = asyncio.create_task(dispatcher_of(router, store).connections.run())
    await builder.send(m.LogChunk(build=1, offset=0, data=b"x"))
    answer = await builder.receive(WAIT_S)
    assert isinstance(answer, m.Rejected)
    assert "internal error of the master (ValueError)" in answer.reason
    await builder.send(m.Goodbye())
    assert await builder.receive(WAIT_S) == m.Ack()
    assert not listening.done()
    assert caplog.text.count("Traceback") == 1
    listening.cancel()
    builder.close()
    router.close()


@pytest.mark.usefixtures("gate")
async def test_keys_that_cannot_be_read_end_neither_the_master_nor_a_builder(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BuilderStateMachine, "handle", lambda _, event, __: [s.SendMessage(event.label, m.Ack())]
    )
    router = rejecting_router(m.FromBuilder)
    builder = peer(store, bind(router, store), m.ToBuilder)
    listening = asyncio.create_task(dispatcher_of(router, store).connections.run())
    await builder.send(m.Goodbye())
    assert await builder.receive(WAIT_S) == m.Ack()
    with inaccessible(store.key_dir):
        await builder.send(m.Goodbye())
        answer = await builder.receive(WAIT_S)
    assert answer == m.Rejected(reason=KEYS_UNREADABLE, permanent=False)
    await builder.send(m.Goodbye())
    assert await builder.receive(WAIT_S) == m.Ack()
    assert not listening.done()
    listening.cancel()
    builder.close()
    router.close()


async def test_a_join_that_fails_on_the_masters_disk_can_be_tried_again(store: KeyStore) -> None:
    registration = BuilderRegistration(store)
    router = rejecting_router(m.FromBuilder)
    dispatcher = dispatcher_of(router, store)
    dispatcher.registration = dispatcher.connections.registration = registration
    _, token = registration.invite(
        name="pi2", authorize=True, uses=1, valid_s=3600.0, invited_by="ann"
    )
    join = m.Join(public=generate_key_pair().public, name="", protocol=m.PROTOCOL, version="1")
    notes: list[str] = []
    dispatcher.connections.note = notes.append
    async with CurveGate(lambda _, key: registration.admits(key)) as gate:
        gate.protect(Role.BUILDER)
        address, server = bind(router, store), store.require("master").public
        builder: LongTimeoutDealer[Any, Any] = LongTimeoutDealer(
            m.ToBuilder, address, key=token, server_key=server
        )
        listening = asyncio.create_task(dispatcher.connections.run())
        (store.key_dir / "invitations.json").unlink()
        (store.key_dir / "invitations.json").mkdir()  # nothing can take its place
        await builder.send(join)
        answer = await builder.receive(WAIT_S)
        assert answer == m.Rejected(reason=KEYS_UNREADABLE, permanent=False)
        (store.key_dir / "invitations.json").rmdir()
        await builder.send(join)
        assert await builder.receive(WAIT_S) == m.Joined(label="pi2", authorized=True)
        listening.cancel()
        builder.close()
        router.close()
    assert len(notes) == 1


@pytest.mark.usefixtures("gate")
async def test_a_builder_of_the_previous_protocol_is_served_and_an_older_one_refused(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a master whose protocol is one newer than that of the last release."""
    monkeypatch.setattr(message_base, "OLDEST_BUILDER_PROTOCOL", m.PROTOCOL - 1)
    router = rejecting_router(m.FromBuilder)
    dispatcher = dispatcher_of(router, store)
    served: list[m.FromBuilder] = []

    async def serve(label: str, message: m.FromBuilder) -> None:
        served.append(message)
        await dispatcher.connections.send(label, m.Rejected(reason="served"))

    monkeypatch.setattr(dispatcher.connections, "on_message", serve)
    builder = peer(store, bind(router, store), m.ToBuilder)
    listening = asyncio.create_task(dispatcher.connections.run())
    for protocol in (m.PROTOCOL, m.PROTOCOL - 1, m.PROTOCOL - 2, m.PROTOCOL + 1):
        await builder.send(replace(hello(), protocol=protocol))
        answer = await builder.receive(WAIT_S)
        if m.PROTOCOL - 1 <= protocol <= m.PROTOCOL:
            assert answer.reason == "served"
            continue
        assert answer.permanent
        spoken = f"speaks protocol {m.PROTOCOL - 1} to {m.PROTOCOL}, not {protocol}"
        assert spoken in answer.reason
    assert len(served) == 2
    listening.cancel()
    builder.close()
    router.close()


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("fault", [psycopg.OperationalError("gone"), PiwheelsError("no")], ids=str)
async def test_an_internal_error_is_not_a_malformed_message(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def handle(_: BuilderStateMachine, _event: s.Event, _now: float) -> list[s.Instruction]:
        raise fault

    monkeypatch.setattr(BuilderStateMachine, "handle", handle)
    router = rejecting_router(m.FromBuilder)
    builder = peer(store, bind(router, store), m.ToBuilder)
    await builder.send(m.Goodbye())
    with pytest.raises(type(fault)):
        await asyncio.wait_for(dispatcher_of(router, store).connections.run(), WAIT_S)
    builder.close()
    router.close()


@pytest.mark.usefixtures("gate")
async def test_an_invalid_uploader_message_does_not_end_the_master(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    router = rejecting_router(m.FromUploader)
    receiver = UploadServer(
        router=router, keys=store, publisher=cast("Any", None), spool_dir=tmp_path / "spool"
    )
    sender = peer(store, bind(router, store), m.ToUploader)
    wheel = m.ArtifactInfo(filename="a-1-py3-none-any.whl", size_bytes=1, sha256="0")
    built = m.BuildFinished(build=7, outcome=Outcome.BUILT, duration_s=1.0, files=(wheel,))
    receiver.expect(s.StartUpload("pi1", job(7), built), cast("Any", None))
    running = asyncio.create_task(receiver.run())
    with monkeypatch.context() as patch:
        patch.setattr(
            "piwheels.scheduler.uploads.Transfer", lambda *_, **__: exec("raise ValueError('odd')")
        )
        await sender.send(m.UploadOffer(build=7, filename=wheel.filename, size_bytes=1))
        answer = await sender.receive(WAIT_S)
    assert isinstance(answer, m.Rejected)
    assert "internal error of the master (ValueError)" in answer.reason
    with inaccessible(store.key_dir):
        await sender.send(m.UploadOffer(build=7, filename=wheel.filename, size_bytes=1))
        assert await sender.receive(WAIT_S) == m.Rejected(reason=KEYS_UNREADABLE)
    await sender.send(m.UploadOffer(build=7, filename=wheel.filename, size_bytes=1))
    assert isinstance(await sender.receive(WAIT_S), m.ChunkRequest)
    assert not running.done()
    running.cancel()
    receiver.cancel(7)
    sender.close()
    router.close()
