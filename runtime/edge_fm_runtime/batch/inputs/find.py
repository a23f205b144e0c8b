"""Find the input files of a run.

A folder gives every regular file below it whose name, and whose folders' names, do not start with a dot. A
link to a file counts as that file under the link's own name; a link to a folder is not followed, so a loop
of links cannot trap a run. A path is one input however often it is named. `.zip` and `.tar` archives that are
named themselves are read without unpacking; found within a folder they are files like any other. A URL
such as `s3://bucket/photos` is a file, a folder, a tar archive or a pattern in the same way.
"""

import glob
import os
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from edge_fm_runtime.batch.inputs import locators, remote
from edge_fm_runtime.errors import SourceError

_STDIN = "-"
_LIST_PREFIX = "@"
_LIST_BYTES = 2**20
_OPEN_FILES = ("/dev/", "/proc/")


def find(inputs: Sequence[str], *, outputs: Iterable[str] = (), may_be_empty: bool = False) -> list[str]:
    """Return the locators of all inputs, sorted by the bytes of their rows' paths.

    Args:
        inputs: files, folders, archives, glob patterns, `@list.txt` or `-` as the user named them.
        outputs: files that this run writes, which are never inputs.
        may_be_empty: whether finding nothing is fine, as for a folder that is watched.

    Raises:
        SourceError: something named is not there, or nothing was found.
    """
    own = {os.path.abspath(path) for path in outputs}
    own_names = {os.path.basename(path) for path in own}
    found = [
        locator
        for name in inputs
        for locator in expand(name)
        if os.path.basename(locator) not in own_names or os.path.abspath(locator) not in own
    ]
    if not found and not may_be_empty:
        raise SourceError(f"there are no files in {', '.join(map(repr, inputs))}: nothing to label")
    if len(inputs) > 1 or not os.path.isdir(inputs[0]):  # a single folder names nothing twice
        found = list({locators.identity(locator): locator for locator in reversed(found)}.values())
    found.sort(key=locators.sort_key)
    return found


def expand(name: str) -> Iterator[str]:
    """Yield the locators of one argument, unordered, with duplicates.

    Raises:
        SourceError: it is not there, or cannot be read.
    """
    if name == _STDIN:
        if sys.stdin is None:
            raise SourceError("standard input is closed: pipe the paths into it, one on each line")
        _refuse_endless(sys.stdin.buffer, "standard input")
        yield from _listed(sys.stdin.buffer, "standard input")
    elif name.startswith(_LIST_PREFIX) and not os.path.lexists(name):
        with _open_list(name[1:]) as file:
            if not remote.is_url(name[1:]):
                _refuse_endless(file, name[1:])
            yield from _listed(file, name[1:])
    elif remote.is_url(name):
        yield from _afar(name)
    else:
        yield from _here(name)


def _afar(url: str) -> Iterator[str]:
    if remote.has_magic(url):
        for match in remote.glob(url):
            yield from _afar(match)
    elif locators.is_archive(url):
        yield from locators.members(url)
    else:
        yield from remote.find(url)


def _here(name: str) -> Iterator[str]:
    if os.path.isdir(name):
        yield from _walk(name)
    elif locators.is_archive(name):
        yield from locators.members(name)
    elif os.path.lexists(name):
        yield name
    elif glob.has_magic(name):
        matches = glob.glob(name, recursive=True)
        if not matches:
            raise SourceError(f"nothing matches {name!r}: check the pattern")
        for match in matches:
            yield from _here(match)
    else:
        raise SourceError(f"there is no file or folder {name!r}: check the name")


def _open_list(name: str) -> IO[bytes]:
    if remote.is_url(name):
        return remote.opened(name)
    try:
        # A named pipe without a writer would be waited for; one of the shell's has its writer already.
        if stat.S_ISFIFO(os.stat(name).st_mode) and not name.startswith(_OPEN_FILES):
            raise SourceError(
                f"the list {name!r} is a pipe: give - and redirect it, as in - < {shlex.quote(name)}"
            )
        return open(name, "rb")
    except OSError as error:
        raise SourceError(f"the list {name!r:.300} cannot be read: {error.strerror}") from error


def _listed(file: IO[bytes], origin: str) -> Iterator[str]:
    """Yield the entries of a list, separated by newline or NUL; a missing file is yielded too."""
    anything = False
    try:
        for raw in _split(file):
            name = os.fsdecode(raw)
            if not name:
                continue
            anything = True
            if not remote.is_url(name) and os.path.isdir(name):
                yield from _walk(name)
            else:
                yield name
    except (OSError, ValueError) as error:
        raise SourceError(f"{origin} cannot be read as a list of paths: {error}") from error
    if not anything:
        raise SourceError(f"{origin} names no file: expected one on each line")


def _refuse_endless(file: IO[bytes], origin: str) -> None:
    """Raise SourceError for a device that is no terminal, such as `/dev/zero`, which never ends."""
    try:
        is_device = stat.S_ISCHR(os.fstat(file.fileno()).st_mode)
    except OSError:
        return  # no file of the system is behind it
    if is_device and not file.isatty():
        raise SourceError(f"{origin} is a device and names no file: expected one on each line")


def _split(file: IO[bytes]) -> Iterator[bytes]:
    """Split at NUL if the beginning of the list has one, else at newlines."""
    rest = file.read(_LIST_BYTES)
    separator = b"\0" if b"\0" in rest else b"\n"
    while block := file.read(_LIST_BYTES):
        *whole, rest = (rest + block).split(separator)
        if len(rest) > _LIST_BYTES:
            raise ValueError(f"a line of more than {_LIST_BYTES:,} bytes")
        for name in whole:
            yield name.removesuffix(b"\r")
    for name in rest.split(separator):
        yield name.removesuffix(b"\r")


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a folder; a folder that cannot be read is yielded itself."""
    try:
        with os.scandir(folder) as entries:
            listed = list(entries)
    except OSError:
        yield folder
        return
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
            yield entry.path
