"""Where one input is: a path, or a member of an archive.

A locator is a plain string, so that a million of them are a list of strings and cross to another process as they
are: a path, or an archive's path, a NUL and the member's name.
"""

import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from edge_fm_runtime.errors import InputError, SourceError
from edge_fm_runtime.guard import Limits, OpenFile
from edge_fm_runtime.status import Status

if TYPE_CHECKING:
    import tarfile
    import zipfile

_SEPARATOR = "\0"
ARCHIVE_SUFFIXES = (".zip", ".tar")


def text(locator: str) -> str:
    r"""Return a locator as it stands in a row: an archive reads as a folder; bytes that are no UTF-8 as `\xNN`."""
    return os.fsencode(locator.replace(_SEPARATOR, "/", 1)).decode("utf-8", "backslashreplace")


def from_text(row_path: str) -> str:
    r"""Return the path that a row's text stands for, also where bytes that are no UTF-8 are written as `\xNN`."""
    if os.path.lexists(row_path) or "\\x" not in row_path:
        return row_path
    parts = row_path.split("\\x")
    raw = parts[0].encode()
    for part in parts[1:]:
        try:
            raw += bytes([int(part[:2], 16)]) + part[2:].encode()
        except ValueError:
            raw += b"\\x" + part.encode()
    return os.fsdecode(raw)


def sort_key(locator: str) -> bytes:
    """Return the bytes that rows are sorted by."""
    return text(locator).encode()


def identity(locator: str) -> str:
    """Return what two spellings of one input share."""
    path, separator, member = locator.partition(_SEPARATOR)
    return os.path.abspath(path) + separator + member


def stamp(locator: str) -> tuple[int, int]:
    """Return size and modification time in nanoseconds, of the archive for a member; -1 for what is not there."""
    try:
        information = os.stat(locator.partition(_SEPARATOR)[0])
    except (OSError, ValueError):
        return -1, -1
    return information.st_size, information.st_mtime_ns


def is_archive(path: str) -> bool:
    """Whether a path named by the user is opened as an archive."""
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
                names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        else:
            with tarfile.open(path, "r:") as tar:
                names = [entry.name for entry in tar if entry.isfile()]
    except (OSError, zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{path} cannot be read as an archive ({error}): is it whole?") from error
    for name in names:
        if not any(
            (part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX"
            for part in name.split("/")
        ):
            yield f"{path}{_SEPARATOR}{name}"


class Opener:
    """Opens inputs; the last archive stays open, so that its members cost no new listing."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._path = ""
        self._archive: zipfile.ZipFile | tarfile.TarFile | None = None

    def open(self, locator: str) -> "OpenFile | Member":
        """Return an input, opened.

        Raises:
            InputError: it cannot be opened.
        """
        path, separator, member = locator.partition(_SEPARATOR)
        if not separator:
            return OpenFile(path, self._limits)
        return Member(self, path, member)

    def read_member(self, path: str, name: str) -> bytes:
        """Return a member's bytes.

        Raises:
            InputError: it is missing, damaged, encrypted or too large.
        """
        try:
            with self._find(path, name) as file:
                data = file.read(self._limits.max_bytes + 1)
        except (KeyError, FileNotFoundError):
            raise InputError(Status.MISSING, "the archive or its member does not exist any more") from None
        except RuntimeError as error:  # zipfile's word for an encrypted member
            raise InputError(Status.UNREADABLE, f"the member cannot be read: {error}") from None
        except Exception as error:  # noqa: BLE001  # a damaged archive raises whatever its decompressor raises
            raise InputError(Status.UNREADABLE, f"the member is damaged: {error}") from None
        if len(data) > self._limits.max_bytes:
            raise InputError(Status.TOO_LARGE, f"more bytes than the limit of {self._limits.max_bytes:,}")
        return data

    def _find(self, path: str, name: str) -> IO[bytes]:
        import tarfile
        import zipfile

        if path != self._path or self._archive is None:
            if self._archive is not None:
                self._archive.close()
            is_zip = path.lower().endswith(".zip")
            self._archive = zipfile.ZipFile(path) if is_zip else tarfile.open(path, "r:")  # noqa: SIM115  # kept open
            self._path = path
        if isinstance(self._archive, zipfile.ZipFile):
            return self._archive.open(name)
        extracted = self._archive.extractfile(name)
        if extracted is None:
            raise KeyError(name)
        return extracted


class Member:
    """A file of an archive, opened when it is read."""

    def __init__(self, opener: Opener, path: str, name: str) -> None:
        self._opener, self._path, self._name = opener, path, name

    def read(self) -> bytes:
        """Return all bytes.

        Raises:
            InputError: it cannot be read.
        """
        return self._opener.read_member(self._path, self._name)

    def close(self) -> None:
        """Nothing to close."""
