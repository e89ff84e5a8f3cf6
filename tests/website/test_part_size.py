"""How many pages of projects are written at once."""

import pytest

from piwheels.db.page_digests import PageState
from piwheels.website.part_size import MAX_PROJECTS, PartSize


def states(count: int, releases: int = 1) -> list[PageState]:
    return [
        PageState(project=f"project-{number}", releases=releases, is_unchanged=False)
        for number in range(count)
    ]


def settled(second_per_project: float) -> PartSize:
    """The size after some parts that took so long."""
    size = PartSize()
    for _ in range(10):
        part = size.take(states(100))
        size.adapt([part], len(part) * second_per_project)
    return size


@pytest.mark.parametrize(
    ("second_per_project", "projects"), [(0.001, MAX_PROJECTS), (0.02, 15), (0.5, 5)]
)
def test_parts_take_the_same_time_on_fast_and_slow_machines(
    second_per_project: float, projects: int
) -> None:
    assert len(settled(second_per_project).take(states(100))) == projects


def test_projects_with_many_releases_make_small_parts() -> None:
    size = settled(0.001)
    assert len(size.take(states(100, releases=100))) == 6
    assert len(size.take(states(3, releases=10_000))) == 1
    assert size.take([]) == []


def test_a_single_page_does_not_tell_how_long_many_take() -> None:
    size = settled(0.02)
    size.adapt([states(1)], 0.25)
    assert len(size.take(states(100))) == 15
    size.adapt([states(1)], 0.001)
    assert len(size.take(states(100))) == 15
