"""Class names of label files, in every form that they come in."""

import json
import os
from pathlib import Path

import pytest

from edge_fm_exporters.sources import label_files
from edge_fm_runtime.errors import DataError


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("labels.txt", "cat\ndog\n\nbird\n", ("cat", "dog", "bird")),
        ("labels.txt", "0 cat\n1 dog\n", ("cat", "dog")),
        ("labels.txt", "0: cat\n1: dog\n", ("cat", "dog")),
        ("labels.txt", "0\tcat\r\n1\tbig dog\r\n", ("cat", "big dog")),
        ("labels.txt", "0 cat\n2 dog\n", ("0 cat", "2 dog")),
        ("labels.txt", "1 cat\n0 dog\n", ("1 cat", "0 dog")),
        ("labels.txt", "0 cat\ndog\n", ("0 cat", "dog")),
        ("labels.txt", "0\n1\n2\n", ("0", "1", "2")),
        ("labels.txt", "\ufeffcat\ndog\n", ("cat", "dog")),
        ("labels.txt", "cat, dog,bird\n", ("cat", "dog", "bird")),
        ("labels.json", '["cat", "dog"]', ("cat", "dog")),
        ("labels.json", '{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ("class_indices.json", '{"dog": 1, "cat": 0}', ("cat", "dog")),
        ("class_names.txt", "고양이\n개\n", ("고양이", "개")),
    ],
)
def test_every_form_is_read(tmp_path: Path, name: str, text: str, names: tuple[str, ...]) -> None:
    """Text with or without numbers, lists and dictionaries give the names; others' numbers stay."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "model.keras").touch()
    assert label_files.find_label_file(tmp_path / "model.keras") == tmp_path / name
    assert label_files.read_label_file(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("labels.txt", b"", "is empty"),
        ("labels.txt", b"a\nb\na\n", "'a' twice"),
        ("labels.txt", b"\xff\xfe\x00", "no UTF-8 text"),
        ("labels.txt", b"x\n" * 600_000, "over 1,048,576 bytes"),
        ("labels.json", b"{", "holds no class names"),
        ("labels.json", b"[1, 2]", "no name for each"),
        ("labels.json", b'{"0": "cat", "2": "dog"}', "no name for each"),
        ("labels.json", b'{"cat": 0, "dog": 0}', "same index"),
        ("labels.json", b'{"cat": true, "dog": false}', "holds no class names"),
        ("labels.json", b'"cat"', "neither a list"),
        ("labels.json", b"[" * 100_000, "holds no class names"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """A file without class names is refused with its fault, and with what to give instead."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=says):
        label_files.read_label_file(tmp_path / name)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A named pipe is neither found beside a model nor read, which would wait for ever."""
    os.mkfifo(tmp_path / "labels.txt")
    assert label_files.find_label_file(tmp_path / "model.keras") is None
    with pytest.raises(DataError, match="no regular file"):
        label_files.parse_labels(str(tmp_path / "labels.txt"))


def test_names_given_inline(tmp_path: Path) -> None:
    """A list of many names is no path; one name alone must be a file."""
    many = tuple(f"a class with a long name {number}" for number in range(46))
    assert label_files.parse_labels(",".join(many)) == many
    (tmp_path / "names.json").write_text(json.dumps(many))
    assert label_files.parse_labels(str(tmp_path / "names.json")) == many
    with pytest.raises(DataError, match=r"no file 'lables\.txt'"):
        label_files.parse_labels("lables.txt")


@pytest.mark.parametrize("lines", ["0.5 mm\n1.2 mm\n2.8 mm\n", "9" * 5000 + " cat\nb\n"])
def test_numbers_that_are_part_of_the_names(lines: str, tmp_path: Path) -> None:
    """A decimal number is no index, and one of thousands of digits is no fault."""
    (tmp_path / "labels.txt").write_text(lines)
    assert label_files.read_label_file(tmp_path / "labels.txt") == tuple(lines.splitlines())
