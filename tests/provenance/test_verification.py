"""What is verified, and what is refused for which reason."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from piwheels.model import Outcome
from piwheels.protocol.messages.builder import MAX_INPUTS, MAX_PACKAGES, BuildFinished
from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError, Problem
from piwheels.provenance.public_keys import PublicKey, PublicKeys, parse_public_keys
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import encode_statement
from piwheels.provenance.verification import verify
from piwheels.provenance.writer import StatementWriter
from tests.provenance.factories import FACTS, WHEEL, make_writer, trusted, written


@pytest.fixture
def writer(tmp_path: Path) -> StatementWriter:
    return make_writer(tmp_path)


def resealed(writer: StatementWriter, change: dict[str, Any]) -> bytes:
    """A statement with other fields, signed with the farm's key."""
    payload = encode_statement(WHEEL, FACTS, farm_url="https://w/", version="1")
    document = json.loads(payload) | change
    return dsse.seal(json.dumps(document).encode(), writer.keys.load()[1])


def problem_of(data: bytes, keys: dict[str, PublicKey], **wheel: str) -> Problem:
    with pytest.raises(NotVerifiedError) as refused:
        verify(data, keys, replace(WHEEL, **wheel))
    assert str(refused.value).isprintable()
    return refused.value.problem


def test_a_statement_is_verified_and_described(writer: StatementWriter) -> None:
    verified = verify(written(writer), trusted(writer), WHEEL)
    told = list(verified.describe())
    assert told[:4] == [
        ("built", "demo 1.0 for cp313-trixie-aarch64"),
        ("by", "https://wheels.example/#builder=pi1, build 7"),
        ("when", "2026-11-30 12:00:01 UTC to 2026-11-30 12:05:00 UTC"),
        ("from", f"https://index.example/files/demo-1.0.tar.gz sha256 {'ab' * 32}"),
    ]
    (system,) = (text for label, text in told if label == "on")
    assert system.startswith("Python 3.13.5, root trixie-arm64 sha256")
    assert system.endswith("with libtiff-dev=4.7.0-3")


@pytest.mark.parametrize(
    ("inputs", "is_cut"),
    [
        ([f"{number:064x} {chr(0x1F600) * 935}" for number in range(MAX_INPUTS)], True),
        (["recipe" + "\x01" * 994] * MAX_INPUTS, True),
        ([f"{number:064x} a-{number}.whl" for number in range(MAX_INPUTS)], True),
        # A list of packages for each layer would be larger than memory.
        ([f"layer {'ab' * 32}", "deb x"] * (MAX_INPUTS // 2), False),
    ],
)
def test_a_statement_of_the_largest_message_of_a_builder_is_verified(
    writer: StatementWriter, inputs: list[str], is_cut: bool
) -> None:
    result = BuildFinished(
        build=1,
        outcome=Outcome.BUILT,
        duration_s=1.0,
        build_inputs=tuple(inputs),
        added_packages=("\x01" * 200,) * MAX_PACKAGES,
    )
    result = msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=BuildFinished)
    data = written(
        writer, build_inputs=result.build_inputs, added_packages=result.added_packages or ()
    )
    verified = verify(data, trusted(writer), WHEEL)
    build = json.loads(verified.payload)["predicate"]["buildDefinition"]
    is_full = len(data) > 0.99 * dsse.MAX_ENVELOPE_BYTES
    is_full = is_full or len(build["resolvedDependencies"]) == MAX_INPUTS
    assert (build["internalParameters"].get("inputsAreComplete") is False, is_full) == (
        is_cut,
        is_cut,
    )


def test_each_reason_is_told_apart(writer: StatementWriter, tmp_path: Path) -> None:
    data, keys = written(writer), trusted(writer)
    assert problem_of(data, keys, sha256="0" * 64) is Problem.OTHER_BYTES
    assert problem_of(data, keys, name="other-1.0-py3-none-any.whl") is Problem.OTHER_NAME
    assert problem_of(data, trusted(make_writer(tmp_path / "other"))) is Problem.UNKNOWN_KEY
    assert problem_of(b"{}", keys) is Problem.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://example.com/other"},
        {"predicate": {}},
        {"subject": []},
        {"subject": [{"name": "a"}, {"name": "b"}]},
        {"subject": "x"},
    ],
)
def test_a_signed_document_of_another_kind_is_refused(
    writer: StatementWriter, change: dict[str, Any]
) -> None:
    keys = trusted(writer)
    assert problem_of(resealed(writer, change), keys) is Problem.MALFORMED


