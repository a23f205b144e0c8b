"""Open zip archives that a stranger may have made, within limits that their directory is held to.

`zipfile` never gives more bytes of a member than the directory says, and checks them; so the sizes in the
directory are what an archive can cost. The directory itself is limited before it is read.
"""

import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from edge_fm_runtime.untrusted.regular_file import open_regular

MAX_MEMBERS = 10_000

_MAX_DIRECTORY_BYTES = 4 * 2**20
_MAX_RATIO = 200
"""Largest size of all members in sizes of the archive; deflate reaches 1,032 on zeros, images 10."""

_FREE_BYTES = 64 * 2**20
"""Size of all members below which the ratio does not matter."""

_END, _ZIP64 = b"PK\5\6", b"PK\6\7"
_END_BYTES, _LOCATOR_BYTES, _COMMENT_BYTES = 22, 20, 2**16
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 1


def open_zip(source: Path | BinaryIO, max_bytes: int) -> zipfile.ZipFile:
    """Return an opened archive whose members have at most `max_bytes` in all.

    Args:
        source: path of a regular file, or a file that is open for reading; the caller closes the latter.
        max_bytes: limit on the sum of the members' sizes.

    Raises:
        zipfile.BadZipFile: it is no zip archive, or a limit is exceeded.
        OSError: it cannot be read.
    """
    if isinstance(source, Path):
        descriptor, _ = open_regular(source)
        with os.fdopen(descriptor, "rb") as file:
            _check_directory_size(file)
    else:
        _check_directory_size(source)
    try:
        archive = zipfile.ZipFile(source)
    except (NotImplementedError, ValueError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error
    try:
        _check_members(archive, max_bytes)
    except BaseException:
        archive.close()
        raise
    return archive


def _check_directory_size(file: BinaryIO) -> None:
    """Refuse a directory whose entries would take more memory than any model's.

    Raises:
        zipfile.BadZipFile: there is none, or it is too large.
    """
    size = file.seek(0, os.SEEK_END)
    tail_bytes = min(size, _END_BYTES + _LOCATOR_BYTES + _COMMENT_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    file.seek(0)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise zipfile.BadZipFile("it is no zip archive")
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    if tail[max(0, end - _LOCATOR_BYTES) : end].startswith(_ZIP64):
        raise zipfile.BadZipFile("it is a zip64 archive, which is for more than 4 GB or 65,535 members")
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile(
            f"its directory has {directory_bytes:,} bytes, the limit is {_MAX_DIRECTORY_BYTES:,}"
        )


def _check_members(archive: zipfile.ZipFile, max_bytes: int) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise zipfile.BadZipFile(f"it has {len(entries):,} members, the limit is {MAX_MEMBERS:,}")
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if total > max_bytes:
        raise zipfile.BadZipFile(f"its members have {total:,} bytes in all, the limit is {max_bytes:,}")
    if total > max(_FREE_BYTES, _MAX_RATIO * packed):
        raise zipfile.BadZipFile(f"its {packed:,} bytes unpack to {total:,}, over {_MAX_RATIO} times as many")
    if len({entry.filename for entry in entries}) < len(entries):
        raise zipfile.BadZipFile("two of its members have the same name")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise zipfile.BadZipFile("a member is encrypted")
    places = sorted((entry.header_offset, entry.compress_size) for entry in entries)
    ends = [start + _LOCAL_HEADER_BYTES + size for start, size in places]
    if any(end > start for end, (start, _) in zip(ends, places[1:], strict=False)):
        raise zipfile.BadZipFile("its members overlap")
