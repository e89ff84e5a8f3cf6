"""Keys in files, and the list of those who may connect."""

import errno
import os
from pathlib import Path

import pytest

from piwheels.errors import ConfigError
from piwheels.model import OTHER_MAKERS
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import KeyStore, Role, validate_public_key
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.system.machine_identity import machine_identity
from tests.full_disk import file_size_limit
from tests.unprivileged import NOBODY_UID, folder_of_nobody, inaccessible


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def test_a_key_pair_is_readable_only_by_its_owner(store: KeyStore) -> None:
    pair = store.generate("builder")
    path = store.key_dir / "builder.secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyStore(store.key_dir).pair("builder") == pair
    assert pair.secret not in repr(pair.public)


def test_a_full_disk_leaves_no_partial_key(store: KeyStore) -> None:
    pair = store.generate("builder")
    store.authorize(Role.BUILDER, "pi1", pair.public)
    with file_size_limit(10):
        with pytest.raises(ConfigError, match="File too large"):
            store.generate("other")
        with pytest.raises(ConfigError, match="File too large"):
            store.authorize(Role.BUILDER, "pi1", pair.public)
    assert KeyStore(store.key_dir).name_of(Role.BUILDER, pair.public) == "pi1"
    assert store.generate("other") == store.pair("other")


