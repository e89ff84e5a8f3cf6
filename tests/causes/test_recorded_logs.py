"""Every recorded log is judged right, also as other tools and terminals would have printed it."""

import pytest

from piwheels.debian_index import load_index
from tests.causes.replay import differences, form_differences, judged_recordings

PACKAGES = load_index("bookworm")
RECORDINGS = {each.name: each for each in judged_recordings()}
#: Of each variant one recording.
ONE_OF_EACH = sorted({name.rpartition("-")[0]: name for name in RECORDINGS}.values())


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_log_is_judged_right(name: str) -> None:
    assert not list(differences(RECORDINGS[name], RECORDINGS[name].log, PACKAGES))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_another_form_of_a_recorded_log_is_judged_alike(name: str) -> None:
    assert not form_differences(RECORDINGS[name], PACKAGES, long=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_long_form_of_a_recorded_log_is_judged_alike(name: str) -> None:
    assert not form_differences(RECORDINGS[name], PACKAGES, long=True)
