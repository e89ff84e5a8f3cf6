"""Builders that join by a token, and those that wait: a real master over TCP with CURVE."""

import asyncio
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from piwheels.builder import joining
from piwheels.builder.joining import NotReachedError, request_join
from piwheels.config import load
from piwheels.errors import ConfigError, RejectedError
from piwheels.model import HostMetrics, RefusedKey
from piwheels.protocol import messages as m
from piwheels.protocol.invitation import parse_token
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.sockets import generate_key_pair, key_pair_of
from tests.control.conftest import Builder, Master
from tests.ports import free_port
from tests.timeouts import WAIT_S, LongTimeoutDealer

Done = subprocess.CompletedProcess[str]
MACHINE = (
    '[builder]\n# what this machine builds for\ninterpreters = ["python3"]\nkey_dir = "keys"\n'
)


async def piw(*arguments: str | Path, code: int = 0) -> Done:
    """Run `piw`, and expect an exit code and no traceback."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "piwheels", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S * 2,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


async def invite(master: Master, *options: str) -> str:
    """A token, as an operator gets it."""
    done = await piw("builder", "invite", *options, "--config", master.config)
    return done.stdout.strip()


def machine(folder: Path) -> Path:
    """The configuration of a machine that has not joined."""
    folder.mkdir()
    file = folder / "piwheels.toml"
    file.write_text(MACHINE)
    return file


async def builder_of(file: Path) -> Builder:
    """What the builder daemon of a configuration connects with, as one of these tests'."""
    builder = tomllib.loads(file.read_text())["builder"]
    dealer: LongTimeoutDealer[m.ToBuilder, m.FromBuilder] = LongTimeoutDealer(
        m.ToBuilder,
        joining.builder_address(builder["master"], builder["master_port"]),
        key=KeyStore(file.parent / "keys").require("builder"),
        server_key=builder["master_key"],
    )
    return Builder("", dealer, says_goodbye=True)


async def test_a_builder_joins_by_one_token_and_builds(shared: Master, tmp_path: Path) -> None:
    token = await invite(shared, "kitchen", "--authorize")
    assert len(token.split()) == 1
    file = machine(tmp_path / "pi")
    done = await piw("builder", "join", token, "--config", file)
    assert "this machine is its builder kitchen" in done.stdout
    assert "it is authorized" in done.stdout
    text = file.read_text()
    assert "# what this machine builds for\n" in text
    assert tomllib.loads(text)["builder"]["interpreters"] == ["python3"]
    async with await builder_of(file):
        (view,) = (await shared.ask(m.Status(), m.StatusReply)).builders
        assert view.label == "kitchen"
    events = (await shared.ask(m.ListEvents(), m.EventsReply)).events
    said = [(event.who, event.what) for event in events]
    invited = parse_token(token)
    assert all(token not in what and invited.secret not in what for _, what in said)
    assert any("invite builder kitchen for 1 h and authorize it" in what for _, what in said)
    assert any("builder kitchen joined by the invitation of" in what for _, what in said)


async def test_ten_machines_of_one_image_join_by_one_token(shared: Master) -> None:
    """Each has its own key and the same host name; the eleventh is told that the token was used."""
    invitation = parse_token(await invite(shared, "--uses", "10", "--authorize"))
    keys = [generate_key_pair().public for _ in range(10)]
    joined = await asyncio.gather(*(request_join(invitation, key) for key in keys))
    host = joining.host_label()
    assert min((it.label for it in joined), key=len) == host
    assert len({it.label for it in joined}) == 10
    for key, answer in zip(keys, joined, strict=True):
        assert answer.authorized
        assert answer.label in {host, f"{host}-{key[:6]}"}
        assert shared.keys.name_of(Role.BUILDER, key) == answer.label
    again = await request_join(invitation, keys[3])
    assert (again.label, again.repeated) == (joined[3].label, True)
    with pytest.raises(RejectedError, match="this invitation was used: ask for another"):
        await request_join(invitation, generate_key_pair().public)
    listed = await shared.ask(m.ListInvitations(), m.InvitationsReply)
    assert len(listed.invitations[-1].joined) == 10
    for answer in joined:
        shared.keys.revoke(answer.label)
    with pytest.raises(RejectedError, match="this machine's key was revoked: ask for another"):
        await request_join(invitation, keys[3])


async def test_who_joins_without_authorization_waits_for_an_operator(
    shared: Master, tmp_path: Path
) -> None:
    file = machine(tmp_path / "pi")
    done = await piw("builder", "join", await invite(shared, "attic"), "--config", file, "--json")
    joined = json.loads(done.stdout)
    assert (joined["label"], joined["authorized"]) == ("attic", False)
    (waiting,) = await waiting_builders(shared)
    assert (waiting.name, waiting.public) == ("attic", joined["public"])
    assert "attic" in (await piw("builder", "list", "--config", shared.config)).stdout
    await piw("builder", "authorize", "attic", "--config", shared.config)
    async with await builder_of(file):
        (view,) = (await shared.ask(m.Status(), m.StatusReply)).builders
        assert view.label == "attic"
    assert not await waiting_builders(shared)


