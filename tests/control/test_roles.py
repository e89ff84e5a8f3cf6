"""What each role may send to a control socket, for every command that is defined."""

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from piwheels.control.audit_messages import describe_outcome
from piwheels.control.authorization import authorize
from piwheels.control.command_executor import MAX_REFUSALS, Call, CommandExecutor
from piwheels.control.connected_operators import ConnectedOperators
from piwheels.control.control_server import ControlServer
from piwheels.control.subscriptions import Subscriptions
from piwheels.errors import PiwheelsError, RejectedError
from piwheels.protocol import messages as m
from piwheels.protocol.client import ControlClient, end_tasks
from piwheels.protocol.commands import definition_of, definitions
from piwheels.protocol.commands.definition import CommandDefinition
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import CONTROL_DOMAIN, MASTER, KeyStore, Role
from piwheels.protocol.sockets import CurveGate, Peer, Router
from piwheels.scheduler.event_bus import EventBus
from tests.control.conftest import Master
from tests.ports import free_port
from tests.protocol.random_messages import MessageGenerator
from tests.timeouts import WAIT_S, LongTimeoutClient
from tests.unprivileged import inaccessible

#: Nobody else has this user id, and it is not root's.
OTHER_UID = 64_999


def example_of(definition: CommandDefinition[Any]) -> Any:
    """A well-formed message of a command."""
    for seed in itertools.count():
        try:
            body = msgspec.convert(
                MessageGenerator(seed).message(definition.message), definition.message
            )
        except msgspec.ValidationError:
            continue
        if definition_of(body) is definition:
            return body
    raise AssertionError(definition)


