"""Messages of every socket, tokens, statements of provenance and recordings."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from piwheels import isolated_process
from piwheels.audit.position import load_position
from piwheels.errors import MALFORMED, ConfigError, RejectedError
from piwheels.protocol.invitation import InvalidTokenError, Invitation, parse_token
from piwheels.protocol.message_base import parse_header
from piwheels.protocol.messages.builder import FromBuilder, ToBuilder
from piwheels.protocol.messages.commands import Request
from piwheels.protocol.messages.replies import Reply
from piwheels.protocol.messages.upload import FromUploader, ToUploader
from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.public_keys import PublicKey, parse_public_keys
from piwheels.provenance.statement import encode_statement
from piwheels.provenance.verification import verify
from piwheels.scheduler.log_arrivals import decode_arrivals
from piwheels.tui.client import recording
from piwheels.tui.client.recording import Reader
from tests.fuzz.scratch import as_text, empty_folder, scratch_file
from tests.fuzz.target import Target
from tests.protocol.random_messages import MessageGenerator
from tests.provenance.factories import FACTS, WHEEL, make_writer, trusted
from tests.simfarm import FarmModel
from tests.tui.test_recording import record, simulate_farm

_KINDS: dict[str, Any] = {
    "from-builder": FromBuilder,
    "to-builder": ToBuilder,
    "from-uploader": FromUploader,
    "to-uploader": ToUploader,
    "request": Request,
    "reply": Reply,
}


def _decode(kind: Any) -> Callable[[bytes], object]:
    decoder = msgspec.msgpack.Decoder(kind)

    def parse(data: bytes) -> object:
        parse_header(data)
        return msgspec.msgpack.encode(decoder.decode(data))

    return parse


def _valid_messages(kind: Any) -> Callable[[], Sequence[bytes]]:
    """Some that are decoded without an error."""

    def seeds() -> Sequence[bytes]:
        found: list[bytes] = []
        generator, decoder = MessageGenerator(1), msgspec.msgpack.Decoder(kind)
        for _ in range(3000):
            data = msgspec.msgpack.encode(generator.message(kind))
            try:
                decoder.decode(data)
            except MALFORMED:
                continue
            found.append(data)
            if len(found) == 8:
                break
        return found

    return seeds


def _token() -> Sequence[bytes]:
    token = Invitation(
        host="master.example", builder_port=1, upload_port=2, master_key="ab" * 32, secret="cd" * 32
    )
    return [str(token).encode()]


def _token_content(data: bytes) -> object:
    """A token whose checksum is right."""
    checksum = hashlib.sha256(data).digest()[:4]
    word = base64.urlsafe_b64encode(data + checksum).decode().rstrip("=")
    return parse_token(f"piw1_{word}")


@cache
def _keys() -> tuple[bytes, dict[str, PublicKey]]:
    """A private key, and the public ones by id."""
    writer = make_writer(empty_folder("provenance"))
    keys = trusted(writer)
    return writer.keys.load()[1], keys


def _envelope(data: bytes) -> object:
    return list(verify(data, _keys()[1], WHEEL).describe())


def _signed(data: bytes) -> object:
    """A statement with a valid signature: what a farm with other rules could sign."""
    return _envelope(dsse.seal(data, _keys()[0]))


def _statement() -> bytes:
    return encode_statement(WHEEL, FACTS, farm_url="https://wheels.example/", version="1.0")


def _published_keys() -> Sequence[bytes]:
    key = next(iter(_keys()[1].values()))
    return [msgspec.json.encode({"format": 1, "keys": [key]}), key.raw.hex().encode()]


def _recording(data: bytes) -> object:
    reader = Reader(scratch_file(data, "farm.rec"))
    return [reader.read_block(number) for number in range(len(reader.blocks))]


def _block(data: bytes) -> object:
    """A recording whose blocks have the right length and checksum."""
    flags, at = 1, 1_700_000_000.0
    block = recording._BLOCK_HEADER.pack(flags, at) + zlib.compress(data, 1)
    frame = recording._BLOCK_FRAME.pack(recording._BLOCK_MAGIC, len(block), zlib.crc32(block))
    return _recording(recording._FILE_HEADER + frame + block)


@cache
def _recorded() -> Path:
    file = empty_folder("recorded") / "farm.rec"
    record(file, simulate_farm(FarmModel(builders=2), 3))
    return file


def _blocks() -> Sequence[bytes]:
    reader = Reader(_recorded())
    contents = [reader.read_block(number) for number in range(len(reader.blocks))]
    return [msgspec.msgpack.encode(block) for block in contents]


def _child_reply(data: bytes) -> object:
    """What the process that reads hostile files answers: it may be taken over by one."""
    return isolated_process._result_of(data, 0, isolated_process.Limits())


MESSAGE_TARGETS = (
    Target(
        "child-reply",
        _child_reply,
        (RejectedError, OSError),
        lambda: [msgspec.msgpack.encode(isolated_process._ResultReply(msgspec.Raw(b"\x01")))],
    ),
    Target("log-arrivals", decode_arrivals, (), lambda: [msgspec.msgpack.encode(([1, 2], [0, 5]))]),
    Target(
        "audit-position",
        lambda data: load_position(scratch_file(data), ""),
        (),
        lambda: [b'{"format": 1, "options": ""}'],
    ),
    *(
        Target(f"message-{name}", _decode(kind), MALFORMED, _valid_messages(kind))
        for name, kind in _KINDS.items()
    ),
    Target("token", lambda data: parse_token(as_text(data)), (InvalidTokenError,), _token),
    Target(
        "token-content",
        _token_content,
        (InvalidTokenError,),
        lambda: [b"k" * 64 + b"\0\1\0\2master.example", b"k" * 64 + b"\0\1\0\2::1"],
    ),
    Target(
        "provenance-envelope",
        _envelope,
        (NotVerifiedError,),
        lambda: [dsse.seal(_statement(), _keys()[0])],
    ),
    Target("provenance-statement", _signed, (NotVerifiedError,), lambda: [_statement()]),
    Target(
        "provenance-keys",
        lambda data: [key.raw for key in parse_public_keys(data, "keys").values()],
        (NotVerifiedError,),
        _published_keys,
    ),
    Target("recording", _recording, (ConfigError,), lambda: [_recorded().read_bytes()]),
    Target("recording-block", _block, (ConfigError,), _blocks),
)
