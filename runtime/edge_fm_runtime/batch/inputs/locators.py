"""Locate and open one input: a path, a URL, or a member of an archive at either.

A locator is a plain string, so that a million of them are a list of strings and cross to another process as
they are: a path or URL; a zip archive, a NUL and the member's name; or a tar archive, the member's name,
where its bytes begin and how many they are, with NULs between, so that nobody has to read through the archive
to find it.
"""

import os
import re
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, TypeAlias

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.errors import InputError, SourceError
from edge_fm_runtime.image.guard import Limits, OpenFile
from edge_fm_runtime.status import Status

if TYPE_CHECKING:
    import zipfile

    from edge_fm_runtime.batch.inputs.fetch import Fetch, Fetcher

_SEPARATOR = "\0"
_SPARSE = -1
_LIKE_AN_ESCAPE = re.compile(r"\\(?=x(?:[89a-f][0-9a-f]|5c))")
_ESCAPE = re.compile(rb"\\x([89a-f][0-9a-f]|5c)")
ARCHIVE_SUFFIXES = (".zip", ".tar")


def text(locator: str) -> str:
    r"""Return the path of a locator for a row, different for each path.

    Bytes that are not UTF-8 become `\xNN`; a backslash that such an escape could begin with becomes `\x5c`.
    """
    if _SEPARATOR in locator:
        locator = "/".join(locator.split(_SEPARATOR, 2)[:2])
    if "\\x" in locator:
        locator = _LIKE_AN_ESCAPE.sub(r"\\x5c", locator)
    return os.fsencode(locator).decode("utf-8", "backslashreplace")


def from_text(row_path: str) -> str:
    r"""Return the locator of a row's path; one from a table of an older version may have a bare `\xNN`."""
    if "\\x" not in row_path:
        return row_path
    raw = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), row_path.encode())
    locator = os.fsdecode(raw)
    return row_path if os.path.lexists(row_path) and not os.path.lexists(locator) else locator


def sort_key(locator: str) -> bytes:
    """Return the bytes that rows are sorted by."""
    return text(locator).encode()


def identity(locator: str) -> str:
    """Return a key that all spellings of one input share."""
    path, separator, member = locator.partition(_SEPARATOR)
    return (path if remote.is_url(path) else os.path.abspath(path)) + separator + member


def stamp(locator: str) -> tuple[int, int]:
    """Return size in bytes and modification time in ns; -1 if missing. A member has its archive's."""
    try:
        information = os.stat(locator.partition(_SEPARATOR)[0])
    except (OSError, ValueError):
        return -1, -1
    return information.st_size, information.st_mtime_ns


def is_archive(path: str) -> bool:
    """Return whether a path or URL is opened as an archive."""
    if remote.is_url(path):
        return path.lower().endswith(".tar")
    return path.lower().endswith(ARCHIVE_SUFFIXES) and os.path.isfile(path)


