"""Who joins by an invitation, and which builder a word of an operator means: files, no socket."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.errors import ConfigError, RejectedError
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import PROTOCOL, Join, Joined
from piwheels.scheduler.builder_registration import MAX_WAITING, BuilderRegistration

ONE, TWO = "ab12cd" + "1" * 58, "ab12cd" + "2" * 58
ADDRESS = "192.0.2.1"


@pytest.fixture
def registration(tmp_path: Path) -> BuilderRegistration:
    return BuilderRegistration(KeyStore(tmp_path / "keys"))


def restarted(registration: BuilderRegistration) -> BuilderRegistration:
    """As the next master finds it."""
    return BuilderRegistration(KeyStore(registration.keys.key_dir))


def invite(registration: BuilderRegistration, *, authorize: bool = False, uses: int = 1) -> str:
    """The key of a new token."""
    issued, _ = registration.invite(
        name="", authorize=authorize, uses=uses, valid_s=3600.0, invited_by="ann"
    )
    return issued.public


def join(
    registration: BuilderRegistration, token: str, public: str, name: str, *, chosen: bool = True
) -> Joined:
    request = Join(public=public, name=name, name_was_chosen=chosen, protocol=PROTOCOL, version="1")
    return registration.join(token, request, ADDRESS)


@pytest.mark.parametrize("authorize", [True, False])
def test_a_revoked_builder_does_not_come_back_by_its_token(
    registration: BuilderRegistration, authorize: bool
) -> None:
    token = invite(registration, authorize=authorize, uses=3)
    assert join(registration, token, ONE, "pi1").authorized is authorize
    if not authorize:
        registration.authorize("pi1")
    again = join(restarted(registration), token, ONE, "pi1")
    assert (again.label, again.authorized, again.repeated) == ("pi1", True, True)
    (still_open,) = registration.open_with(ONE)
    assert still_open.public == token
    registration.keys.revoke("pi1")
    for known in (registration, restarted(registration)):
        with pytest.raises(RejectedError, match="key was revoked: ask for another invitation"):
            join(known, token, ONE, "pi1")
        assert registration.keys.name_of(Role.BUILDER, ONE) is None
        assert not known.waiting()
    other = invite(registration, authorize=True)
    assert join(registration, other, ONE, "pi1").authorized
    assert not registration.open_with(TWO)


def test_a_token_is_used_also_if_the_master_ends_before_it_has_authorized(
    registration: BuilderRegistration, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = invite(registration, authorize=True)
    with monkeypatch.context() as patch:
        patch.setattr(KeyStore, "authorize", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            join(registration, token, ONE, "pi1")
    after = restarted(registration)
    with pytest.raises(RejectedError, match="this invitation was used"):
        join(after, token, TWO, "pi2")
    assert [it.name for it in after.waiting()] == ["pi1"]
    again = join(after, token, ONE, "pi1")
    assert (again.label, again.authorized) == ("pi1", False)
    after.authorize("pi1")
    assert join(after, token, ONE, "pi1").authorized


def test_a_builder_chooses_no_name_that_looks_like_a_key(
    registration: BuilderRegistration,
) -> None:
    token = invite(registration)
    for name in ("ab12cd", "AB12CD", ONE[:63]):
        with pytest.raises(RejectedError, match="looks like the first digits of a key"):
            join(registration, token, ONE, name)
        with pytest.raises(RejectedError, match="looks like the first digits of a key"):
            registration.invite(name=name, authorize=True, uses=1, valid_s=1.0, invited_by="ann")
    assert join(registration, token, ONE, "facade", chosen=False).label == f"facade-{ONE[:6]}"
    with pytest.raises(RejectedError, match="looks like the first digits of a key"):
        registration.authorize(f"facade-{ONE[:6]}", "decade")


def test_a_builder_chooses_no_reserved_name(registration: BuilderRegistration) -> None:
    token = invite(registration)
    told = "no builder can be called mirror"
    with pytest.raises(RejectedError, match=told):
        join(registration, token, ONE, "mirror")
    with pytest.raises(RejectedError, match=told):
        registration.invite(name="mirror", authorize=True, uses=1, valid_s=1.0, invited_by="ann")
    label = join(registration, token, ONE, "mirror", chosen=False).label
    assert label == f"mirror-{ONE[:6]}", "its host is called so"
    with pytest.raises(RejectedError, match=told):
        registration.authorize(label, "mirror")


def test_a_word_that_may_be_two_builders_is_none(registration: BuilderRegistration) -> None:
    registration.on_refused(Role.BUILDER, ONE, ADDRESS)
    registration.on_refused(Role.BUILDER, TWO, ADDRESS)
    both = f"key {TWO[:16]}|key {ONE[:16]}"
    for decide in (registration.reject, registration.authorize):
        with pytest.raises(RejectedError, match=f"ab12cd may be ({both}) or ({both}): name more"):
            decide("ab12cd")
    assert registration.authorize(TWO[:8], "pi2").public == TWO


def test_a_name_that_is_also_a_key_means_neither(registration: BuilderRegistration) -> None:
    """As in the file of a master that took such names."""
    join(registration, invite(registration), "e" * 64, "pi-old")
    file = registration.keys.key_dir / "invitations.json"
    file.write_text(file.read_text().replace('"pi-old"', '"ab12cd"'))
    after = restarted(registration)
    after.on_refused(Role.BUILDER, ONE, ADDRESS)
    with pytest.raises(RejectedError, match=r"ab12cd \(key e{16}\) or key ab12cd1{10}: name more"):
        after.authorize("ab12cd", "pi1")
    assert after.authorize(ONE[:7], "pi1").public == ONE


def test_a_rejected_builder_is_found_by_its_key_alone(registration: BuilderRegistration) -> None:
    join(registration, invite(registration), ONE, "pi1")
    registration.reject("pi1")
    with pytest.raises(RejectedError, match="no builder waits as pi1"):
        registration.authorize("pi1")
    assert registration.authorize(ONE[:8]).name == "pi1"


def test_at_most_100_builders_wait(registration: BuilderRegistration) -> None:
    token = invite(registration, uses=MAX_WAITING + 2)
    keys = [f"{number:064x}" for number in range(MAX_WAITING + 2)]
    for number, public in enumerate(keys[:MAX_WAITING]):
        join(registration, token, public, f"pi{number}")
    for known in (registration, restarted(registration)):
        with pytest.raises(RejectedError, match="100 builders wait for an operator already"):
            join(known, token, keys[-1], "late")
        assert len(known.waiting()) == MAX_WAITING == 100
    # One that waits asks again, and one whose invitation authorizes need not wait.
    assert join(registration, token, keys[0], "pi0").repeated
    assert join(registration, invite(registration, authorize=True), keys[-2], "now").authorized
    registration.reject("pi0")
    assert join(registration, token, keys[-1], "late").label == "late"


def test_a_rejection_survives_a_restart_of_the_master(registration: BuilderRegistration) -> None:
    token = invite(registration, uses=2)
    join(registration, token, ONE, "pi1")
    registration.reject("pi1")
    registration.on_refused(Role.BUILDER, TWO, ADDRESS)
    registration.reject(TWO[:10])
    after = restarted(registration)
    with pytest.raises(RejectedError, match="an operator rejected this machine's key"):
        join(after, token, ONE, "pi1")
    for public in (ONE, TWO):
        after.on_refused(Role.BUILDER, public, ADDRESS)
    assert not after.waiting()
    assert after.authorize(ONE).name == "pi1"


def test_revoking_a_key_names_the_open_invitations_by_which_it_joined(
    registration: BuilderRegistration, tmp_path: Path
) -> None:
    config = tmp_path / "piwheels.toml"
    config.write_text('[master]\nkey_dir = "keys"\n')
    once, twice = (invite(registration, authorize=True, uses=uses) for uses in (1, 2))
    join(registration, once, ONE, "pi1")
    join(registration, twice, TWO, "pi2")
    said = [
        CliRunner().invoke(cli, ["key", "revoke", name, "--yes", "--config", str(config)]).output
        for name in ("pi1", "pi2")
    ]
    assert said[0] == "builder pi1 is no longer authorized\n"
    assert said[1] == (
        "builder pi2 is no longer authorized\n"
        f"it joined by the invitation {twice[:8]}, which is still open: "
        f"`piw builder uninvite {twice[:8]}` ends that\n"
    )


def test_a_key_that_is_none_is_refused_for_good(registration: BuilderRegistration) -> None:
    token = invite(registration)
    with pytest.raises(RejectedError, match="the key has 3 characters"):
        join(registration, token, "abc", "pi1")


def test_a_full_disk_is_no_refusal(
    registration: BuilderRegistration, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = invite(registration, authorize=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("piwheels.scheduler.builder_registration.replace_file", full)
        with pytest.raises(ConfigError, match="No space left on device"):
            join(registration, token, ONE, "pi1")
    assert join(registration, token, ONE, "pi1").authorized


# --- clocks that are set ---


@dataclass
class SetClock:
    """A clock that is set, and the one that nobody sets."""

    ahead: timedelta = timedelta(0)
    passed_s: float = 0.0

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed_s) + self.ahead

    def boot(self) -> float:
        return self.passed_s


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def timed(tmp_path: Path, clock: SetClock) -> BuilderRegistration:
    return BuilderRegistration(KeyStore(tmp_path / "keys"), clock=clock.wall, monotonic=clock.boot)


def test_no_token_is_good_for_longer_because_the_clock_was_set_back(
    timed: BuilderRegistration, clock: SetClock
) -> None:
    token = invite(timed)
    clock.ahead = timedelta(days=-1)
    clock.passed_s = 3601.0
    with pytest.raises(RejectedError, match="has expired"):
        join(timed, token, ONE, "pi1")
    next_master = BuilderRegistration(timed.keys, clock=clock.wall, monotonic=clock.boot)
    clock.passed_s += 3601.0
    with pytest.raises(RejectedError, match="has expired"):
        join(next_master, token, ONE, "pi1")


def test_a_clock_that_was_set_ahead_and_back_costs_no_token(
    timed: BuilderRegistration, clock: SetClock
) -> None:
    token = invite(timed)
    clock.ahead = timedelta(days=30)
    with pytest.raises(RejectedError, match="has expired"):
        join(timed, token, ONE, "pi1")
    invite(timed)  # which forgets invitations that ended long ago
    clock.ahead = timedelta(0)
    assert join(timed, token, ONE, "pi1").label == "pi1"
