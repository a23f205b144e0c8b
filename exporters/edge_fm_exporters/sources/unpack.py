"""Unpack named members of an untrusted zip archive, with limits."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from edge_fm_runtime.errors import ModelError

MAX_BYTES = 2**30
"""Largest sum of the uncompressed sizes."""

_MAX_RATIO = 200
_MAX_MEMBERS = 1000
_SMALL = 2**20


def unpack(path: Path, members: tuple[str, ...], folder: Path) -> list[Path]:
    """Write members of a zip archive below a folder and return their paths, in order.

    Raises:
        ModelError: the archive is damaged, too large, or a member's name leaves the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [archive.getinfo(name) for name in members]
            total = sum(info.file_size for info in infos)
            if len(infos) > _MAX_MEMBERS or total > MAX_BYTES:
                raise ModelError(
                    f"{path} unpacks to {total:,} bytes in {len(infos):,} files, expected at most {MAX_BYTES:,} in {_MAX_MEMBERS:,}"
                )
            if total > max(_SMALL, _MAX_RATIO * path.stat().st_size):
                raise ModelError(
                    f"{path} unpacks to {total:,} bytes, over {_MAX_RATIO} times its size, which no model does"
                )
            return [_unpack_one(path, archive, info, folder) for info in infos]
    except (OSError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is a damaged archive ({error}): download or copy it again") from error


def _unpack_one(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> Path:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in info.filename:
        raise ModelError(
            f"{path} has a member {info.filename!r}, which would be written elsewhere: it is not unpacked"
        )
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    return target
