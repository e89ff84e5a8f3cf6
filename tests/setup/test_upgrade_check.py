"""`piw upgrade --check`: what differs, and the order in which to upgrade."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from piwheels.cli import cli
from piwheels.config import load
from piwheels.protocol import message_base
from piwheels.protocol.messages import PROTOCOL
from piwheels.setup import machine, upgrade_check
from piwheels.setup.errors import SetupError
from piwheels.setup.farm import Place
from piwheels.setup.master import MasterOptions
from piwheels.setup.run import State
from piwheels.setup.steps import Step
from piwheels.setup.upgrade_check import Part, actions, check_upgrade
from tests.simfarm import FarmModel, SimFarm

PLACE = Place(program="/opt/piwheels/bin/piw")
OPTIONS = MasterOptions(server_name="wheels.example.org")


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of /etc/systemd/system, with the unit of a master."""
    monkeypatch.setattr(upgrade_check, "unit_path", lambda role: str(tmp_path / f"{role}.service"))
    monkeypatch.setattr(machine, "unit_path", lambda role: str(tmp_path / f"{role}.service"))
    (tmp_path / "master.service").touch()
    return tmp_path


def states(monkeypatch: pytest.MonkeyPatch, to_do: Sequence[str] = ()) -> None:
    """Have steps with these titles to do, and the others done."""

    def state_of(step: Step) -> State:
        return State.TO_DO if step.title.startswith(tuple(to_do)) else State.DONE

    monkeypatch.setattr(upgrade_check, "state_of", state_of)


def parts_of(file: Path) -> dict[str, Part]:
    parts = asyncio.run(check_upgrade(load(file, environ={}), OPTIONS, PLACE))
    return {part.name: part for part in parts}


def write_config(folder: Path, text: str = "") -> Path:
    file = folder / "piwheels.toml"
    file.write_text(f'[master]\ncontrol_bind = "ipc://{folder}/control.sock"\n{text}')
    return file


def test_a_master_that_does_not_answer_is_named(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(monkeypatch)
    parts = parts_of(write_config(units))
    assert [part.name for part in parts.values() if part.differs] == ["running master"]
    assert actions([*parts.values()]) == ["sudo piw setup master"]


def test_former_names_of_settings_are_named(units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch)
    part = parts_of(write_config(units, '[builder]\npython = ["python3"]\n'))["configuration"]
    assert part.differs
    assert "builder.interpreters" in part.found


def test_tables_are_backed_up_before_they_are_upgraded(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(monkeypatch, ["Tables", "Unit"])
    todo = actions([*parts_of(write_config(units)).values()])
    assert todo[0].startswith("sudo -u piwheels piw db backup ")
    assert todo[1:] == ["sudo piw setup master"]


def test_builders_of_another_version_come_last(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(monkeypatch)
    monkeypatch.setattr(upgrade_check, "version", lambda _name: "99.0")
    file = write_config(units)

    async def check() -> list[Part]:
        async with SimFarm(f"ipc://{units}/control.sock", FarmModel(builders=2), hz=0):
            return await check_upgrade(load(file, environ={}), OPTIONS, PLACE)

    parts = asyncio.run(check())
    builders = [part for part in parts if part.name.startswith("builder ")]
    assert len(builders) == 2
    assert all(part.found.endswith(f", protocol {PROTOCOL}") for part in builders)
    todo = actions(parts)
    assert todo[0] == "sudo piw setup master"
    assert all("install 99.0 on " in action for action in todo[1:])


async def test_builders_that_the_new_master_refuses_are_named(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(monkeypatch)
    monkeypatch.setattr(message_base, "OLDEST_BUILDER_PROTOCOL", PROTOCOL + 1)
    monkeypatch.setattr(message_base, "PROTOCOL", PROTOCOL + 2)
    file = write_config(units)
    async with SimFarm(f"ipc://{units}/control.sock", FarmModel(builders=1), hz=0):
        parts = await check_upgrade(load(file, environ={}), OPTIONS, PLACE)
    assert parts[-1].found.endswith(f", protocol {PROTOCOL}, which this version refuses")


def upgrade(file: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["upgrade", "--check", "--config", str(file), *options])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_exit_code_says_whether_something_differs(
    units: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    parts = [Part(name="this program", found="1.0")]

    async def found(*_: object) -> list[Part]:
        return parts

    monkeypatch.setattr(upgrade_check, "check_upgrade", found)
    code, output = upgrade(write_config(units))
    assert code == 0
    assert "in this order" not in output
    parts.append(msgspec.structs.replace(parts[0], name="Unit", differs=True, action="do it"))
    code, output = upgrade(write_config(units))
    assert code == 1
    assert "  1. do it" in output
    code, output = upgrade(write_config(units), "--json")
    assert (code, json.loads(output)["actions"]) == (1, ["do it"])


def test_a_machine_without_a_farm_is_named(units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (units / "master.service").unlink()
    with pytest.raises(SetupError, match="no master and no builder"):
        upgrade(write_config(units))


def test_upgrade_alone_says_that_it_only_checks() -> None:
    result = CliRunner().invoke(cli, ["upgrade"])
    assert result.exit_code == 2
    assert "piw upgrade --check" in result.output
