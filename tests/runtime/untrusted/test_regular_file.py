"""Files that are opened only if they are regular and not too large."""

import os
from pathlib import Path

import pytest

from edge_fm_runtime.untrusted.regular_file import (
    MAX_LINE_BYTES,
    RefusedFileError,
    open_file,
    read_bytes,
    read_lines,
    read_text,
)


def irregular(folder: Path) -> dict[str, Path]:
    """Return a folder, a pipe and a device by the words that an error has for them."""
    os.mkfifo(folder / "pipe")
    return {"a folder": folder, "a named pipe": folder / "pipe", "a device": Path("/dev/zero")}


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A folder, a pipe without a writer and an endless device are refused at once, by their kind."""
    for kind, path in irregular(tmp_path).items():
        with pytest.raises(RefusedFileError, match=f"it is {kind}, expected a regular file"):
            read_bytes(path, 10)
        with pytest.raises(RefusedFileError, match=kind):
            open_file(path)


def test_a_size_limit_holds_before_and_while_reading(tmp_path: Path) -> None:
    """A file over the limit is refused, also one that has more bytes than its size says."""
    sparse = tmp_path / "large"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RefusedFileError, match="the limit is 1,000"):
        read_bytes(sparse, 1000)
    assert Path("/proc/self/status").stat().st_size == 0
    with pytest.raises(RefusedFileError, match="the limit is 10"):
        read_bytes("/proc/self/status", 10)


def test_a_missing_file_and_a_name_with_a_nul_are_errors_of_the_system(tmp_path: Path) -> None:
    """Both are an OSError, which every caller turns into its own message."""
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "gone", 10)
    with pytest.raises(OSError, match="null"):
        read_bytes("a\0b", 10)


def test_text_is_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    """A byte order mark and carriage returns are no part of the text."""
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc")
    assert read_text(path, 100) == "a\nb\nc"


def test_a_line_has_a_limit(tmp_path: Path) -> None:
    """Lines keep their ends; one without an end is read no further than the limit."""
    path = tmp_path / "lines"
    path.write_bytes(b"one\r\ntwo\n\xff")
    assert list(read_lines(path, errors="replace")) == ["one\r\n", "two\n", "\ufffd"]
    with path.open("wb") as file:
        file.truncate(4 * MAX_LINE_BYTES)
    with pytest.raises(RefusedFileError, match="a line of over"):
        list(read_lines(path))
