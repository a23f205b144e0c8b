"""Which files are inputs.

A folder gives every regular file below it whose name, and whose folders' names, do not start with a dot. A
link to a file counts as that file under the link's own name; a link to a folder is not followed, so a loop
of links cannot trap a run. A path is one input however often it is named. `.zip` and `.tar` archives that are
named themselves are read without unpacking; found within a folder they are files like any other.
"""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from edge_fm_runtime.batch import locators
from edge_fm_runtime.errors import SourceError

_STDIN = "-"
_LIST_PREFIX = "@"


def find(inputs: Sequence[str], *, outputs: Iterable[str] = (), may_be_empty: bool = False) -> list[str]:
    """Return the locators of all inputs, sorted by the bytes of their row's text.

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
        for locator in _expand(name)
        if os.path.basename(locator) not in own_names or os.path.abspath(locator) not in own
    ]
    if not found and not may_be_empty:
        raise SourceError(f"there are no files in {', '.join(map(repr, inputs))}: nothing to label")
    if len(inputs) > 1 or not os.path.isdir(inputs[0]):  # a single folder names nothing twice
        found = list({locators.identity(locator): locator for locator in reversed(found)}.values())
    found.sort(key=locators.sort_key)
    return found


def _expand(name: str) -> Iterator[str]:
    """Yield the locators that one argument names."""
    if name == _STDIN:
        yield from _listed(sys.stdin.buffer.read(), "standard input")
    elif name.startswith(_LIST_PREFIX) and not os.path.lexists(name):
        try:
            with open(name[1:], "rb") as file:
                names = file.read()
        except OSError as error:
            raise SourceError(f"the list {name[1:]!r} cannot be read: {error.strerror}") from error
        yield from _listed(names, name[1:])
    elif os.path.isdir(name):
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
            yield from _expand(match)
    else:
        raise SourceError(f"there is no file or folder {name!r}: check the name")


def _listed(names: bytes, origin: str) -> Iterator[str]:
    """Yield what a list names: a line each, or separated by NUL. A listed file that is gone gets its row."""
    separator = b"\0" if b"\0" in names else b"\n"
    listed = [os.fsdecode(name.removesuffix(b"\r")) for name in names.split(separator)]
    if not any(listed):
        raise SourceError(f"{origin} names no file: expected one on each line")
    for name in filter(None, listed):
        if os.path.isdir(name):
            yield from _walk(name)
        else:
            yield name


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a folder; a folder that cannot be read is yielded itself, to get its row."""
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
