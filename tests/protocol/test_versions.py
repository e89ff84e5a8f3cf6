"""What a peer of another version of the protocol can read: why it is rejected."""

import msgspec

from piwheels.protocol import messages as m
from piwheels.protocol.message_base import Header, parse_header


def as_sent(message: m.Message) -> dict[str, object]:
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    assert isinstance(decoded, dict)
    return decoded


def test_every_builder_can_read_why_it_is_rejected() -> None:
    sent = as_sent(m.Rejected(reason="install the same piwheels on both", permanent=True))
    assert sent == {
        "type": "Refused", "reason": "install the same piwheels on both", "fatal": True,
    }  # fmt: skip


def test_every_client_can_read_why_its_request_was_rejected() -> None:
    sent = as_sent(m.Reply(request_id=5, body=m.CommandFailed(reason="no")))
    body = sent.pop("body")
    assert sent == {"type": "Reply", "number": 5}
    assert isinstance(body, dict)
    assert (body["type"], body["reason"]) == ("Problem", "no")


def test_the_header_of_an_earlier_protocol_is_read() -> None:
    request = {"type": "Command", "number": 7, "protocol": 2, "body": {"type": "Watch"}}
    assert parse_header(msgspec.msgpack.encode(request)) == Header(request_id=7, protocol=2)
    assert as_sent(m.Request(request_id=7, body=m.Status()))["number"] == 7


def test_the_hello_of_an_earlier_protocol_is_read_as_far_as_its_version() -> None:
    greeting = {
        "type": "Hello", "protocol": 2, "version": "1", "targets": [], "platform": "", "board": "",
        "os": "", "host": {"type": "HostState", "load": 1.0}, "busy": 7, "limit_s": 1.0,
    }  # fmt: skip
    hello = msgspec.msgpack.decode(msgspec.msgpack.encode(greeting), type=m.FromBuilder)
    assert isinstance(hello, m.Hello)
    assert hello.protocol == 2
