"""Signed envelopes: DSSE 1.0, with Ed25519 signatures."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.provenance import ed25519
from piwheels.provenance.errors import NotVerifiedError, Problem

#: The media type of what an envelope holds, as in-toto defines it.
PAYLOAD_TYPE = "application/vnd.in-toto+json"
#: A larger envelope is not read.
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
_MAX_SIGNATURES = 16
#: What surrounds the payload of a sealed envelope: its type, a key id and a signature.
_MAX_SEAL_BYTES = 1024


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature of the payload, and which key made it."""

    keyid: Annotated[str, Meta(max_length=200)]
    sig: Annotated[str, Meta(max_length=200)]  # base64


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A payload with its signatures."""

    payload_type: str = msgspec.field(name="payloadType")
    payload: str  # base64
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=_MAX_SIGNATURES)]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the type and the payload with their lengths (PAE of the DSSE protocol)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, private: bytes) -> bytes:
    """An envelope in JSON with this payload, signed with a private key."""
    signature = ed25519.sign(private, pre_authentication_encoding(PAYLOAD_TYPE, payload))
    envelope = Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=base64.b64encode(payload).decode(),
        signatures=(
            Signature(
                keyid=ed25519.key_id(ed25519.public_key(private)),
                sig=base64.b64encode(signature).decode(),
            ),
        ),
    )
    return msgspec.json.encode(envelope) + b"\n"


def sealed_size(payload: bytes) -> int:
    """How large an envelope with this payload is at most, in bytes."""
    return 4 * ((len(payload) + 2) // 3) + _MAX_SEAL_BYTES


def unseal(data: bytes, public_keys: Mapping[str, bytes]) -> tuple[bytes, str]:
    """The payload of an envelope, and the id of a key that signed it.

    Args:
        data: the envelope in JSON: hostile input.
        public_keys: the trusted keys, by id.

    Raises:
        NotVerifiedError: it is malformed, or no trusted key signed it.
    """
    envelope = _parse(data)
    payload = _decoded(envelope.payload)
    known = [item for item in envelope.signatures if item.keyid in public_keys]
    if not known:
        named = envelope.signatures[0].keyid
        raise NotVerifiedError(
            Problem.UNKNOWN_KEY,
            f"the statement was signed with the key {ascii(named)[1:-1]}, which is none of the "
            f"{len(public_keys)} trusted ones",
        )
    message = pre_authentication_encoding(envelope.payload_type, payload)
    for item in known:
        if ed25519.is_signature(public_keys[item.keyid], _decoded(item.sig), message):
            return payload, item.keyid
    raise NotVerifiedError(
        Problem.BAD_SIGNATURE, "the signature is wrong: the statement was changed after its signing"
    )


def _parse(data: bytes) -> Envelope:
    if len(data) > MAX_ENVELOPE_BYTES:
        raise NotVerifiedError(
            Problem.MALFORMED, f"the statement has more than {MAX_ENVELOPE_BYTES} bytes"
        )
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotVerifiedError(
            Problem.MALFORMED, f"the statement is no DSSE envelope: {ascii(str(error))[1:-1]}"
        ) from None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise NotVerifiedError(
            Problem.MALFORMED, f"the envelope holds no in-toto statement ({PAYLOAD_TYPE})"
        )
    return envelope


def _decoded(text: str) -> bytes:
    """The bytes of a base64 text in its one canonical spelling."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded or base64.b64encode(decoded).decode() != text:
        raise NotVerifiedError(Problem.MALFORMED, "the envelope has no valid base64")
    return decoded
