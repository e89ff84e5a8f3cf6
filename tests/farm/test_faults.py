"""A message that the master fails over: its sender is answered, and the others are served."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from piwheels.errors import PiwheelsError
from piwheels.farm import signals as s
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.receive import Receiver
from piwheels.farm.sessions import Sessions
from piwheels.model import Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.channels import Gate, Router
from piwheels.protocol.keys import KeyStore, Role
from tests.farm.talk import job
from tests.patience import WAIT_S, PatientDealer


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.make("master")
    store.allow(Role.BUILDER, "pi1", store.ensure("one").public)
    return store


@pytest.fixture
async def gate(store: KeyStore) -> AsyncIterator[Gate]:
    async with Gate(lambda role, key: store.name_of(Role(role), key) is not None) as gate:
        gate.guard(Role.BUILDER)
        yield gate


def refusing(incoming: Any) -> Router[Any, Any]:
    return Router(incoming, lambda reason, _: m.Refused(reason=reason))


def bound(router: Router[Any, Any], store: KeyStore) -> str:
    return router.bind("tcp://127.0.0.1:*", key=store.require("master"), domain=Role.BUILDER)


def peer(store: KeyStore, address: str, incoming: Any) -> PatientDealer[Any, Any]:
    server = store.require("master").public
    return PatientDealer(incoming, address, key=store.require("one"), server_key=server)


def dispatch_of(router: Router[Any, Any], store: KeyStore) -> Dispatch:
    lacking = cast("Any", None)
    return Dispatch(
        db=lacking, dsn="", router=router, keys=store, rules=lacking, logs=lacking,
        tidings=lacking, receiver=lacking,
    )  # fmt: skip


@pytest.mark.usefixtures("gate")
async def test_a_builders_message_ends_no_master(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(_: Sessions, event: s.Event, _now: float) -> list[s.Instruction]:
        assert isinstance(event, s.Received)
        if isinstance(event.message, m.LogLines):
            raise ValueError("Exceeds the limit (4300 digits) for integer string conversion")
        return [s.Reply(event.label, m.Continue())]

    monkeypatch.setattr(Sessions, "handle", handle)
    router = refusing(m.FromBuilder)
    builder = peer(store, bound(router, store), m.ToBuilder)
    listening = asyncio.create_task(dispatch_of(router, store)._listen())
    await builder.send(m.LogLines(build=1, offset=0, data=b"x"))
    answer = await builder.receive(WAIT_S)
    assert isinstance(answer, m.Refused)
    assert "the master failed: ValueError" in answer.reason
    await builder.send(m.Bye())
    assert await builder.receive(WAIT_S) == m.Continue()
    assert not listening.done()
    assert caplog.text.count("Traceback") == 1
    listening.cancel()
    builder.close()
    router.close()


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("fault", [psycopg.OperationalError("gone"), PiwheelsError("no")], ids=str)
async def test_a_fault_of_the_master_is_nobodys_message(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def handle(_: Sessions, _event: s.Event, _now: float) -> list[s.Instruction]:
        raise fault

    monkeypatch.setattr(Sessions, "handle", handle)
    router = refusing(m.FromBuilder)
    builder = peer(store, bound(router, store), m.ToBuilder)
    await builder.send(m.Bye())
    with pytest.raises(type(fault)):
        await asyncio.wait_for(dispatch_of(router, store)._listen(), WAIT_S)
    builder.close()
    router.close()


@pytest.mark.usefixtures("gate")
async def test_a_senders_message_ends_no_master(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    router = refusing(m.FromSender)
    receiver = Receiver(
        router=router, keys=store, publisher=cast("Any", None), spool=tmp_path / "spool"
    )
    sender = peer(store, bound(router, store), m.ToSender)
    wheel = m.FileOffer(filename="a-1-py3-none-any.whl", size_bytes=1, sha256="0")
    built = m.Built(build=7, outcome=Outcome.BUILT, duration_s=1.0, files=(wheel,))
    await receiver.expect("pi1", job(7), built, cast("Any", None))
    running = asyncio.create_task(receiver.run())
    with monkeypatch.context() as patch:
        patch.setattr(
            "piwheels.farm.receive.Transfer", lambda *_, **__: exec("raise ValueError('odd')")
        )
        await sender.send(m.Offer(build=7, filename=wheel.filename, size_bytes=1))
        answer = await sender.receive(WAIT_S)
    assert isinstance(answer, m.Refused)
    assert "the master failed: ValueError" in answer.reason
    await sender.send(m.Offer(build=7, filename=wheel.filename, size_bytes=1))
    assert isinstance(await sender.receive(WAIT_S), m.Fetch)
    assert not running.done()
    running.cancel()
    receiver.drop(7)
    sender.close()
    router.close()