def test_fields_of_later_versions_are_ignored(writer: StatementWriter) -> None:
    keys = trusted(writer)
    verify(resealed(writer, {"later": 1}), keys, WHEEL)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_no_changed_byte_of_the_payload_is_verified(
    writer: StatementWriter, data: st.DataObject
) -> None:
    envelope, keys = json.loads(written(writer)), trusted(writer)
    payload = base64.b64decode(envelope["payload"])
    position = data.draw(st.integers(0, len(payload) - 1))
    changed = bytearray(payload)
    changed[position] ^= data.draw(st.integers(1, 255))
    envelope["payload"] = base64.b64encode(bytes(changed)).decode()
    assert problem_of(json.dumps(envelope).encode(), keys) is Problem.BAD_SIGNATURE


def test_rotation_keeps_old_statements_valid(writer: StatementWriter) -> None:
    old = written(writer, started_at=datetime.now(UTC), finished_at=datetime.now(UTC))
    first = writer.keys.ensure()
    second = writer.keys.rotate()
    new = written(writer)
    assert first.keyid != second.keyid
    keys = trusted(writer)
    assert [verify(data, keys, WHEEL).key.keyid for data in (old, new)] == [
        first.keyid,
        second.keyid,
    ]
    assert keys[first.keyid].valid_until == second.valid_from


def test_a_key_that_was_replaced_signs_no_later_build(writer: StatementWriter) -> None:
    future = written(writer, finished_at=datetime(2999, 1, 1, tzinfo=UTC))
    writer.keys.rotate()
    assert problem_of(future, trusted(writer)) is Problem.BAD_SIGNATURE


