"""The token by which a builder joins: what it carries, and that no other text is taken for one."""

import base64
import string
from dataclasses import dataclass

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from piwheels.errors import UsageError
from piwheels.protocol.invitation import PREFIX, InvalidTokenError, Invitation, is_host, parse_token

_KEYS = st.binary(min_size=32, max_size=32).map(bytes.hex)
_LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)
_HOSTS = st.one_of(
    st.lists(_LABELS, min_size=1, max_size=6).map(".".join),
    st.ip_addresses().map(str),
)
_INVITATIONS = st.builds(
    Invitation,
    host=_HOSTS,
    builder_port=st.integers(1, 65_535),
    upload_port=st.integers(1, 65_535),
    master_key=_KEYS,
    secret=_KEYS,
)


@dataclass(frozen=True)
class Damage:
    """A change of one character of a token: the character, and where, as a share of its length."""

    place: float
    character: str

    def apply(self, token: str) -> str:
        """The damaged token."""
        at = int(self.place * (len(token) - 1))
        return token[:at] + self.character + token[at + 1 :]


@given(_INVITATIONS)
def test_a_token_is_one_word_that_carries_the_whole_invitation(invitation: Invitation) -> None:
    token = str(invitation)
    assert parse_token(token) == invitation
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert invitation.secret not in repr(invitation)


@given(_INVITATIONS, st.floats(0, 1))
def test_line_breaks_of_a_terminal_or_a_mail_do_not_matter(
    invitation: Invitation, place: float
) -> None:
    token = str(invitation)
    at = int(place * len(token))
    assert parse_token(f"  {token[:at]}\r\n {token[at:]}\n") == invitation


@given(
    _INVITATIONS,
    st.builds(Damage, st.floats(0, 1), st.sampled_from(string.ascii_letters + string.digits)),
)
def test_a_damaged_token_is_rejected(invitation: Invitation, damage: Damage) -> None:
    token = str(invitation)
    damaged = damage.apply(token)
    assume(damaged != token)
    with pytest.raises(InvalidTokenError):
        parse_token(damaged)


@given(_INVITATIONS, st.data())
def test_a_truncated_token_is_rejected(invitation: Invitation, data: st.DataObject) -> None:
    token = str(invitation)
    length = data.draw(st.integers(0, len(token) - 1))
    with pytest.raises(InvalidTokenError):
        parse_token(token[:length])


@given(
    st.one_of(
        st.text(),
        st.text().map(PREFIX.__add__),
        st.binary().map(lambda data: PREFIX + base64.urlsafe_b64encode(data).decode()),
    )
)
@example("")
@example(PREFIX)
@example(PREFIX + "A" * 100_000)
@example(PREFIX + "\ud800")
@example("5" * 64)
def test_any_other_text_gets_one_line(text: str) -> None:
    with pytest.raises(InvalidTokenError) as raised:
        parse_token(text)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    "host", ["", "a b", "host:5555", "-x", "a..b", "x" * 254, "[::1]", "ü", "fe80::1%eth0"]
)
def test_no_invitation_names_what_is_no_host(host: str) -> None:
    assert not is_host(host)
    with pytest.raises(UsageError, match="neither a host name nor an IP address"):
        Invitation(host=host, builder_port=1, upload_port=2, master_key="0" * 64, secret="1" * 64)


@pytest.mark.parametrize("host", ["localhost", "farm.local", "192.0.2.7", "2001:db8::1", "Pi-4"])
def test_hosts_that_an_invitation_can_name(host: str) -> None:
    assert is_host(host)