async def test_a_key_without_invitation_waits_until_it_is_authorized_or_rejected(
    shared: Master,
) -> None:
    named, nameless = generate_key_pair(), generate_key_pair()
    for pair in (named, nameless):
        dealer = shared._dealer(pair)
        async with asyncio.timeout(WAIT_S):
            while pair.public not in {  # noqa: ASYNC110 - nothing tells of it
                it.public for it in await waiting_builders(shared)
            }:
                await asyncio.sleep(0.02)
        dealer.close()
    no = await piw("builder", "authorize", named.public[:8], "--config", shared.config, code=1)
    assert "say under which name" in no.stderr
    await piw("builder", "authorize", named.public[:8], "shed", "--config", shared.config)
    assert shared.keys.name_of(Role.BUILDER, named.public) == "shed"
    await piw("builder", "reject", nameless.public[:8], "--config", shared.config)
    assert not await waiting_builders(shared)
    async with asyncio.timeout(WAIT_S):
        dealer = shared._dealer(nameless)  # it tries again, and is not listed
        while shared.log.count(nameless.public) < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        dealer.close()
    assert not await waiting_builders(shared)
    unknown = await piw("builder", "reject", "nobody", "--config", shared.config, code=1)
    assert unknown.stderr == "piw: no builder waits as nobody: see `piw builder list`\n"
    shared.keys.revoke("shed")


async def test_a_token_that_cannot_be_used_gets_one_line_and_changes_nothing(
    shared: Master, tmp_path: Path
) -> None:
    revoked = await invite(shared)
    (issued,) = [
        it
        for it in (await shared.ask(m.ListInvitations(), m.InvitationsReply)).invitations
        if not it.joined and not it.revoked_by
    ]
    await piw("builder", "uninvite", issued.id, "--config", shared.config)
    expired = await invite(shared, "--expires", "0.001s")
    used = await invite(shared, "once", "--authorize")
    await request_join(parse_token(used), generate_key_pair().public)
    known = parse_token(revoked)
    unknown = msgspec.structs.replace(known, secret=generate_key_pair().secret)
    other_master = msgspec.structs.replace(known, master_key=generate_key_pair().public)
    cases = {
        revoked: ("was revoked by", 1),
        expired: ("has expired", 1),
        used: ("was used", 1),
        str(unknown): ("the master does not know this token", 1),
        str(other_master): ("ended the connection", 1),
        revoked[:-5]: ("a part of the token is missing", 2),
        "garbage": ("this is no token", 2),
    }
    for number, (token, (said, code)) in enumerate(cases.items()):
        file = machine(tmp_path / f"pi{number}")
        done = await piw("builder", "join", token, "--config", file, code=code)
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert file.read_text() == MACHINE
        assert [*file.parent.rglob("*")] in ([file], [file, file.parent / "keys"])
    shared.keys.revoke("once")


async def test_a_master_that_is_not_there_is_named(shared: Master) -> None:
    invitation = parse_token(await invite(shared))
    absent = msgspec.structs.replace(invitation, builder_port=free_port())
    with pytest.raises(
        NotReachedError, match=f"no answer from tcp://127.0.0.1:{absent.builder_port}"
    ):
        await request_join(absent, generate_key_pair().public, connect_timeout_s=0.5)


async def test_a_name_that_is_taken_is_refused_if_it_was_chosen(shared: Master) -> None:
    async with shared.builder("pi1"):
        with pytest.raises(RejectedError, match="there is a builder pi1 already"):
            await shared.ask(m.InviteBuilder(name="pi1"), m.BuilderInvited)
        invitation = parse_token(await invite(shared))
        with pytest.raises(RejectedError, match="there is a builder pi1 already"):
            await request_join(invitation, generate_key_pair().public, "pi1")
        assert (await request_join(invitation, generate_key_pair().public, "pi2")).label == "pi2"
    await piw("builder", "reject", "pi2", "--config", shared.config)


async def test_a_token_is_good_for_nothing_else(shared: Master) -> None:
    invitation = parse_token(await invite(shared, "--authorize"))
    builder = Builder("", shared._dealer(key_pair_of(invitation.secret)))
    await builder.dealer.send(m.IdleHeartbeat(last_build=0, host=HostMetrics()))
    assert "only good for `piw builder join`" in (await builder.receive_type(m.Rejected)).reason
    builder.dealer.close()


async def test_machines_of_one_image_join_at_their_first_start(
    shared: Master, tmp_path: Path
) -> None:
    """Also one that was prepared on a machine with a key, which its copies do not use."""
    token = await invite(shared, "--uses", "2", "--authorize")
    image = machine(tmp_path / "image")
    done = await piw("builder", "join", token, "--at-start", "--config", image)
    assert done.stdout == f"{image}: this machine joins when its builder is started\n"
    assert load(image).config.builder.join_token == token
    KeyStore(tmp_path / "image" / "keys").own_pair("builder", "the first machine")
    labels = []
    for number in range(2):
        folder = tmp_path / str(number)
        shutil.copytree(image.parent, folder)
        keys = KeyStore(folder / "keys")
        pair, is_new = keys.own_pair("builder", f"machine {number}")
        assert is_new
        for _ in range(2):  # the second start needs no token, which may be used up by then
            await joining.join_at_start(keys, "builder", token)
        labels.append(shared.keys.name_of(Role.BUILDER, pair.public))
    assert None not in labels
    assert len(set(labels)) == 2
    for label in labels:
        shared.keys.revoke(str(label))


async def test_a_token_that_is_used_up_leaves_an_image_waiting(
    shared: Master, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = await invite(shared, "once", "--authorize")
    await request_join(parse_token(token), generate_key_pair().public)
    keys = KeyStore(tmp_path / "keys")
    keys.own_pair("builder", "late")
    await joining.join_at_start(keys, "builder", token)
    assert "has not joined by builder.join_token: this invitation was used" in caplog.text
    with pytest.raises(ConfigError, match=r"builder\.join_token: this is no token"):
        await joining.join_at_start(keys, "builder", "garbage")
    shared.keys.revoke("once")


async def waiting_builders(master: Master) -> list[RefusedKey]:
    """The builders that wait for an operator."""
    status = await master.ask(m.Status(), m.StatusReply)
    return [it for it in status.refused_keys if it.role == Role.BUILDER]
