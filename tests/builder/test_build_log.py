"""The phases of a build, as its log shows them."""

from piwheels.builder.build_log import ADDING_PACKAGES, BuildLog
from piwheels.model import MAX_PHASES


def test_packages_are_named_and_the_next_phase_follows() -> None:
    phases: list[str] = []
    log = BuildLog(lambda _: None, phases.append)
    log.enter_phase(ADDING_PACKAGES, "adding libpq-dev")
    log.write(b"--- piwheels: preparing ---\n")
    assert phases == ["adding libpq-dev", "preparing"]
    log.enter_phase(ADDING_PACKAGES, f"adding {'x' * 500}")
    assert len(phases[-1]) == 100, "as long as a message may have it"


def test_phases_are_kept_with_their_durations_and_bounded() -> None:
    times = iter((10.0, 11.5, 15.0, 15.0))
    log = BuildLog(lambda _: None, lambda _: None, clock=lambda: next(times))
    log.enter_phase("fetching")
    log.enter_phase("adding packages", "adding libpq-dev")
    log.enter_phase("building")
    assert [(phase.name, phase.duration_s) for phase in log.phases] == [
        ("fetching", 1.5), ("adding libpq-dev", 3.5), ("building", 0.0),
    ]  # fmt: skip
    many = BuildLog(lambda _: None, lambda _: None)
    for number in range(3 * MAX_PHASES):
        many.enter_phase(f"phase {number}")
    assert len(many.phases) == MAX_PHASES
