"""The phases of a build, as its log shows them."""

from piwheels.builder.build_log import ADDING_PACKAGES, BuildLog


def test_packages_are_named_and_the_next_phase_follows() -> None:
    phases: list[str] = []
    log = BuildLog(lambda _: None, phases.append)
    log.enter_phase(ADDING_PACKAGES, "adding libpq-dev")
    log.write(b"--- piwheels: preparing ---\n")
    assert phases == ["adding libpq-dev", "preparing"]
    log.enter_phase(ADDING_PACKAGES, f"adding {'x' * 500}")
    assert len(phases[-1]) == 100, "as long as a message may have it"
