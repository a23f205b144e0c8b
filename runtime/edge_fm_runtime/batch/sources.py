"""Which files are inputs.

A folder gives every regular file below it whose name, and whose folders' names, do not start with a dot. A
link to a file counts as that file under the link's own name; a link to a folder is not followed, so a loop
of links cannot trap a run. A path is one input however often it is named.
"""

import os
from collections.abc import Iterable, Sequence

from edge_fm_runtime.batch.rows import path_text
from edge_fm_runtime.errors import SourceError


def find(inputs: Sequence[str], *, outputs: Iterable[str] = ()) -> list[str]:
    """Return the paths of all inputs, sorted by the bytes of their row's text.

    Args:
        inputs: files and folders as the user named them.
        outputs: files that this run writes, which are never inputs.

    Raises:
        SourceError: something named is not there, or nothing was found.
    """
    for name in inputs:
        if not os.path.lexists(name):
            raise SourceError(f"there is no file or folder {name!r}: check the name")
    own = {os.path.abspath(path) for path in outputs}
    found: dict[str, str] = {}
    for name in inputs:
        for path in _walk(name) if os.path.isdir(name) else [name]:
            absolute = os.path.abspath(path)
            if absolute not in own:
                found.setdefault(absolute, path)
    if not found:
        raise SourceError(f"there are no files in {', '.join(map(repr, inputs))}: nothing to label")
    return sorted(found.values(), key=lambda path: path_text(path).encode())


def _walk(folder: str) -> Iterable[str]:
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
