"""What is noise in real logs, and which rows stand for it: pure, and the same however a log grows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.widgets.log_buffer import LogBuffer
from piwheels.tui.widgets.log_content import LogContent
from piwheels.tui.widgets.log_folds import MIN_FOLD_LINES, Fold, LogFolds
from piwheels.tui.widgets.log_marks import (
    ERROR_PATTERN,
    NOISE,
    WARNING_PATTERN,
    LineKind,
    LogMarks,
    line_kind,
)
from piwheels.tui.widgets.log_times import LineTimes, format_elapsed, split_at_arrivals
from tests.causes.recordings import Recording, recordings

#: A line of each kind, and one of its kind again.
LINES = ["Collecting a", "gcc -c a.c", "creating x.egg-info", "Processing ./a.tar.gz", "error: no"]
PIECES = st.lists(
    st.lists(st.sampled_from([*LINES, "Collecting b"]), max_size=9).map("\n".join), max_size=12
)


def folds_of(content: LogContent) -> list[Fold]:
    return list(content.folds.after(0))


@given(PIECES)
def test_folds_of_a_growing_log_are_those_of_a_complete_one(pieces: list[str]) -> None:
    growing = LogContent(LogBuffer(max_lines=25), folding=True)
    for piece in pieces:
        growing.append(piece.encode(), ())
    buffer = growing.buffer
    marks = LogMarks()
    marks.update(buffer, buffer.first_line_number)
    folds = LogFolds(marks)
    folds.update(buffer, buffer.first_line_number)
    expected = list(folds.after(0))
    assert folds_of(growing) == expected
    assert all(fold.end - fold.start >= 1 for fold in expected)
    assert all(one.end < other.start for one, other in pairwise(expected))
    assert growing.marks.errors == marks.errors
    hidden = sum(fold.end - fold.start - 1 for fold in expected)
    assert growing.rows.rows == len(buffer) - hidden
    for row in range(growing.rows.rows):
        number, _ = growing.rows.line_at(row)
        assert growing.rows.row_of(number) == row
        fold = growing.folds.at(number)
        assert fold is None or fold.start == number


def test_a_run_that_was_opened_stays_open_while_it_grows() -> None:
    content = LogContent(LogBuffer(), folding=True)
    content.append(b"Collecting a\n" * 9, ())
    content.unfold(3)
    for _ in range(9):
        content.append(b"Collecting b\n", ())
    assert folds_of(content) == []
    assert content.rows.rows == 18
    content.append(b"gcc\n" + b"Collecting c\n" * 5, ())
    assert folds_of(content) == [Fold(19, 24)]
    assert content.folds.label(Fold(19, 24)) == "5 lines of fetching"


@pytest.mark.parametrize("recording", list(recordings()), ids=lambda it: it.name)
def test_in_real_logs_noise_is_folded_and_never_what_counts(recording: Recording) -> None:
    content = LogContent(LogBuffer(), folding=True)
    content.append(recording.log, ())
    buffer = content.buffer
    for fold in folds_of(content):
        assert fold.end - fold.start >= MIN_FOLD_LINES
        for line in buffer.lines_from(fold.start)[: fold.end - fold.start]:
            assert line_kind(line) in NOISE
            assert not line.startswith("--- piwheels: ")
    reason = recording.facts.reason
    if reason.startswith("Running command "):  # a signal killed what pip ran: no line says more
        return
    numbers = [n for n in range(len(buffer)) if reason and reason in buffer[n]]
    assert all(content.folds.at(number) is None for number in numbers)


def test_most_lines_of_pip_in_real_logs_are_noise() -> None:
    said_by_pip = [
        line
        for recording in recordings()
        for line in recording.log.decode(errors="replace").splitlines()
        if line.strip().startswith(("Collecting", "Downloading", "Installing", "Successfully"))
    ]
    noise = [line for line in said_by_pip if line_kind(line) in NOISE]
    assert len(said_by_pip) > 500
    assert len(noise) > 0.95 * len(said_by_pip)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Looking in indexes: http://127.0.0.1:3141/simple", LineKind.FETCHING),
        ("  Downloading setuptools-84.2.1-py3-none-any.whl (876 kB)", LineKind.FETCHING),
        ("  Installing build dependencies: started", LineKind.PIP),
        ("  writing manifest file 'sample.egg-info/SOURCES.txt'", LineKind.UNPACKING),
        ("copying errors.py -> build/lib", LineKind.UNPACKING),
        ("  Installing build dependencies: finished with status 'done'", LineKind.PIP),
        ("  Installing build dependencies: finished with status 'error'", LineKind.OTHER),
        ("building 'psycopg2._psycopg' extension", LineKind.OTHER),
        ("running build_ext", LineKind.OTHER),
        ("--- piwheels: building ---", LineKind.OTHER),
        ("  warning: no files found matching 'x'", LineKind.WARNING),
        ("writing it failed: error: no space", LineKind.ERROR),
    ],
)
def test_kinds_of_lines(line: str, kind: LineKind) -> None:
    assert line_kind(line) is kind


@pytest.mark.parametrize("recording", list(recordings()), ids=lambda it: it.name)
def test_lines_without_a_telling_word_report_nothing(recording: Recording) -> None:
    for line in recording.log.decode(errors="replace").splitlines():
        reports = ERROR_PATTERN.search(line) or WARNING_PATTERN.search(line)
        assert bool(reports) == (line_kind(line) in {LineKind.ERROR, LineKind.WARNING})


# --- times ---


def test_times_are_of_the_line_that_began_then_and_unknown_before() -> None:
    times = LineTimes()
    assert times.at(3) is None
    times.add(2, 0.5)
    times.add(2, 0.7)
    times.add(10, 9.0)
    assert [times.at(number) for number in (0, 2, 9, 10, 99)] == [None, 0.5, 0.5, 9.0, 9.0]
    for number in range(11, 50_000):
        times.add(number, float(number))
    assert len(times._numbers) <= 10_000


@given(st.binary(max_size=30), st.lists(st.integers(-9, 40), max_size=6).map(sorted))
def test_a_chunk_is_split_without_a_loss(data: bytes, places: list[int]) -> None:
    pieces = split_at_arrivals(data, [(place, float(place)) for place in places])
    assert b"".join(piece for piece, _ in pieces) == data


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0"), (40.24, "40.2"), (599.9, "599.9"), (600.0, "10:00"), (3751.0, "1:02:31")],
)
def test_elapsed_times(seconds: float, text: str) -> None:
    assert format_elapsed(seconds) == text
