"""Which farm `piw tui` opens, and which others it can switch to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from piwheels.errors import PiwheelsError, UsageError
from piwheels.protocol.client import check_socket
from piwheels.protocol.sockets import KeyPair
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.recording import Recorder, RecordingSource
from piwheels.tui.client.source import EventSource
from piwheels.tui.client.ssh_tunnel import route_to
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.settings import ContextSettings


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """Where a master is, and over TCP the keys."""

    address: str
    key: KeyPair | None = None
    master_key: str = ""


@dataclass(frozen=True, slots=True)
class ContextResolver:
    """What the command line says about the farm.

    Attributes:
        chosen: The name of --context, or "".
        connect: The address of --connect; None without.
        ignores_last: Do not begin with the context that was shown last.
        configured: The master of the configuration; raises ConfigError.
        with_keys: A context's master with its keys; raises ConfigError.
    """

    configured: Callable[[], MasterAddress]
    with_keys: Callable[[ContextSettings], MasterAddress]
    chosen: str = ""
    connect: MasterAddress | None = None
    ignores_last: bool = False
    read_only: bool = False

    def contexts(
        self, settings: Mapping[str, ContextSettings]
    ) -> tuple[dict[str, Context], list[str]]:
        """The contexts by name, and what is wrong with others."""
        found: dict[str, Context] = {}
        problems: list[str] = []
        for name, context in settings.items():
            try:
                if not name or not name.isprintable():
                    raise UsageError("a name is printable characters")
                route_to(context.address)
            except UsageError as error:
                problems.append(f"contexts.{terminal_safe(name)} is ignored: {error}")
            else:
                opener = partial(self._open_context, name, context)
                found[name] = Context(name, context.color, context.address, opener)
        return found, problems

    def first(self, contexts: Mapping[str, Context], last: str) -> Context:
        """The context to begin with; `last` is the one that the console showed before.

        Raises:
            UsageError: there is no context with the chosen name.
        """
        if self.chosen:
            if self.chosen not in contexts:
                names = ", ".join(sorted(contexts)) or "it has none"
                raise UsageError(f"{self.chosen!r} is not a context of console.toml ({names})")
            return contexts[self.chosen]
        if self.connect is None and not self.ignores_last and last in contexts:
            return contexts[last]
        master = self.connect or self.configured()
        return Context(master.address, "", master.address, partial(self._open_master, master))

    def _open_context(self, name: str, context: ContextSettings) -> EventSource:
        try:
            return self._open_master(self.with_keys(context), read_only=context.read_only)
        except PiwheelsError as error:
            raise UsageError(f"context {name}: {error}") from None

    def _open_master(self, master: MasterAddress, *, read_only: bool = False) -> EventSource:
        check_socket(master.address)  # fails at once where waiting would not help
        return MasterConnection(
            master.address,
            key=master.key,
            server_key=master.master_key,
            read_only=self.read_only or read_only,
        )


def record_to(file: Path | None, source: EventSource) -> EventSource:
    """A source that is recorded to a new file, if there is one.

    Raises:
        ConfigError: the file exists, or cannot be written.
    """
    return RecordingSource(source, Recorder(file, now=source.now)) if file else source
