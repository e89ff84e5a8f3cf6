"""What `piw up` prints without a console."""

import pytest

from piwheels.local.progress import ProgressPrinter
from piwheels.protocol.messages import BuilderChanged, BuilderState, BuilderView

TARGET = "cp311-bookworm-x86_64"


def _print_phases(builds_and_phases: list[tuple[int | None, str]]) -> None:
    printer = ProgressPrinter(frozenset({TARGET}))
    for build, phase in builds_and_phases:
        view = BuilderView(
            label="builder-1", state=BuilderState.BUILDING, build=build, phase=phase,
            project="demo", release_version="1.0", target=TARGET,
        )  # fmt: skip
        printer.print_event(BuilderChanged(builder=view))


@pytest.mark.parametrize(
    ("seen", "printed"),
    [
        ([(None, ""), (1, "starting"), (1, "fetching"), (1, "fetching")], ["started", "fetching"]),
        # The build began before the first event, and its phase does not change for an hour.
        ([(1, "building"), (1, "building")], ["started", "building"]),
        (
            [(1, "building"), (2, ""), (2, "fetching")],
            ["started", "building", "started", "fetching"],
        ),
    ],
)
def test_the_phase_of_a_build_is_printed_once_whenever_it_is_first_seen(
    capsys: pytest.CaptureFixture[str], seen: list[tuple[int | None, str]], printed: list[str]
) -> None:
    _print_phases(seen)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2].split()[0] for line in lines] == printed
