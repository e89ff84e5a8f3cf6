"""Routes of builders: reconnects and restarts are distinguished from two with one key."""

from collections.abc import Iterator

import pytest

from piwheels.protocol.sockets import Peer
from piwheels.scheduler.builder_routes import DUPLICATE_WATCH_S, SETTLE_S, RejectedPeer, Routes

A, B, C = (Peer(route=name.encode(), key="k") for name in "abc")


@pytest.fixture
def peers() -> Routes:
    return Routes()


def exchange(routes: Routes, who: tuple[Peer, ...], began: float, ended: float) -> Iterator[Peer]:
    """Let builders send every five seconds; yields the rejected ones, which stop then."""
    for second in range(int(began), int(ended), 5):
        for peer in who:
            if away := routes.observe("pi1", peer, second):
                yield away.peer
                return


def test_a_builder_with_a_new_connection_is_answered_there(peers: Routes) -> None:
    assert peers.observe("pi1", A, 0) is None
    assert peers.observe("pi1", B, 70) is None
    assert peers.route_of("pi1") == B
    assert list(exchange(peers, (B,), 75, 2000)) == []


def test_messages_of_a_former_connection_are_not_a_second_builder(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    peers.observe("pi1", B, 30)
    for late in (30.1, 31.0, 90.0, 90.1, 90.2):  # some of it held up for a minute by the network
        assert peers.observe("pi1", A, late, None) is None
    assert peers.route_of("pi1") == B


def test_the_second_of_two_builders_with_one_key_is_rejected(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    assert list(exchange(peers, (B, A), 10, 60)) == [B]
    assert peers.route_of("pi1") == A
    assert list(exchange(peers, (A,), 60, 200)) == []


def test_a_rejected_builder_that_retries_does_not_disturb_the_other(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    assert list(exchange(peers, (B, A), 10, 60)) == [B]
    peers.observe("pi1", A, 60)
    assert peers.observe("pi1", C, 61) == RejectedPeer(C, permanent=True)
    assert peers.route_of("pi1") == A


def test_the_first_builder_can_be_restarted(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    assert list(exchange(peers, (B, A), 10, 60)) == [B]
    peers.observe("pi1", A, 60)
    assert peers.observe("pi1", C, 60 + SETTLE_S) is None, "it has been silent for long enough"
    assert peers.route_of("pi1") == C


def test_a_duplicate_is_forgotten_after_a_while(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    assert list(exchange(peers, (B, A), 10, 60)) == [B]
    peers.observe("pi1", A, 60 + DUPLICATE_WATCH_S)
    assert peers.observe("pi1", C, 61 + DUPLICATE_WATCH_S) is None


def test_only_recent_restarts_are_remembered(peers: Routes) -> None:
    for number in range(100):
        peers.observe("pi1", Peer(route=str(number).encode(), key="k"), number)
    assert len(peers._active["pi1"].former_routes) < 10


def test_the_holder_of_a_key_is_known_until_it_is_removed(peers: Routes) -> None:
    peers.observe("pi1", A, 0)
    peers.observe("pi2", Peer(route=b"x", key="other"), 0)
    assert peers.labels_of_key("k") == ["pi1"]
    peers.remove("pi1")
    assert peers.labels_of_key("k") == []
    assert peers.route_of("pi1") is None


# --- processes that say which they are ---


def test_the_same_process_is_accepted_immediately_on_a_new_connection(peers: Routes) -> None:
    assert peers.observe("pi1", A, 0, "first") is None
    assert peers.observe("pi1", B, 1, "first") is None
    assert peers.route_of("pi1") == B
    assert peers.observe("pi1", A, 2, None) is None, "what was under way"
    assert peers.route_of("pi1") == B


def test_a_new_process_waits_until_the_first_has_been_silent_for_a_while(peers: Routes) -> None:
    peers.observe("pi1", A, 0, "first")
    for second in (1.0, 2.0, 4.0, 8.0):
        assert peers.observe("pi1", B, second, "second") == RejectedPeer(B, permanent=False)
    assert peers.route_of("pi1") == A
    assert peers.observe("pi1", B, SETTLE_S, "second") is None
    assert peers.route_of("pi1") == B


def test_a_second_builder_is_never_accepted_and_rejected_permanently(peers: Routes) -> None:
    peers.observe("pi1", A, 0, "first")
    answers = []
    for second in range(1, 40):
        if second % 5 == 0:
            assert peers.observe("pi1", A, second, None) is None
        answers.append(peers.observe("pi1", B, second, "second"))
        assert peers.route_of("pi1") == A
    assert answers[0] == RejectedPeer(B, permanent=False)
    assert answers[-1] == RejectedPeer(B, permanent=True)
    assert peers.observe("pi1", B, 40, None) == RejectedPeer(B, permanent=False), (
        "it says Hello again"
    )


def test_a_second_builder_that_restarts_repeatedly_disturbs_nobody(peers: Routes) -> None:
    peers.observe("pi1", A, 0, "first")
    for second in range(1, 600):
        if second % 5 == 0:
            peers.observe("pi1", A, second, None)
        route = Peer(route=str(second).encode(), key="k")
        assert peers.observe("pi1", route, second, f"process {second}") is not None
    assert peers.route_of("pi1") == A
    assert len(peers._active["pi1"].waiting_since) < 10


def test_a_first_builder_that_was_briefly_silent_keeps_its_key(peers: Routes) -> None:
    peers.observe("pi1", A, 0, "first")
    assert peers.observe("pi1", B, 20, "second") is None
    answers = []
    for second in range(21, 80):
        answers.append(peers.observe("pi1", A, second, None))
        answers.append(peers.observe("pi1", B, second, None))
    assert RejectedPeer(B, permanent=True) in answers
    assert peers.route_of("pi1") == A
    assert peers.observe("pi1", C, 81, "second") == RejectedPeer(C, permanent=False)


def test_late_messages_of_the_same_process_are_not_a_second_builder(peers: Routes) -> None:
    """A slow link delivers for minutes what was sent before the connection was opened again."""
    assert peers.observe("pi1", A, 0, "first") is None
    assert peers.observe("pi1", B, 30, "first") is None
    assert list(exchange(peers, (B, A), 35, 300)) == []
    assert peers.route_of("pi1") == B
