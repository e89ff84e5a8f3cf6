"""A log's bytes become lines that are safe to draw, wherever the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from piwheels.sanitize import strip_terminal_codes
from piwheels.tui.widgets.log_buffer import (
    MAX_LINE_CHARACTERS,
    LogBuffer,
)
from piwheels.tui.widgets.log_folds import LogFolds
from piwheels.tui.widgets.log_marks import LineKind, LogMarks, line_kind
from piwheels.tui.widgets.log_rows import RowIndex, wrap_offsets
from piwheels.tui.widgets.log_search import compile_search

PIECES = st.lists(
    st.one_of(
        st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
        st.binary(max_size=12),
        st.sampled_from(
            [b"\n", b"\r", b"\r\n", b"\x1b[31m", b"\x1b]0;t\x07", b"\x1b[", b"\b", b"\t"]
        ),
    ),
    max_size=30,
)


def lines_of(text: LogBuffer) -> list[str]:
    return list(text.lines_from(text.first_line_number))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31merror\x1b[0m: x", "error: x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1bP1$r0m\x1b\\text\x1b(B", "text"),
        ("\x9b31mtext", "text"),
        ("10%\r50%\r100%", "100%"),
        ("50%\r\x1b[K", "50%"),
        ("text\r", "text"),
        ("-\b\\\b|\bdone", "done"),
        ("a\tb", "a       b"),
        ("bell\x07 nul\x00", "bell\ufffd nul\ufffd"),
        ("\x1b]unended", "unended"),
        ("evil\u202etxt.exe", "evil\ufffdtxt.exe"),
    ],
)
def test_escape_sequences_and_controls_are_removed(raw: str, shown: str) -> None:
    assert strip_terminal_codes(raw) == shown


@given(PIECES)
def test_chunk_boundaries_make_no_difference(pieces: list[bytes]) -> None:
    whole, cut = LogBuffer(), LogBuffer()
    whole.append(b"".join(pieces) + b"\n")
    for piece in [*pieces, b"\n"]:
        cut.append(piece)
    assert lines_of(cut) == lines_of(whole)


@given(PIECES)
def test_no_line_contains_control_characters(pieces: list[bytes]) -> None:
    text = LogBuffer()
    for piece in pieces:
        text.append(piece)
    for line in lines_of(text):
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in line)


@given(PIECES)
def test_changes_are_reported(pieces: list[bytes]) -> None:
    text, copy = LogBuffer(), list[str]()
    for piece in pieces:
        changed = text.append(piece)
        copy[changed:] = text.lines_from(changed)
        assert copy == lines_of(text)


def test_a_progress_bar_takes_one_line_and_no_memory() -> None:
    text = LogBuffer()
    for percent in range(20_000):
        text.append(b"\r%5d of 20000 [======>      ]" % percent)
    assert lines_of(text) == ["19999 of 20000 [======>      ]"]
    assert len(text._raw) < 100


def test_an_endless_line_is_truncated() -> None:
    text = LogBuffer()
    for _ in range(100):
        text.append(b"." * 1000)
    assert max(map(len, lines_of(text))) <= MAX_LINE_CHARACTERS
    assert sum(map(len, lines_of(text))) == 100_000
    text.append(b"\n" + b"x" * 50_000 + b"\nend\n")
    assert max(map(len, lines_of(text))) <= MAX_LINE_CHARACTERS


def test_memory_is_limited_by_lines_and_characters() -> None:
    text = LogBuffer(max_lines=100)
    for number in range(1000):
        text.append(b"line %d\n" % number)
    assert len(text) <= 100
    assert text.next_line_number == 1000
    assert text[text.first_line_number] == f"line {text.first_line_number}"
    text = LogBuffer(max_characters=10_000)
    for _ in range(100):
        text.append(b"x" * 999 + b"\n")
    assert sum(map(len, lines_of(text))) <= 10_000
    assert text.next_line_number == 100


@pytest.mark.parametrize(
    "line",
    [
        "foo.c:12:3: fatal error: ffi.h: No such file or directory",
        "foo.c:12:3: error: unknown type",
        "  error: subprocess-exited-with-error",
        "error[E0433]: failed to resolve",
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'x'",
        "numpy.distutils.NotFoundError: No lapack",
        "make: *** [Makefile:3: all] Error 2",
        "CMake Error at CMakeLists.txt:3",
        "collect2: error: ld returned 1 exit status",
        "exit code: 1",
    ],
)
def test_lines_of_failures_are_recognized(line: str) -> None:
    assert line_kind(line) is LineKind.ERROR


@pytest.mark.parametrize(
    "line", ["0 errors", "gcc -Werror=format -o error.o", "copying errors.py", "exit code: 0"]
)
def test_other_lines_are_not_recognized_as_failures(line: str) -> None:
    assert line_kind(line) is not LineKind.ERROR


def test_lower_case_also_finds_upper_case() -> None:
    assert compile_search("error").search("An ERROR")
    assert not compile_search("Error").search("an error")
    assert compile_search("a.b[").search("xa.b[x")
    assert not compile_search("a.b").search("axb")


@given(st.text(alphabet="ab日本\u0301 ", max_size=60), st.integers(2, 12))
def test_wrapping_loses_no_cell_and_overflows_no_row(line: str, width: int) -> None:
    cuts = wrap_offsets(line, width)
    assert cuts[0] == 0
    assert cuts[-1] == cell_len(line)
    assert all(0 <= end - start <= width for start, end in pairwise(cuts))


@given(st.lists(st.text(alphabet="ab日\n", max_size=40), max_size=20), st.integers(2, 9))
def test_rows_of_a_growing_wrapped_log_match_a_complete_one(pieces: list[str], width: int) -> None:
    text = LogBuffer(max_lines=12)
    folds = LogFolds(LogMarks(), folding=False)
    growing = RowIndex(folds, width)
    for piece in pieces:
        growing.update(text, text.append(piece.encode()))
    at_once = RowIndex(folds, width)
    at_once.update(text, text.first_line_number)
    assert growing.rows == at_once.rows
    for row in range(growing.rows):
        assert growing.line_at(row) == at_once.line_at(row)
        number, part = growing.line_at(row)
        assert growing.row_of(number) + part == row
