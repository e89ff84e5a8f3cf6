"""The recorded logs are complete, fail as they are meant to, and show nothing of a machine."""

import re
from pathlib import Path

from tests.causes.log_variants import deciding_line
from tests.causes.recordings import FOLDER, Recording, recordings
from tests.causes.situations import SITUATIONS

MAX_BYTES = 1_500_000

RECORDINGS = {recording.name: recording for recording in recordings()}


def test_every_variant_is_recorded_on_its_pythons() -> None:
    wanted = {
        f"{situation.folder}/{variant.name}-{python}"
        for situation in SITUATIONS
        for variant in situation.variants
        for python in variant.pythons
    }
    files = {
        str(path.relative_to(FOLDER)).removesuffix(".log.gz") for path in FOLDER.rglob("*.log.gz")
    }
    assert set(RECORDINGS) == files == wanted
    assert [situation.number for situation in SITUATIONS] == list(range(1, 32))


def test_recordings_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MAX_BYTES


def test_recordings_failed_as_they_were_meant_to() -> None:
    unlike = [name for name, recording in RECORDINGS.items() if not _is_as_expected(recording)]
    assert not unlike


def _is_as_expected(recording: Recording) -> bool:
    expected, built = recording.expected, recording.facts.outcome == "built"
    if expected is None:
        return built
    if built:  # and rejected by the master
        return expected.failure_class == "wrong-version"
    if recording.facts.status is None:  # the builder knows without a log
        return recording.facts.builder_class in expected.failure_class.split("|")
    if not expected.lines or recording.facts.limit:
        return True
    return deciding_line(recording.log, expected) is not None


def test_recordings_show_nothing_of_a_machine(repository: Path) -> None:
    places = "|".join(re.escape(f"{place}/") for place in (repository, Path.home()))
    private = re.compile(
        rf"{places}|/\.pyenv|(?<!/build)/(?:home/|tmp/tmp\w{{8}})|127\.0\.0\.1:(?!40000)"
    )
    found = {
        name: text
        for name, recording in RECORDINGS.items()
        for text in private.findall(f"{recording.log.decode(errors='replace')}{recording.facts}")
    }
    assert not found
