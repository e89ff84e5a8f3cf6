"""What of a farm is older than this program, and in which order to upgrade it."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from piwheels.config import LoadedConfig
from piwheels.errors import PiwheelsError
from piwheels.protocol.client import ControlClient
from piwheels.protocol.messages import BuilderView, Status, StatusReply, speaks_with_builder
from piwheels.setup.builder import BuilderOptions, builder_steps
from piwheels.setup.farm import Place, unit_path
from piwheels.setup.master import MasterOptions, master_steps
from piwheels.setup.run import State, state_of
from piwheels.setup.steps import Step

#: Steps that an upgrade can undo; the others are of the first setup.
_UPGRADED = ("Root alone", "Keys", "Tables", "Setting", "Unit", "Service", "Site", "Modules")
_MASTER = "sudo piw setup master"
_BUILDER = "sudo piw setup builder"
_ROLLING_RESTART = "piw builder restart --all --max-parallel 1"


class Part(msgspec.Struct, frozen=True):
    """One part of a farm that an upgrade concerns."""

    name: str
    found: str  # its version or state
    differs: bool = False
    action: str = ""  # the command that upgrades it


async def check_upgrade(
    loaded: LoadedConfig, options: MasterOptions | None, place: Place
) -> list[Part]:
    """The parts of this machine's farm, in the order in which to upgrade them.

    Args:
        loaded: the farm's configuration.
        options: those of the last `piw setup master`; None if the site is not known.
        place: where things are.
    """
    parts = [Part(name="this program", found=version("piwheels")), _settings_part(loaded)]
    if Path(unit_path("master")).exists():
        parts += _step_parts(master_steps(options, place) if options else [], _MASTER)
        parts += await _running_parts(loaded)
    if Path(unit_path("builder")).exists():
        steps = builder_steps(BuilderOptions(master_key=""), place)
        parts += _step_parts(steps, _BUILDER)
    return parts


def _settings_part(loaded: LoadedConfig) -> Part:
    if not loaded.deprecations:
        return Part(name="configuration", found="has no former names of settings")
    file = loaded.file or "the environment"
    return Part(
        name="configuration",
        found="; ".join(loaded.deprecations),
        differs=True,
        action=f"rename these settings in {file}",
    )


def _step_parts(steps: Sequence[Step], action: str) -> list[Part]:
    """A part for each step that an upgrade may have to repeat."""
    parts = []
    for step in steps:
        if step.title.startswith(_UPGRADED):
            state = state_of(step)
            done = state is State.DONE
            parts.append(
                Part(
                    name=step.title,
                    found="up to date" if done else str(state),
                    differs=not done,
                    action="" if done else action,
                )
            )
    return parts


async def _running_parts(loaded: LoadedConfig) -> list[Part]:
    """The master that runs, and its builders."""
    try:
        async with ControlClient(loaded.config.master.control_bind) as client:
            status = await client.request(Status(), StatusReply)
    except PiwheelsError as error:
        return [Part(name="running master", found=str(error), differs=True, action=_MASTER)]
    own = version("piwheels")
    master = Part(
        name="running master",
        found=status.version,
        differs=status.version != own,
        action="" if status.version == own else _MASTER,
    )
    return [master, *(_builder_part(view, own) for view in status.builders)]


def _builder_part(view: BuilderView, own: str) -> Part:
    """A builder, with its version of the protocol, by which the new master may refuse it."""
    old = view.version not in {"", own}
    found = view.version or "unknown"
    if view.protocol:
        refused = "" if speaks_with_builder(view.protocol) else ", which this version refuses"
        found += f", protocol {view.protocol}{refused}"
    action = f"install {own} on {view.label}, then {_ROLLING_RESTART}" if old else ""
    return Part(name=f"builder {view.label}", found=found, differs=old, action=action)


def actions(parts: Sequence[Part]) -> list[str]:
    """What to do, in order, each once; a backup first if the database changes."""
    found = list(dict.fromkeys(part.action for part in parts if part.differs))
    if any(part.differs and part.name.startswith("Tables") for part in parts):
        found.insert(0, "sudo -u piwheels piw db backup /var/lib/piwheels")
    return found