def test_the_key_directory_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    KeyStore(tmp_path / "made").generate("builder")
    KeyStore(tmp_path / "allowed").authorize(Role.BUILDER, "pi1", "ab" * 32)
    for name in ("made", "allowed"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_authorized_keys_are_known_while_no_file_can_be_opened(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    store.authorize(Role.BUILDER, "pi1", "ab" * 32)
    assert store.name_of(Role.BUILDER, "ab" * 32) == "pi1"
    for method in ("iterdir", "read_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, none_left)
            os.utime(store.key_dir / Role.BUILDER)
            assert store.name_of(Role.BUILDER, "ab" * 32) == "pi1"


def test_an_existing_key_is_never_overwritten(store: KeyStore) -> None:
    pair = store.generate("builder")
    with pytest.raises(ConfigError, match="exists"):
        store.generate("builder")
    assert store.pair("builder") == pair


def test_a_missing_key_is_reported_with_its_command(store: KeyStore) -> None:
    with pytest.raises(ConfigError, match="piw key generate builder"):
        store.require("builder")


def test_an_invalid_key_file_is_named(store: KeyStore) -> None:
    store.generate("builder")
    (store.key_dir / "builder.secret").write_text("nonsense")
    with pytest.raises(ConfigError, match="holds no key pair"):
        store.pair("builder")


def test_a_running_process_sees_authorized_and_revoked_keys(store: KeyStore) -> None:
    public = store.generate("b").public
    running = KeyStore(store.key_dir)
    assert running.name_of(Role.BUILDER, public) is None
    store.authorize(Role.BUILDER, "pi1", public)
    assert running.name_of(Role.BUILDER, public) == "pi1"
    assert running.name_of(Role.ADMINISTER, public) is None
    assert [gone.name for gone in store.revoke("pi1")] == ["pi1"]
    assert running.name_of(Role.BUILDER, public) is None


def test_a_change_is_seen_however_long_ago_the_keys_were_read(store: KeyStore) -> None:
    store.authorize(Role.WATCH, "desk", "ab" * 32)
    os.utime(store.key_dir / Role.WATCH, (1.0, 1.0))  # so long ago that the content is kept
    running = KeyStore(store.key_dir)
    assert running.name_of(Role.WATCH, "ab" * 32) == "desk"
    store.authorize(Role.OPERATE, "desk", "ab" * 32)
    assert running.name_of(Role.WATCH, "ab" * 32) is None
    assert running.name_of(Role.OPERATE, "ab" * 32) == "desk"
    os.utime(store.key_dir / Role.OPERATE, (1.0, 1.0))
    assert running.name_of(Role.OPERATE, "ab" * 32) == "desk"
    store.revoke("desk")
    assert running.name_of(Role.OPERATE, "ab" * 32) is None


def test_authorizing_a_key_twice_changes_nothing(store: KeyStore) -> None:
    public = store.generate("b").public
    store.authorize(Role.BUILDER, "pi1", public)
    store.authorize(Role.BUILDER, "pi1", public.upper())
    assert [(item.name, item.public) for item in store.authorized_keys()] == [("pi1", public)]


def test_names_and_keys_are_unique(store: KeyStore) -> None:
    first, second = store.generate("a").public, store.generate("b").public
    store.authorize(Role.BUILDER, "pi1", first)
    with pytest.raises(ConfigError, match="has another key"):
        store.authorize(Role.BUILDER, "pi1", second)
    with pytest.raises(ConfigError, match="already authorized for builder pi1"):
        store.authorize(Role.BUILDER, "pi2", first)


@pytest.mark.parametrize("key", ["", "zz" * 32, "ab" * 31, "../etc/passwd"])
def test_an_invalid_key_is_rejected(store: KeyStore, key: str) -> None:
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        store.authorize(Role.BUILDER, "pi1", key)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 64])
def test_an_invalid_name_is_rejected(store: KeyStore, name: str) -> None:
    with pytest.raises(ConfigError, match="not a valid name for a key"):
        store.authorize(Role.BUILDER, name, "ab" * 32)


@pytest.mark.parametrize("name", OTHER_MAKERS)
def test_no_builder_is_called_as_what_made_other_wheels(store: KeyStore, name: str) -> None:
    with pytest.raises(ConfigError, match=f"no builder can be called {name}: wheels that were not"):
        store.authorize(Role.BUILDER, name, "ab" * 32)
    store.authorize(Role.OPERATE, name, "ab" * 32)
    assert store.name_of(Role.OPERATE, "ab" * 32) == name


def test_keys_owned_by_another_user_are_named(store: KeyStore) -> None:
    store.authorize(Role.BUILDER, "pi1", "ab" * 32)
    with inaccessible(store.key_dir):
        for change in (
            lambda: store.authorize(Role.BUILDER, "pi2", "cd" * 32),
            lambda: store.revoke("pi1"),
            lambda: store.generate("builder"),
        ):
            with pytest.raises(ConfigError, match=f"{store.key_dir}/.*: Permission denied"):
                change()
    assert [item.name for item in store.authorized_keys()] == ["pi1"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_root_authorizes_belongs_to_the_owner_of_the_keys() -> None:
    umask = os.umask(0o077)
    try:
        with folder_of_nobody() as account:
            store = KeyStore(account / "keys")  # the folder is made as well
            store.authorize(Role.BUILDER, "pi1", "ab" * 32)
            store.generate("master")
            made = [it.stat() for it in (store.key_dir, *store.key_dir.rglob("*"))]
    finally:
        os.umask(umask)
    assert len(made) == 4
    assert {(it.st_uid, it.st_gid) for it in made} == {(NOBODY_UID, NOBODY_UID)}


@pytest.mark.skipif(os.getuid() != 0, reason="only root could write where the link leads")
def test_root_follows_no_link_that_the_owner_of_the_keys_made(tmp_path: Path) -> None:
    with folder_of_nobody() as account:
        store = KeyStore(account / "keys")
        store.key_dir.mkdir()
        for name in (Role.BUILDER, Role.ADMINISTER):
            (store.key_dir / name).symlink_to(tmp_path)
        (account / "all").symlink_to(tmp_path)
        for change in (
            lambda: store.authorize(Role.BUILDER, "pi1", "ab" * 32),
            lambda: store.authorize(Role.ADMINISTER, "desk", "cd" * 32),
            lambda: KeyStore(account / "all").generate("master"),
            lambda: SigningKeys(account / "all").ensure(),
        ):
            with pytest.raises(ConfigError, match="Permission denied"):
                change()
    assert not list(tmp_path.iterdir())
    assert os.geteuid() == 0


def test_revoking_an_unknown_name_is_reported(store: KeyStore) -> None:
    with pytest.raises(ConfigError, match="piw key list"):
        store.revoke("nobody")


def test_other_files_in_the_key_directory_are_ignored(store: KeyStore) -> None:
    store.authorize(Role.BUILDER, "pi1", "ab" * 32)
    folder = store.key_dir / Role.BUILDER
    (folder / "old").mkdir()
    (folder / "empty").write_text("")
    (folder / "binary").write_bytes(b"\xff" * 64)
    (folder / "gone").symlink_to(folder / "nowhere")
    assert [known.name for known in store.authorized_keys()] == ["pi1"]
    assert store.name_of(Role.BUILDER, "ab" * 32) == "pi1"
    assert store.name_of(Role.BUILDER, "") is None


@pytest.mark.parametrize(
    ("folder", "role"), [("operator", Role.ADMINISTER), ("watcher", Role.WATCH)]
)
def test_keys_of_before_there_were_roles_keep_what_they_could_do(
    store: KeyStore, folder: str, role: Role
) -> None:
    (store.key_dir / folder).mkdir(parents=True)
    (store.key_dir / folder / "desk").write_text("ab" * 32)
    assert [(known.role, known.name) for known in store.authorized_keys()] == [(role, "desk")]
    store.authorize(Role.OPERATE, "desk", "ab" * 32)
    assert [known.role for known in store.authorized_keys()] == [Role.OPERATE]
    store.authorize(role, "desk", "ab" * 32)
    store.revoke("desk")
    assert store.authorized_keys() == []


def test_a_builders_key_gets_no_role_of_consoles_beside(store: KeyStore) -> None:
    store.authorize(Role.BUILDER, "pi1", "ab" * 32)
    with pytest.raises(ConfigError, match="already authorized for builder pi1"):
        store.authorize(Role.WATCH, "pi1", "ab" * 32)


def test_the_roles_of_keys_are_those_of_the_control_socket() -> None:
    assert [Role.BUILDER, *map(Role, ControlRole)] == list(Role)


def test_concurrent_changes_are_both_stored(store: KeyStore) -> None:
    keys = {name: store.generate(name).public for name in ("pi1", "pi2")}
    for name, public in keys.items():
        store.authorize(Role.BUILDER, name, public)
    running = KeyStore(store.key_dir)
    folder = store.key_dir / Role.BUILDER
    store.revoke("pi1")
    assert running.name_of(Role.BUILDER, keys["pi1"]) is None
    moment = folder.stat().st_mtime_ns
    store.revoke("pi2")
    os.utime(folder, ns=(moment, moment))  # as a clock that ticks every few milliseconds has it
    assert running.name_of(Role.BUILDER, keys["pi2"]) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ab" * 31, "builder.master_key has 62 characters: a public key is 64 hexadecimal digits"),
        ("", "builder.master_key has 0 characters"),
        ("xy" * 32, "builder.master_key has characters that are not hexadecimal digits"),
    ],
    ids=["short", "none", "letters"],
)
def test_a_setting_with_an_invalid_key_is_named(text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        validate_public_key(text, "builder.master_key")
    assert validate_public_key(" " + "AB" * 32, "x") == "ab" * 32


def test_a_key_of_another_machine_is_set_aside(store: KeyStore) -> None:
    """A copied disk has the key of the first machine, and two machines must not share one."""
    first, is_new = store.own_pair("builder", "first")
    assert is_new
    assert store.own_pair("builder", "first") == (first, False)
    second, is_new = store.own_pair("builder", "second")
    assert is_new
    assert second != first
    assert store.own_pair("builder", "second") == (second, False)
    aside = store.key_dir / "builder.secret-of-another-machine"
    assert first.secret in aside.read_text()
    assert aside.stat().st_mode & 0o777 == 0o600


def test_a_key_that_names_no_machine_is_used_by_any(store: KeyStore) -> None:
    pair = store.generate("builder")
    assert store.own_pair("builder", "first") == (pair, False)
    named, _ = store.own_pair("other", "first")
    assert store.own_pair("other", "") == (named, False)  # this machine cannot be told from others


def test_a_machine_is_told_from_a_copy_by_its_board_or_its_machine_id(tmp_path: Path) -> None:
    machine_id, serial = tmp_path / "machine-id", tmp_path / "serial-number"
    assert machine_identity((machine_id, serial)) == ""
    machine_id.write_text("uninitialized\n")
    assert machine_identity((machine_id, serial)) == ""
    machine_id.write_text("a" * 32)
    names = {machine_identity((machine_id, serial))}
    serial.write_bytes(b"10000000a1b2c3d4\0")
    names.add(machine_identity((machine_id, serial)))
    machine_id.write_text("b" * 32)
    names.add(machine_identity((machine_id, serial)))
    assert len(names) == 3
    assert all(len(name) == 32 and "a" * 32 not in name for name in names)
