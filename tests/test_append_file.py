"""Files whose bytes reach the system as they are written."""

import errno
from pathlib import Path

import pytest

from piwheels.append_file import AppendFile
from tests.full_disk import file_size_limit


def test_written_data_is_there_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old ")
    with AppendFile(path) as file:
        file.write(b"new")
        assert file.size_bytes == 7
        assert path.read_bytes() == b"old new"


@pytest.mark.parametrize("size_bytes", [10, 1_000_000])
def test_a_full_disk_fails_the_write_and_not_the_close(size_bytes: int) -> None:
    file = AppendFile(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left") as caught:
        file.write(b"x" * size_bytes)
    assert caught.value.errno == errno.ENOSPC
    file.close()
    file.close()


def test_a_record_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with file_size_limit(1000), AppendFile(path) as file:
        file.write(b"x" * 900)
        with pytest.raises(OSError, match="File too large"):
            file.write(b"y" * 900)
        assert path.read_bytes() == b"x" * 900
        file.write(b"z" * 100)
    assert path.read_bytes() == b"x" * 900 + b"z" * 100


def test_a_closed_file_rejects_writes(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / "file")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
