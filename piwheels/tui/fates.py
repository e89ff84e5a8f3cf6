"""What becomes of each command: every one has an identity and a visible fate."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

#: So many settled commands are remembered; those under way always are.
REMEMBERED = 200


class Turn(StrEnum):
    """The turns that a command's fate takes; the last five are final."""

    SENT = "sent"
    ACCEPTED = "accepted"  # it has arrived and is being carried out
    APPLIED = "applied"
    REFUSED = "refused"
    TIMED_OUT = "timed out"  # no answer in time: whether it was carried out is not known
    UNKNOWN = "fate unknown"  # the master went away while it was under way
    NOT_SENT = "not sent"  # no master was there: nothing was kept for later


#: May follow each turn. What is final stays as it is.
_NEXT: dict[Turn, frozenset[Turn]] = {
    Turn.SENT: frozenset(Turn) - {Turn.SENT},
    Turn.ACCEPTED: frozenset({Turn.APPLIED, Turn.REFUSED, Turn.TIMED_OUT, Turn.UNKNOWN}),
    # Nothing was known of it when it was last looked at; a late answer says more.
    Turn.TIMED_OUT: frozenset({Turn.APPLIED, Turn.REFUSED}),
}


@dataclass(frozen=True, slots=True)
class Fate:
    """A command and where it is: `what` names it for people ("drain pi3, pi4")."""

    identity: str
    what: str
    turn: Turn
    at: float  # UNIX seconds of the last turn
    text: str = ""  # the answer, or the reason
    sent_at: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether no other turn is to be waited for."""
        return self.turn not in {Turn.SENT, Turn.ACCEPTED}

    @property
    def went_well(self) -> bool:
        """Whether it was carried out, or may still be."""
        return self.turn in {Turn.SENT, Turn.ACCEPTED, Turn.APPLIED}

    @property
    def line(self) -> str:
        """One line for people: `drain pi3: refused (there is no builder pi3)`."""
        if not self.text:
            return f"{self.what}: {self.turn}"
        if self.turn is Turn.APPLIED:
            return f"{self.what}: {self.text}"
        return f"{self.what}: {self.turn} ({self.text})"

    def turned(self, turn: Turn, at: float, text: str = "") -> "Fate":
        """This fate after a turn; unchanged when that turn cannot follow."""
        if turn not in _NEXT.get(self.turn, frozenset()):
            return self
        return replace(self, turn=turn, at=at, text=text)


def sent(identity: str, what: str, at: float) -> Fate:
    """The fate of a command that goes out now."""
    return Fate(identity=identity, what=what, turn=Turn.SENT, at=at, sent_at=at)


class Fates:
    """The commands of this console, the newest first."""

    def __init__(self) -> None:
        self._fates: dict[str, Fate] = {}

    def take(self, fate: Fate) -> None:
        """Remember a command, or another turn of one."""
        self._fates[fate.identity] = fate
        settled = [known.identity for known in self._fates.values() if known.settled]
        for oldest in settled[:-REMEMBERED]:
            del self._fates[oldest]

    def __iter__(self) -> Iterator[Fate]:
        return reversed(self._fates.values())

    def __len__(self) -> int:
        return len(self._fates)

    @property
    def under_way(self) -> list[Fate]:
        """Those that are not settled, the newest first."""
        return [fate for fate in self if not fate.settled]
