"""Envelopes and signatures: known vectors, and what was changed by a byte."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.provenance import dsse, ed25519
from piwheels.provenance.errors import NotVerifiedError, Problem

#: RFC 8032, 7.1, test 2: private key, public key, message, signature.
_VECTOR = (
    bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
    bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
    b"\x72",
    bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ),
)
_PRIVATE, _PUBLIC, _, _ = _VECTOR
_KEYS = {ed25519.key_id(_PUBLIC): _PUBLIC}
_PAYLOAD = b'{"_type": "something"}'
_SEALED = dsse.seal(_PAYLOAD, _PRIVATE)


def test_the_pre_authentication_encoding_is_that_of_the_dsse_specification() -> None:
    encoded = dsse.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_of_bytes() -> None:
    assert dsse.pre_authentication_encoding("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()


def test_signatures_are_those_of_rfc_8032() -> None:
    private, public, message, signature = _VECTOR
    assert ed25519.public_key(private) == public
    assert ed25519.sign(private, message) == signature
    assert ed25519.is_signature(public, signature, message)
    assert not ed25519.is_signature(public, signature, b"\x73")


@pytest.mark.parametrize("public", [b"", bytes(32), b"\x01" + bytes(31), b"x" * 33, b"\xff" * 32])
def test_an_invalid_public_key_verifies_nothing(public: bytes) -> None:
    assert not ed25519.is_signature(public, bytes(64), b"message")


def test_a_sealed_payload_is_returned_with_its_key() -> None:
    assert dsse.unseal(_SEALED, _KEYS) == (_PAYLOAD, ed25519.key_id(_PUBLIC))


@given(position=st.integers(0, len(_SEALED) - 1), value=st.integers(0, 255))
def test_no_changed_byte_changes_what_is_verified(position: int, value: int) -> None:
    changed = _SEALED[:position] + bytes([value]) + _SEALED[position + 1 :]
    _check_unchanged(changed)


@given(start=st.integers(0, len(_SEALED)), length=st.integers(0, 40), new=st.binary(max_size=40))
def test_no_replaced_part_changes_what_is_verified(start: int, length: int, new: bytes) -> None:
    _check_unchanged(_SEALED[:start] + new + _SEALED[start + length :])


def _check_unchanged(changed: bytes) -> None:
    with contextlib.suppress(NotVerifiedError):
        assert dsse.unseal(changed, _KEYS)[0] == _PAYLOAD


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(NotVerifiedError) as refused:
        dsse.unseal(data, _KEYS)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"payloadType": "text/plain"}, Problem.MALFORMED),
        ({"payload": base64.b64encode(b"other").decode()}, Problem.BAD_SIGNATURE),
        ({"payload": "a"}, Problem.MALFORMED),
        ({"payload": ""}, Problem.MALFORMED),
        ({"signatures": []}, Problem.MALFORMED),
        ({"signatures": [{"keyid": "no", "sig": "eA=="}]}, Problem.UNKNOWN_KEY),
        ({"signatures": [{"keyid": "no", "sig": "eA=="}] * 17}, Problem.MALFORMED),
        (
            {"signatures": [{"keyid": ed25519.key_id(_PUBLIC), "sig": "eA=="}]},
            Problem.BAD_SIGNATURE,
        ),
    ],
)
def test_each_changed_field_is_refused_for_its_reason(
    change: dict[str, object], problem: Problem
) -> None:
    data = json.dumps(json.loads(_SEALED) | change).encode()
    with pytest.raises(NotVerifiedError) as refused:
        dsse.unseal(data, _KEYS)
    assert refused.value.problem is problem


def test_a_huge_or_deep_envelope_is_refused() -> None:
    for data in (b"[" * 100_000, b" " * (dsse.MAX_ENVELOPE_BYTES + 1)):
        with pytest.raises(NotVerifiedError, match="statement"):
            dsse.unseal(data, _KEYS)


def test_one_trusted_signature_among_others_suffices() -> None:
    document = json.loads(_SEALED)
    document["signatures"].insert(0, {"keyid": "unknown", "sig": "eA=="})
    assert dsse.unseal(json.dumps(document).encode(), _KEYS)[0] == _PAYLOAD