def test_the_key_is_published_before_what_it_signs(
    writer: StatementWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write = writer.webroot.write

    def record(path: Path, content: bytes) -> bool:
        order.append(path.name)
        return write(path, content)

    monkeypatch.setattr(writer.webroot, "write", record)
    writer.write(WHEEL, FACTS)
    assert order == ["provenance-keys.json", f"{WHEEL.name}.provenance.json"]


def test_a_statement_that_is_there_is_kept_unless_it_is_damaged(writer: StatementWriter) -> None:
    path = writer.webroot.provenance_path(WHEEL.sha256, WHEEL.name)
    writer.write(WHEEL, FACTS)
    first = path.read_bytes()
    writer.write(WHEEL, replace(FACTS, build_id=8))
    assert path.read_bytes() == first
    path.write_bytes(first[:-20])
    writer.write(WHEEL, replace(FACTS, build_id=8))
    verify(path.read_bytes(), trusted(writer), WHEEL)


def test_private_keys_are_readable_by_the_master_alone_and_deleted_by_a_rotation(
    writer: StatementWriter,
) -> None:
    writer.publish_keys()
    private = writer.keys.load()[1]
    assert writer.keys.path.stat().st_mode & 0o777 == 0o600
    writer.keys.rotate()
    assert writer.keys.path.stat().st_mode & 0o777 == 0o600
    text = writer.keys.path.read_text()
    assert base64.b64encode(private).decode() not in text
    assert "private" not in writer.webroot.provenance_keys_path().read_text()


def test_an_old_copy_of_the_keys_neither_signs_with_a_revoked_key_nor_publishes_it_as_good(
    writer: StatementWriter,
) -> None:
    revoked = writer.publish_keys()[0].keys[0].keyid
    copy = writer.keys.path.read_bytes()
    newer = writer.keys.rotate("current", "stolen").keyid
    signed = written(writer)
    known = writer.publish_keys()[0].keys
    writer.keys.path.write_bytes(copy)  # that of a standby, or of a backup
    writer.begin(known)  # the database knows the newer key
    again = written(writer)
    keys = trusted(writer)
    assert (keys[revoked].revoked_reason, len(keys)) == ("stolen", 3)
    assert verify(signed, keys, WHEEL).key.keyid == newer
    assert verify(again, keys, WHEEL).key.keyid not in {revoked, newer}
    assert writer.keys.revoked() == {revoked}


def test_a_revocation_counts_at_the_next_wheel_and_an_unknown_key_does_not(
    writer: StatementWriter, tmp_path: Path
) -> None:
    old = writer.publish_keys()[0].keys[0]
    other = SigningKeys(tmp_path / "other").ensure()
    changed = PublicKeys(keys=(other, replace(old, revoked_at=other.valid_from)))
    writer.webroot.write(writer.webroot.provenance_keys_path(), changed.encode())
    new = verify(written(writer), trusted(writer), WHEEL).key
    assert trusted(writer).keys() == {new.keyid, old.keyid}
    assert trusted(writer)[old.keyid].revoked_at == other.valid_from


def test_a_key_that_only_the_web_root_has_is_published_as_revoked(
    writer: StatementWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the start of a master: whoever could write there may have added it."""
    own = writer.publish_keys()[0].keys[0]
    others = [make_writer(tmp_path / name) for name in ("first", "second")]
    signed = written(others[0])
    added = PublicKeys(keys=(own, *(it.keys.ensure() for it in others)))
    writer.webroot.write(writer.webroot.provenance_keys_path(), added.encode())
    monkeypatch.setattr("piwheels.provenance.writer._MAX_UNKNOWN", 1)
    writer.begin([])
    keys = trusted(writer)
    assert keys.keys() == {own.keyid, others[0].keys.ensure().keyid}
    with pytest.raises(NotVerifiedError, match=r"was revoked .*\(the farm did not know it\)"):
        verify(signed, keys, WHEEL)
    assert verify(written(writer), keys, WHEEL).key.keyid == own.keyid


def test_keys_of_the_web_root_stay_good_where_none_was_ever_recorded(
    writer: StatementWriter,
) -> None:
    """As at the first start after an upgrade, with a copy of the keys from before a rotation."""
    writer.publish_keys()
    copy = writer.keys.path.read_bytes()
    newer = writer.keys.rotate().keyid
    signed = written(writer)
    writer.keys.path.write_bytes(copy)
    writer.begin(None)
    assert verify(signed, trusted(writer), WHEEL).key.keyid == newer


def test_keys_that_cannot_be_read_stop_a_publication_and_not_for_good(
    writer: StatementWriter,
) -> None:
    writer.keys.ensure()
    good = writer.keys.path.read_bytes()
    writer.keys.path.write_text("damaged")
    with pytest.raises(OSError, match="holds no signing keys"):
        writer.write(WHEEL, FACTS)
    writer.keys.path.write_bytes(good)
    writer.write(WHEEL, FACTS)


def test_trusted_keys_are_a_document_or_one_key(writer: StatementWriter) -> None:
    data, published = written(writer), writer.publish_keys()[0]
    raw = published.keys[0].raw
    for text in (published.encode(), raw.hex().encode(), f"{raw.hex()}\n".encode()):
        verify(data, parse_public_keys(text, "keys"), WHEEL)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"keys": []}', b"ab" * 33, b"\xff", b"[" * 100_000]
)
def test_what_has_no_keys_is_named(text: bytes) -> None:
    with pytest.raises(NotVerifiedError, match=r"^some\.file has no"):
        parse_public_keys(text, "some.file")


def test_a_key_under_another_id_is_not_trusted(writer: StatementWriter) -> None:
    document = json.loads(writer.publish_keys()[0].encode())
    document["keys"][0]["keyid"] = "0" * 64
    with pytest.raises(NotVerifiedError, match="no Ed25519 key"):
        parse_public_keys(json.dumps(document).encode(), "keys")


def test_two_starts_at_once_make_one_key(tmp_path: Path) -> None:
    stores = [SigningKeys(tmp_path / "keys") for _ in range(8)]
    with ThreadPoolExecutor(len(stores)) as pool:
        made = list(pool.map(SigningKeys.ensure, stores))
    assert len({key.keyid for key in made}) == 1
