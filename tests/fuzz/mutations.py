"""Damaged input for hypothesis: seeds that are cut, repeated, spliced, and mixed with odd tokens."""

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz.target import MAX_INPUT_BYTES

#: What parsers fail on: numbers without a value, deep nesting, characters that encodings lack.
TOKENS = (
    b"\0", b"\xff", b"\x80", b"\x9d", b"\xc2\x9d", b"\xed\xa0\x80", b"\\ud800", b"\\u0000",
    b"\xe2\x80\xae", b"\xd9\xa3", b"\xc2\xb2", b"\x1b[2J", b"\x1b]0;", b"NaN", b"Infinity", b"-inf",
    b"1e999", b"-0", b"--5", b"-1", b"0", b"9" * 20, b"9" * 5000, b"null", b"true", b"[]", b"{}",
    b"[", b"{", b"(", b"<", b"<!", b"<!--", b"<![", b'{"a":', b"((", b'"', b"'", b"\\", b"/", b"../",
    b" ", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b",", b":", b";", b"=", b"#", b"%", b"&#", b"@",
    b"$a", b"${A}", b"\x81\xa4type", b"\x91", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8,
)  # fmt: skip
_REPEATS = (1, 1, 1, 2, 30, 2000, 50_000)

_positions = st.integers(0, 1 << 16)
_insertions: st.SearchStrategy[bytes] = st.builds(
    lambda token, count: token * count,
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
    st.sampled_from(_REPEATS),
)


@st.composite
def _edits(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes]) -> bytes:
    place = draw(_positions) % (len(data) + 1)
    length = draw(st.sampled_from((0, 1, 4, 30)))
    kind = draw(st.sampled_from(("insert", "replace", "repeat", "cut", "splice")))
    if kind == "insert":
        return data[:place] + draw(_insertions) + data[place:]
    if kind == "replace":
        return data[:place] + draw(_insertions) + data[place + length :]
    if kind == "repeat":
        part = data[place : place + length] * draw(st.sampled_from(_REPEATS))
        return data[:place] + part + data[place:]
    if kind == "cut":
        return data[:place] + data[place + length * draw(st.sampled_from((1, 30))) :]
    other = draw(st.sampled_from(seeds))
    return data[:place] + other[draw(_positions) % (len(other) + 1) :]


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed after a few edits, or any bytes."""
    data = draw(st.one_of(st.sampled_from(seeds), st.binary(max_size=100)))
    for _ in range(draw(st.integers(0, 4))):
        data = draw(_edits(data, seeds))[:MAX_INPUT_BYTES]
    return data
