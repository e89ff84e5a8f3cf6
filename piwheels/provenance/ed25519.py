"""Ed25519 (RFC 8032) by the package cryptography, which only a master and `piw verify` need."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

KEY_BYTES = 32


def generate() -> bytes:
    """A new private key: 32 bytes."""
    made: bytes = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.Raw,
        serialization.PrivateFormat.Raw,
        serialization.NoEncryption(),
    )
    return made


def public_key(private: bytes) -> bytes:
    """The public key of a private one: 32 bytes."""
    found: bytes = (
        Ed25519PrivateKey.from_private_bytes(private)
        .public_key()
        .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    )
    return found


def key_id(public: bytes) -> str:
    """The name of a public key: the SHA-256 of its 32 bytes, in hex."""
    return hashlib.sha256(public).hexdigest()


def sign(private: bytes, message: bytes) -> bytes:
    """The signature of a message: 64 bytes."""
    made: bytes = Ed25519PrivateKey.from_private_bytes(private).sign(message)
    return made


def is_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature of a message was made with the private key of this public one."""
    if len(public) != KEY_BYTES or hmac.compare_digest(public, bytes(KEY_BYTES)):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