class RecordingServer:
    """A control server on TCP with a key of each role; it records what would be executed."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyStore(folder)
        self.pairs = {role: self.keys.load_or_generate(f"of-{role}") for role in ControlRole}
        for role, pair in self.pairs.items():
            self.keys.authorize(Role(role), f"my-{role}", pair.public)
        self.executed: list[m.RequestBody] = []
        self.audited: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.executor = CommandExecutor(self.handle, self, on_executed=lambda: None)
        self.operators = ConnectedOperators()
        self.address = ""

    async def handle(self, body: m.RequestBody, _: Call) -> m.ReplyBody:
        self.executed.append(body)
        return m.CommandSucceeded(text="done")

    async def record(self, text: str, /, *, who: str, outcome: str) -> None:
        self.texts.append(text)
        self.audited.append((who, outcome))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RecordingServer"]:
        key = self.keys.load_or_generate(MASTER)
        absent: Any = None
        router: Router[m.Request, m.Reply] = Router(
            m.Request, lambda why, _: m.Reply(request_id=0, body=m.CommandFailed(reason=why))
        )
        async with CurveGate(lambda _, public: self._knows(public)) as gate:
            gate.protect(CONTROL_DOMAIN)
            self.address = router.bind("tcp://127.0.0.1:*", key=key, domain=CONTROL_DOMAIN)
            server = ControlServer(
                routers=[router],
                keys=self.keys,
                executor=self.executor,
                subscriptions=Subscriptions(absent, absent, EventBus()),
                request_shutdown=lambda: None,
                operators=self.operators,
            )
            task = asyncio.create_task(server.run())
            yield self
            await end_tasks(task)
            router.close()

    def _knows(self, public: str) -> bool:
        return any(self.keys.name_of(Role(role), public) for role in ControlRole)

    def client(self, role: ControlRole) -> ControlClient:
        return LongTimeoutClient(
            self.address,
            user="ann@desk",
            key=self.pairs[role],
            server_key=self.keys.require(MASTER).public,
        )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RecordingServer]:
    async with RecordingServer(tmp_path / "keys").running() as server:
        yield server


@pytest.mark.parametrize("definition", definitions(), ids=lambda it: it.name or it.message.__name__)
async def test_a_command_is_executed_for_the_roles_that_include_its_own(
    server: RecordingServer, definition: CommandDefinition[Any]
) -> None:
    body = example_of(definition)
    for role in ControlRole:
        server.executed.clear()
        server.audited.clear()
        async with server.client(role) as client:
            if list(ControlRole).index(role) >= list(ControlRole).index(definition.role):
                await client.request(body, m.CommandSucceeded)
                outcome = describe_outcome(body, m.CommandSucceeded(text="done"))
            else:
                with pytest.raises(RejectedError) as refused:
                    await client.request(body, m.CommandSucceeded)
                assert str(refused.value) == (
                    f"this needs the role {definition.role}, and the key my-{role} has {role}: "
                    f"`piw key authorize my-{role} KEY --role {definition.role}` on the master "
                    "gives it"
                )
                outcome = f"rejected: {refused.value}"
        assert server.executed == ([body] if outcome.startswith("applied") else [])
        assert server.audited == [(f"ann@desk (key my-{role})", outcome)]


@pytest.mark.parametrize("role", ControlRole)
async def test_every_role_may_ask(server: RecordingServer, role: ControlRole) -> None:
    async with server.client(role) as client:
        await client.request(m.Status(), m.CommandSucceeded)
    assert server.executed == [m.Status()]
    assert not server.audited


async def test_a_changed_or_revoked_key_is_bound_by_that_at_its_next_command(
    server: RecordingServer,
) -> None:
    public = server.pairs[ControlRole.WATCH].public
    async with server.client(ControlRole.WATCH) as client:
        with pytest.raises(RejectedError):
            await client.request(m.Pause(), m.CommandSucceeded)
        server.keys.authorize(Role.OPERATE, "my-watch", public)
        await client.request(m.Pause(), m.CommandSucceeded)
        server.keys.authorize(Role.WATCH, "my-watch", public)
        with pytest.raises(RejectedError, match="needs the role operate"):
            await client.request(m.Pause(), m.CommandSucceeded)
        server.keys.revoke("my-watch")
        with pytest.raises(RejectedError, match="not authorized on the master"):
            await client.request(m.Status(), m.CommandSucceeded)
    assert server.executed == [m.Pause()]


async def test_refused_commands_are_recorded_up_to_an_allowance_and_then_counted(
    server: RecordingServer,
) -> None:
    """However many names a console claims; each command is answered."""
    server.executor.refusal_period_s = WAIT_S  # it does not end meanwhile
    why = "rejected: this needs the role operate"
    async with server.client(ControlRole.WATCH) as client:
        for number in range(3 * MAX_REFUSALS):
            client._user = f"user {number}"
            with pytest.raises(RejectedError, match="this needs the role operate"):
                await client.request(m.Pause(), m.CommandSucceeded)
        assert len(server.audited) == MAX_REFUSALS
        assert all(outcome.startswith(why) for _, outcome in server.audited)
    async with server.client(ControlRole.OPERATE) as client:
        with pytest.raises(RejectedError, match="this needs the role administer"):
            await client.request(m.StopMaster(), m.CommandSucceeded)
    assert server.audited[-1][0] == "ann@desk (key my-operate)"
    assert not server.executed


async def test_the_refused_commands_that_were_counted_are_one_event(
    server: RecordingServer,
) -> None:
    server.executor.refusal_period_s = 0.2
    refused = 0
    async with server.client(ControlRole.WATCH) as client, asyncio.timeout(WAIT_S):
        while not server.texts or not server.texts[-1].endswith(" more commands"):
            with pytest.raises(RejectedError):
                await client.request(m.Pause(), m.CommandSucceeded)
            refused += 1
    assert server.audited[-1] == ("ann@desk (key my-watch)", "rejected: like those before")
    assert len(server.texts) < refused


async def test_a_refused_command_is_not_what_its_console_did_last(server: RecordingServer) -> None:
    async with server.client(ControlRole.WATCH) as client:
        with pytest.raises(RejectedError):
            await client.request(m.Pause(), m.CommandSucceeded)
    async with server.client(ControlRole.OPERATE) as client:
        await client.request(m.Pause(), m.CommandSucceeded)
    assert [*server.operators._last] == ["ann@desk (key my-operate)"]


async def test_keys_that_cannot_be_read_end_no_connection_for_the_others(
    server: RecordingServer,
) -> None:
    async with server.client(ControlRole.WATCH) as client:
        await client.request(m.Status(), m.CommandSucceeded)
        with (
            inaccessible(server.keys.key_dir),
            pytest.raises(RejectedError, match="not authorized on the master"),
        ):
            await client.request(m.Status(), m.CommandSucceeded)
        await client.request(m.Status(), m.CommandSucceeded)


def local_caller(uid: int | None, group_role: ControlRole, *, read_only: bool = False) -> Any:
    request = m.Request(request_id=1, user="ann@desk", read_only=read_only, body=m.Pause())
    peer = Peer(route=b"r", key="", uid=uid)
    return authorize(KeyStore(Path("/nonexistent")), peer, request, group_role)


@pytest.mark.parametrize("uid", [0, os.getuid()])
def test_root_and_the_masters_account_administer(uid: int) -> None:
    caller = local_caller(uid, ControlRole.WATCH)
    assert (caller.name, caller.role) == ("ann@desk", ControlRole.ADMINISTER)


@pytest.mark.parametrize("role", ControlRole)
@pytest.mark.parametrize(("uid", "name"), [(OTHER_UID, str(OTHER_UID)), (None, "unknown")])
def test_other_accounts_have_the_role_of_the_group(
    uid: int | None, name: str, role: ControlRole
) -> None:
    caller = local_caller(uid, role)
    assert (caller.name, caller.role) == (f"ann@desk (user {name})", role)
    refusal = caller.refusal(ControlRole.ADMINISTER)
    assert bool(refusal) is (role is not ControlRole.ADMINISTER)
    assert not refusal or "master.control_group_role" in refusal


def test_a_read_only_console_watches_whatever_its_key_may_do() -> None:
    caller = local_caller(0, ControlRole.ADMINISTER, read_only=True)
    assert caller.role is ControlRole.WATCH
    assert "--read-only" in caller.refusal(ControlRole.OPERATE)
    assert not caller.refusal(ControlRole.WATCH)


# --- with a real master ---


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter."""
    with tempfile.TemporaryDirectory(prefix="piwheels-roles-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.getuid() != 0, reason="only root can send as another account")
async def test_the_kernel_tells_which_account_sent_a_command(
    idle_master: Master, open_folder: Path
) -> None:
    socket = open_folder / "c.sock"
    idle_master.settings["master.control_bind"] = f"ipc://{socket}"
    await idle_master.start(control_group_role="watch")
    socket.chmod(0o666)  # every account counts as one of the group
    os.seteuid(OTHER_UID)  # the kernel tells the effective id at the time of the connection
    try:
        async with idle_master.client("root@desk") as client:
            assert not (await client.request(m.Status(), m.StatusReply)).paused
            with pytest.raises(RejectedError, match=f"user {OTHER_UID} has watch"):
                await client.request(m.Pause(), m.CommandSucceeded)
    finally:
        os.seteuid(0)
    await idle_master.ask(m.Pause(), m.CommandSucceeded)


async def test_over_tcp_a_key_of_each_role_does_what_it_may(idle_master: Master) -> None:
    master, address = idle_master, f"tcp://127.0.0.1:{free_port()}"
    await master.start(control_tcp_bind=address)
    await master.release("demo")
    server_key = master.keys.require(MASTER).public
    commands = (m.Status(), m.Pause(), m.Remove(project="demo"))
    done: list[tuple[str, list[bool]]] = []
    for role in ControlRole:
        pair = master.keys.load_or_generate(f"of-{role}")
        master.keys.authorize(Role(role), f"my-{role}", pair.public)
        how = {"address": address, "key": pair, "server_key": server_key}
        async with master.watch("ann@desk", **how) as console:
            assert console.snapshot.role is role
        async with master.client("ann@desk", **how) as client:
            done.append((role, [await succeeds(client, body) for body in commands]))
    assert done == [
        ("watch", [True, False, False]),
        ("operate", [True, True, False]),
        ("administer", [True, True, True]),
    ]
    events = (await master.ask(m.ListEvents(), m.EventsReply)).events
    refused = [(event.who, event.what) for event in events if "needs the role" in event.outcome]
    assert refused == [
        ("ann@desk (key my-operate)", "remove demo"),
        ("ann@desk (key my-watch)", "remove demo"),
        ("ann@desk (key my-watch)", "pause the farm"),
    ]
    async with master.watch("ann@desk", keepalive_interval_s=0.1, **how) as console:
        master.keys.authorize(Role.WATCH, "my-administer", pair.public)
        with pytest.raises(RejectedError, match="the role is watch now; connect again"):
            await console.wait_for_event(m.BuilderRemoved)
    async with master.client("ann@desk", **how) as client:
        assert await succeeds(client, m.Status())  # it is connected
        master.keys.revoke("my-administer")
        # It gets no answer; the one before came at once.
        assert not await succeeds(client, m.Status(), timeout_s=3.0)


async def succeeds(client: ControlClient, body: m.RequestBody, timeout_s: float = WAIT_S) -> bool:
    """Whether the master does what was asked."""
    try:
        await client.request(body, object, timeout_s=timeout_s)
    except PiwheelsError:
        return False
    return True
