"""Where builders are heard: cut links and restarts are told from two that share a key."""

from collections.abc import Iterator

import pytest

from piwheels.farm.peers import SETTLE_S, WARY_S, Peers, Rival
from piwheels.protocol.channels import Peer

A, B, C = (Peer(route=name.encode(), key="k") for name in "abc")


@pytest.fixture
def peers() -> Peers:
    return Peers()


def talk(peers: Peers, who: tuple[Peer, ...], began: float, ended: float) -> Iterator[Peer]:
    """Let builders speak every five seconds; gives those who were turned away, and end there."""
    for second in range(int(began), int(ended), 5):
        for peer in who:
            if away := peers.heard("pi1", peer, second):
                yield away.peer
                return


def test_a_builder_that_comes_back_elsewhere_is_answered_there(peers: Peers) -> None:
    assert peers.heard("pi1", A, 0) is None
    assert peers.heard("pi1", B, 70) is None
    assert peers.of("pi1") == B
    assert list(talk(peers, (B,), 75, 2000)) == []


def test_what_was_under_way_on_a_former_route_is_no_second_builder(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    peers.heard("pi1", B, 30)
    for late in (30.1, 31.0, 90.0, 90.1, 90.2):  # some of it held up for a minute by the network
        assert peers.heard("pi1", A, late, None) is None
    assert peers.of("pi1") == B


def test_of_two_that_share_a_key_the_one_that_came_last_is_turned_away(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    assert list(talk(peers, (B, A), 10, 60)) == [B]
    assert peers.of("pi1") == A
    assert list(talk(peers, (A,), 60, 200)) == []


def test_one_that_tries_again_disturbs_the_other_no_more(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    assert list(talk(peers, (B, A), 10, 60)) == [B]
    peers.heard("pi1", A, 60)
    assert peers.heard("pi1", C, 61) == Rival(C, fatal=True)
    assert peers.of("pi1") == A


def test_the_first_can_be_restarted_all_the_same(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    assert list(talk(peers, (B, A), 10, 60)) == [B]
    peers.heard("pi1", A, 60)
    assert peers.heard("pi1", C, 60 + SETTLE_S) is None, "it has been silent for long enough"
    assert peers.of("pi1") == C


def test_after_a_while_all_is_forgiven(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    assert list(talk(peers, (B, A), 10, 60)) == [B]
    peers.heard("pi1", A, 60 + WARY_S)
    assert peers.heard("pi1", C, 61 + WARY_S) is None


def test_many_restarts_are_not_all_remembered(peers: Peers) -> None:
    for number in range(100):
        peers.heard("pi1", Peer(route=str(number).encode(), key="k"), number)
    assert len(peers._lines["pi1"].former) < 10


def test_the_holder_of_a_key_is_known_until_it_is_forgotten(peers: Peers) -> None:
    peers.heard("pi1", A, 0)
    peers.heard("pi2", Peer(route=b"x", key="other"), 0)
    assert peers.with_key("k") == ["pi1"]
    peers.forget("pi1")
    assert peers.with_key("k") == []
    assert peers.of("pi1") is None


# --- processes that say which they are ---


def test_the_same_process_is_answered_at_once_where_it_comes_back(peers: Peers) -> None:
    assert peers.heard("pi1", A, 0, "first") is None
    assert peers.heard("pi1", B, 1, "first") is None
    assert peers.of("pi1") == B
    assert peers.heard("pi1", A, 2, None) is None, "what was under way"
    assert peers.of("pi1") == B


def test_a_successor_waits_until_the_first_has_been_silent_for_a_moment(peers: Peers) -> None:
    peers.heard("pi1", A, 0, "first")
    for second in (1.0, 2.0, 4.0, 8.0):
        assert peers.heard("pi1", B, second, "second") == Rival(B, fatal=False)
    assert peers.of("pi1") == A
    assert peers.heard("pi1", B, SETTLE_S, "second") is None
    assert peers.of("pi1") == B


def test_a_second_builder_never_gets_through_and_is_refused_for_good(peers: Peers) -> None:
    peers.heard("pi1", A, 0, "first")
    answers = []
    for second in range(1, 40):
        if second % 5 == 0:
            assert peers.heard("pi1", A, second, None) is None
        answers.append(peers.heard("pi1", B, second, "second"))
        assert peers.of("pi1") == A
    assert answers[0] == Rival(B, fatal=False)
    assert answers[-1] == Rival(B, fatal=True)
    assert peers.heard("pi1", B, 40, None) == Rival(B, fatal=False), "it says Hello again"


def test_a_second_builder_that_is_started_again_and_again_disturbs_nobody(peers: Peers) -> None:
    peers.heard("pi1", A, 0, "first")
    for second in range(1, 600):
        if second % 5 == 0:
            peers.heard("pi1", A, second, None)
        route = Peer(route=str(second).encode(), key="k")
        assert peers.heard("pi1", route, second, f"process {second}") is not None
    assert peers.of("pi1") == A
    assert len(peers._lines["pi1"].waiting) < 10


def test_a_first_builder_that_was_silent_for_a_moment_wins_its_key_back(peers: Peers) -> None:
    peers.heard("pi1", A, 0, "first")
    assert peers.heard("pi1", B, 20, "second") is None
    answers = []
    for second in range(21, 80):
        answers.append(peers.heard("pi1", A, second, None))
        answers.append(peers.heard("pi1", B, second, None))
    assert Rival(B, fatal=True) in answers
    assert peers.of("pi1") == A
    assert peers.heard("pi1", C, 81, "second") == Rival(C, fatal=False)
