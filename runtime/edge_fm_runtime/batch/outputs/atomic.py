"""Write a file so that it appears under its name only when it is whole."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_fm_runtime.errors import OutputError

_PARTIAL = ".partial"


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    Raises:
        OutputError: it cannot be written.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Nothing of it is left: make room or choose another "
            "output, and give the same command again"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def sweep(path: Path) -> None:
    """Remove partial files of killed runs beside `path`; the caller holds its lock."""
    mine = re.compile(re.escape(f".{path.name}.") + r"[^.]*" + re.escape(_PARTIAL))
    with os.scandir(path.parent) as entries:
        left = [entry.path for entry in entries if mine.fullmatch(entry.name)]
    for name in left:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