def members(path: str) -> Iterator[str]:
    """Yield the locators of an archive's files; names with a part that starts with a dot are left out.

    Raises:
        SourceError: the archive cannot be read.
    """
    import tarfile
    import zipfile

    try:
        if path.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in [entry.filename for entry in archive.infolist() if not entry.is_dir()]:
                    if not _hidden(name):
                        yield _SEPARATOR.join((path, name))
        else:
            with (
                remote.opened(path) if remote.is_url(path) else open(path, "rb") as file,
                tarfile.open(fileobj=file, mode="r:") as tar,
            ):
                found: dict[str, str] = {}  # of two members with one name, the last one counts, as for tar
                for entry in tar:
                    tar.members.clear()  # type: ignore[attr-defined]  # it keeps every entry otherwise
                    if entry.isfile() and not _hidden(entry.name):
                        size = _SPARSE if entry.issparse() else entry.size
                        place = path, entry.name, str(entry.offset_data), str(size)
                        found[entry.name] = _SEPARATOR.join(place)
                yield from found.values()
    except (OSError, zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{path} cannot be read as an archive ({error}): is it whole?") from error


def _hidden(name: str) -> bool:
    return any(
        (part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX" for part in name.split("/")
    )


class Opener:
    """Opens inputs, and keeps the last archive open for its next members."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._path = ""
        self._archive: zipfile.ZipFile | IO[bytes] | None = None
        self._fetcher: Fetcher | None = None

    def open(self, locator: str) -> "Opened":
        """Open an input.

        Raises:
            InputError: it cannot be opened.
        """
        path, separator, member = locator.partition(_SEPARATOR)
        if remote.is_url(path):
            if self._fetcher is None:
                from edge_fm_runtime.batch.inputs.fetch import Fetcher

                self._fetcher = Fetcher(self._limits)
            if not separator:
                return self._fetcher.begin(path)
            return self._fetcher.begin(path, self._extent(member))
        if not separator:
            return OpenFile(path, self._limits)
        return Member(self, path, member)

    def close(self) -> None:
        """Close what is open."""
        if self._archive is not None:
            self._archive.close()
        if self._fetcher is not None:
            self._fetcher.close()

    def read_member(self, path: str, member: str) -> bytes:
        """Return a member's bytes.

        Raises:
            InputError: it is missing, damaged, encrypted or too large.
        """
        if path != self._path:
            if self._archive is not None:
                self._archive.close()
            self._path, self._archive = path, None
        try:
            if _SEPARATOR in member:
                return self._cut_out(path, *self._extent(member))
            data = self._unzipped(path, member)
        except InputError:
            raise
        except (KeyError, FileNotFoundError):
            raise InputError(Status.MISSING, "the archive or its member does not exist any more") from None
        except RuntimeError as error:  # zipfile's word for an encrypted member
            raise InputError(Status.UNREADABLE, f"the member cannot be read: {error}") from None
        except Exception as error:  # noqa: BLE001  # a damaged archive raises whatever its decompressor raises
            raise InputError(Status.UNREADABLE, f"the member is damaged: {error}") from None
        if len(data) > self._limits.max_bytes:
            raise _too_large(self._limits)
        return data

    def _extent(self, member: str) -> tuple[int, int]:
        """Return offset and length of a tar member, in bytes."""
        start, size = map(int, member.split(_SEPARATOR)[1:])
        if size == _SPARSE:
            raise InputError(Status.UNSUPPORTED, "a sparse member: pack the archive without --sparse")
        if size > self._limits.max_bytes:
            raise _too_large(self._limits)
        return start, size

    def _cut_out(self, path: str, start: int, size: int) -> bytes:
        if self._archive is None:
            self._archive = open(path, "rb", buffering=0)  # noqa: SIM115  # kept open
        self._archive.seek(start)  # type: ignore[union-attr]
        data: bytes = self._archive.read(size)  # type: ignore[arg-type]
        if len(data) < size:
            raise InputError(Status.UNREADABLE, "the member is damaged: the archive ends within it")
        return data

    def _unzipped(self, path: str, name: str) -> bytes:
        import zipfile

        if self._archive is None:
            self._archive = zipfile.ZipFile(path)
        with self._archive.open(name) as file:  # type: ignore[union-attr]
            data: bytes = file.read(self._limits.max_bytes + 1)
        return data


class Member:
    """A member of an archive, opened when it is read."""

    def __init__(self, opener: Opener, path: str, member: str) -> None:
        self._opener, self._path, self._member = opener, path, member

    def read(self) -> bytes:
        """Return all bytes.

        Raises:
            InputError: it cannot be read.
        """
        return self._opener.read_member(self._path, self._member)

    def close(self) -> None:
        """Do nothing: nothing stays open."""


Opened: TypeAlias = "OpenFile | Member | Fetch"
"""An opened input, with `read` and `close`."""


def _too_large(limits: Limits) -> InputError:
    return InputError(Status.TOO_LARGE, f"more bytes than the limit of {limits.max_bytes:,}")
