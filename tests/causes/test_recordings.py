"""The recorded logs are complete, fail as they are meant to, and show nothing of a machine."""

import re

import pytest

from tests.causes.log_variants import deciding_line
from tests.causes.recordings import FOLDER, Recording, recordings
from tests.causes.situations import SITUATIONS

MAX_BYTES = 1_500_000

RECORDINGS = {recording.name: recording for recording in recordings()}


def test_recordings_are_of_known_variants() -> None:
    known = {
        f"{situation.folder}/{variant.name}-{python}"
        for situation in SITUATIONS
        for variant in situation.variants
        for python in variant.pythons
    }
    files = {
        str(path.relative_to(FOLDER)).removesuffix(".log.gz") for path in FOLDER.rglob("*.log.gz")
    }
    assert set(RECORDINGS) == files <= known
    assert [situation.number for situation in SITUATIONS] == list(range(1, 32))


def test_recordings_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MAX_BYTES


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_failed_as_it_was_meant_to(name: str) -> None:
    recording = RECORDINGS[name]
    if recording.expected is None:
        assert recording.facts.outcome == "built"
    else:
        assert recording.facts.outcome != "built"
        assert_line_is_in_log(recording)


def assert_line_is_in_log(recording: Recording) -> None:
    if recording.expected is not None and recording.expected.lines:
        found = deciding_line(recording.log, recording.expected)
        assert found is not None, recording.log.decode(errors="replace")[-3000:]


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_shows_nothing_of_a_machine(name: str) -> None:
    recording = RECORDINGS[name]
    text = recording.log.decode(errors="replace") + repr(recording.facts)
    assert not re.search(r"/root/|/home/|/tmp/wt|(?<!/build)/tmp/tmp\w{8}|/\.pyenv|/work/", text)
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", text)) <= {"40000"}
