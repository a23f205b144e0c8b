"""Zip archives and `.npz` files that are refused by what their directory says."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.untrusted.npz import read_arrays
from edge_fm_runtime.untrusted.zip_directory import open_zip

LIMIT = 2**30


def zipped(members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def entry_changed(archive: bytes, offset: int, value: int, form: str = "<L") -> bytes:
    """Return an archive with a number of each directory entry changed."""
    data = bytearray(archive)
    place = data.find(b"PK\1\2")
    while place >= 0:
        struct.pack_into(form, data, place + offset, value)
        place = data.find(b"PK\1\2", place + 4)
    return bytes(data)


def doubled() -> bytes:
    """Return an archive with a name twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    return buffer.getvalue()


GOOD = zipped({"a": b"1" * 100, "b": b"2" * 100})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no zip archive"),
        (GOOD[:-20], "no zip archive"),
        (entry_changed(GOOD, 24, 2**31), "bytes in all"),
        (zipped({"a": bytes(100 * 2**20)}), "over 200 times as many"),
        (entry_changed(GOOD, 42, 0), "overlap"),
        (entry_changed(GOOD, 8, 1, "<H"), "encrypted"),
        (zipped({str(number): b"" for number in range(10_001)}), "members, the limit is"),
        (zipped({f"{number:05}": b"" for number in range(50_000)} | {"x" * 65_000: b""}), "limit is"),
        (GOOD[:-22] + b"PK\6\7" + bytes(16) + GOOD[-22:], "zip64"),
    ],
    ids=["nothing", "cut", "large", "bomb", "overlap", "encrypted", "members", "directory", "zip64"],
)
def test_archives_beyond_the_limits_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    """Each is refused from its directory, as a path and as an open file."""
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        with pytest.raises(zipfile.BadZipFile, match=message):
            open_zip(source, LIMIT)


def test_a_name_that_occurs_twice_is_refused() -> None:
    """Two readers could take two different members of one name."""
    with pytest.raises(zipfile.BadZipFile, match="same name"):
        open_zip(io.BytesIO(doubled()), LIMIT)


def test_a_plain_archive_opens(tmp_path: Path) -> None:
    """Its members are read as they were written."""
    path = tmp_path / "a.zip"
    path.write_bytes(GOOD)
    with open_zip(path, LIMIT) as archive:
        assert archive.read("b") == b"2" * 100


def saved(**arrays: np.ndarray) -> io.BytesIO:
    """Return an `.npz` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    buffer.seek(0)
    return buffer


def test_arrays_come_back() -> None:
    """Arrays of numbers and text come back, all or those that are named."""
    numbers, words = np.arange(6.0).reshape(2, 3), np.array(["a", "bc"])
    found = read_arrays(saved(numbers=numbers, words=words))
    assert np.array_equal(found["numbers"], numbers)
    assert np.array_equal(found["words"], words)
    assert list(read_arrays(saved(numbers=numbers, words=words), ("words",))) == ["words"]
    with pytest.raises(KeyError, match="no array 'other'"):
        read_arrays(saved(numbers=numbers), ("other",))


def test_an_array_that_contradicts_its_header_is_refused() -> None:
    """A header that promises a terabyte, and one that promises objects, are refused before the values."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + b"\n"
    lying = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(9)
    with pytest.raises(ValueError, match="its header says 1,099,511,627"):
        read_arrays(io.BytesIO(zipped({"x.npy": lying})))
    with pytest.raises(ValueError, match="holds objects"):
        read_arrays(saved(x=np.array([{}], object)))
