"""Read the pictures of class folders once: check, hash and compare them, and leave out copies."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fm.datasets import near_duplicates
from edge_fm.datasets.class_folders import picture_files
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Preprocess
from edge_fm_runtime.errors import DataError, InputError
from edge_fm_runtime.image import guard, preprocess
from edge_fm_runtime.status import Status

_T = TypeVar("_T")

Unreadable = tuple[tuple[str, str], ...]
"""(path, reason) of each file that was left out."""

_MIN_SIDE = 8
_THREADS = 4
_SMALL = InputSpec(near_duplicates.SIDE, near_duplicates.SIDE, 1)
_STRETCHED = Preprocess(fit=Fit.STRETCH)
_EXAMPLES = 3


@dataclass(frozen=True)
class FoundPicture:
    """A picture of a class folder.

    Attributes:
        path: its file.
        label: index of its class.
        digest: SHA-256 of the file.
        grey: (256,) uint8 grey levels at 16x16.
        is_large: whether it is compared as a photograph; see `near_duplicates`.
    """

    path: Path
    label: int
    digest: bytes
    grey: NDArray[np.uint8]
    is_large: bool


def find_pictures(
    classes: Mapping[str, Sequence[Path]], *, keep_copies: bool = False
) -> tuple[list[FoundPicture], Unreadable]:
    """Return the pictures of class folders, each content once, and the files that were left out.

    Of files with the same bytes in one class the first by path is taken; of those in two classes none, as
    one of the labels is wrong.

    Args:
        classes: folders of each class, in the order of the labels.
        keep_copies: whether files with the same bytes are all taken.

    Raises:
        DataError: a folder cannot be read, or a class has no picture left.
    """
    files = [
        (file, label)
        for label, folders in enumerate(classes.values())
        for folder in folders
        for file in picture_files(folder)
    ]
    unreadable: list[tuple[str, str]] = []
    by_digest: dict[bytes, list[FoundPicture]] = {}
    for (path, label), found in zip(files, map_in_threads(_read, [path for path, _ in files]), strict=True):
        if isinstance(found, InputError):
            unreadable.append((str(path), f"{found.status}: {found}"))
        else:
            by_digest.setdefault(found[0], []).append(FoundPicture(path, label, *found))
    pictures = []
    for copies in by_digest.values():
        if keep_copies:
            pictures += copies
            continue
        first = copies[0]
        other = next((copy for copy in copies if copy.label != first.label), None)
        if other is None:
            pictures.append(first)
        left_out = copies[1:] if other is None else copies
        unreadable += [(str(copy.path), _copy_reason(copy, first, other)) for copy in left_out]
    _require_pictures(classes, pictures, unreadable)
    return pictures, tuple(sorted(unreadable))


def _copy_reason(copy: FoundPicture, first: FoundPicture, other: FoundPicture | None) -> str:
    if other is None:
        return f"duplicate of {first.path}"
    twin = other if copy.label == first.label else first
    return f"the same picture is in another class, as {twin.path}: keep the right one"


def map_in_threads(function: Callable[[Path], _T], paths: Sequence[Path]) -> Iterator[_T]:
    """Yield the result of a function for each path, in order; decoders run beside each other."""
    pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
    try:
        yield from pool.map(function, paths)
    finally:
        pool.shutdown(cancel_futures=True)


def _read(path: Path) -> tuple[bytes, NDArray[np.uint8], bool] | InputError:
    """Return the SHA-256 of a file, its grey levels at 16x16, and whether it is large."""
    try:
        data = guard.read_file(path)
        header = guard.check(data)
        side = min(header.width, header.height)
        if side < _MIN_SIDE:
            return InputError(
                Status.UNSUPPORTED,
                f"{header.width} x {header.height} pixels, expected at least {_MIN_SIDE} on each side",
            )
        grey = preprocess.tensor_from_bytes(data, _SMALL, _STRETCHED)
    except InputError as error:
        return error
    return hashlib.sha256(data).digest(), grey.reshape(-1), side >= near_duplicates.LARGE_PIXELS


def _require_pictures(
    classes: Mapping[str, Sequence[Path]],
    pictures: Sequence[FoundPicture],
    unreadable: Sequence[tuple[str, str]],
) -> None:
    """Refuse classes without a picture.

    Raises:
        DataError: a class has none.
    """
    seen = {picture.label for picture in pictures}
    for label, (name, folders) in enumerate(classes.items()):
        if label in seen:
            continue
        inside = [
            (path, why) for path, why in unreadable if any(Path(path).is_relative_to(f) for f in folders)
        ]
        reasons = "; ".join(f"{path} ({why})" for path, why in inside[:_EXAMPLES])
        found = f"; {len(inside)} left out, such as {reasons}" if inside else ""
        raise DataError(
            f"{folders[0]} has no readable picture of {name}{found}: add some, or remove the folder"
        )


def group_pictures(pictures: Sequence[FoundPicture]) -> NDArray[np.int64]:
    """Return the group of near duplicates of each picture, numbered from 0; no group is of two classes."""
    labels = np.array([picture.label for picture in pictures], np.int64)
    groups = np.empty(len(pictures), np.int64)
    start = 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen = [pictures[int(member)] for member in members]
        found = near_duplicates.group(
            np.stack([picture.grey for picture in chosen]),
            np.array([picture.is_large for picture in chosen]),
            [picture.path for picture in chosen],
        )
        groups[members] = found + start
        start += int(found.max()) + 1
    return groups
