"""Unpack named members of an untrusted zip archive, with limits."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from edge_fm_exporters.sources.archive_limits import MAX_SOURCE_BYTES
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.untrusted.zip_directory import open_zip

_MAX_RATIO = 200
_SMALL = 2**20


def unpack(path: Path, members: tuple[str, ...], folder: Path) -> list[Path]:
    """Write members of a zip archive below a folder and return their paths, in order.

    Raises:
        ModelError: the archive is damaged, too large, or a member's name leaves the folder.
    """
    try:
        with open_zip(path, MAX_SOURCE_BYTES) as archive:
            infos = [archive.getinfo(name) for name in members]
            _check_ratio(path, sum(info.file_size for info in infos))
            return [_unpack_one(path, archive, info, folder) for info in infos]
    except ModelError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds for damaged archives
        raise ModelError(
            f"{path} is no whole archive within the limits ({error}): download it again"
        ) from error


def _check_ratio(path: Path, total: int) -> None:
    if total > max(_SMALL, _MAX_RATIO * path.stat().st_size):
        raise ModelError(
            f"{path} unpacks to {total:,} bytes, over {_MAX_RATIO} times its size, which no model does"
        )


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
