"""The state of each sent command, from sending to its result."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

#: So many finished commands are kept; pending ones always are.
MAX_FINISHED = 200


class CommandState(StrEnum):
    """The states of a command; the last five are final."""

    SENT = "sent"
    ACCEPTED = "accepted"  # received, and being executed
    APPLIED = "applied"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"  # no answer in time: the result is not known
    UNKNOWN = "result unknown"  # the connection was lost meanwhile
    NOT_SENT = "not sent"  # no master was connected: nothing is kept for later


#: The states that may follow each state; the others are final.
_TRANSITIONS: dict[CommandState, frozenset[CommandState]] = {
    CommandState.SENT: frozenset(CommandState) - {CommandState.SENT},
    CommandState.ACCEPTED: frozenset(
        {CommandState.APPLIED, CommandState.REJECTED, CommandState.TIMED_OUT, CommandState.UNKNOWN}
    ),
    # A late answer may still come.
    CommandState.TIMED_OUT: frozenset({CommandState.APPLIED, CommandState.REJECTED}),
}


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """A command and its state; `description` is for people ("drain pi3, pi4")."""

    command_id: str
    description: str
    state: CommandState
    changed_at: float  # UNIX seconds
    text: str = ""  # the answer, or the error
    sent_at: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether no further change is expected."""
        return self.state not in {CommandState.SENT, CommandState.ACCEPTED}

    @property
    def succeeded_or_pending(self) -> bool:
        """Whether it was executed, or may still be."""
        return self.state in {CommandState.SENT, CommandState.ACCEPTED, CommandState.APPLIED}

    @property
    def line(self) -> str:
        """One line for people: `drain pi3: rejected (there is no builder pi3)`."""
        if not self.text:
            return f"{self.description}: {self.state}"
        if self.state is CommandState.APPLIED:
            return f"{self.description}: {self.text}"
        return f"{self.description}: {self.state} ({self.text})"

    def advance(self, state: CommandState, at: float, text: str = "") -> "CommandStatus":
        """This status in the next state; unchanged when that state cannot follow."""
        if state not in _TRANSITIONS.get(self.state, frozenset()):
            return self
        return replace(self, state=state, changed_at=at, text=text)


def new_command(command_id: str, description: str, at: float) -> CommandStatus:
    """The status of a command that is sent now."""
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
        """Add a command, or replace its status."""
        self._commands[status.command_id] = status
        finished = [known.command_id for known in self._commands.values() if known.is_final]
        for oldest in finished[:-MAX_FINISHED]:
            del self._commands[oldest]

    def __iter__(self) -> Iterator[CommandStatus]:
        return reversed(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def pending(self) -> list[CommandStatus]:
        """Those without a final state, the newest first."""
        return [status for status in self if not status.is_final]
