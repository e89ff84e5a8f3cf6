"""What becomes of each command: every one has an identity and a visible fate."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

#: So many settled commands are remembered; those under way always are.
MAX_FINISHED = 200


class CommandState(StrEnum):
    """The turns that a command's fate takes; the last five are final."""

    SENT = "sent"
    ACCEPTED = "accepted"  # it has arrived and is being carried out
    APPLIED = "applied"
    REJECTED = "refused"
    TIMED_OUT = "timed out"  # no answer in time: whether it was carried out is not known
    UNKNOWN = "fate unknown"  # the master went away while it was under way
    NOT_SENT = "not sent"  # no master was there: nothing was kept for later


#: May follow each turn. What is final stays as it is.
_TRANSITIONS: dict[CommandState, frozenset[CommandState]] = {
    CommandState.SENT: frozenset(CommandState) - {CommandState.SENT},
    CommandState.ACCEPTED: frozenset(
        {CommandState.APPLIED, CommandState.REJECTED, CommandState.TIMED_OUT, CommandState.UNKNOWN}
    ),
    # Nothing was known of it when it was last looked at; a late answer says more.
    CommandState.TIMED_OUT: frozenset({CommandState.APPLIED, CommandState.REJECTED}),
}


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """A command and where it is: `what` names it for people ("drain pi3, pi4")."""

    command_id: str
    description: str
    state: CommandState
    changed_at: float  # UNIX seconds of the last turn
    text: str = ""  # the answer, or the reason
    sent_at: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether no other turn is to be waited for."""
        return self.state not in {CommandState.SENT, CommandState.ACCEPTED}

    @property
    def succeeded_or_pending(self) -> bool:
        """Whether it was carried out, or may still be."""
        return self.state in {CommandState.SENT, CommandState.ACCEPTED, CommandState.APPLIED}

    @property
    def line(self) -> str:
        """One line for people: `drain pi3: refused (there is no builder pi3)`."""
        if not self.text:
            return f"{self.description}: {self.state}"
        if self.state is CommandState.APPLIED:
            return f"{self.description}: {self.text}"
        return f"{self.description}: {self.state} ({self.text})"

    def advance(self, state: CommandState, at: float, text: str = "") -> "CommandStatus":
        """This fate after a turn; unchanged when that turn cannot follow."""
        if state not in _TRANSITIONS.get(self.state, frozenset()):
            return self
        return replace(self, state=state, changed_at=at, text=text)


def new_command(command_id: str, description: str, at: float) -> CommandStatus:
    """The fate of a command that goes out now."""
    return CommandStatus(
        command_id=command_id,
        description=description,
        state=CommandState.SENT,
        changed_at=at,
        sent_at=at,
    )


class CommandHistory:
    """The commands of this console, the newest first."""

    def __init__(self) -> None:
        self._commands: dict[str, CommandStatus] = {}

    def update(self, status: CommandStatus) -> None:
        """Remember a command, or another turn of one."""
        self._commands[status.command_id] = status
        settled = [known.command_id for known in self._commands.values() if known.is_final]
        for oldest in settled[:-MAX_FINISHED]:
            del self._commands[oldest]

    def __iter__(self) -> Iterator[CommandStatus]:
        return reversed(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def pending(self) -> list[CommandStatus]:
        """Those that are not settled, the newest first."""
        return [fate for fate in self if not fate.is_final]
