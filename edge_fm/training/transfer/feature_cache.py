"""Keep features on disk by content, so that an image goes through a backbone once.

`$XDG_CACHE_HOME/edge-fm/features/BACKBONE/IMAGE`, in ~/.cache without that variable, holds the SHA-256 of the
features and the features as little-endian float32. IMAGE is the SHA-256 of the input tensor, which a
picture's bytes and the preprocessing decide; BACKBONE that of the backbone. A file with another length or
content counts as none.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm.models.backbones import Backbone

MAX_BYTES = 256 * 2**20
"""Most that the features of all backbones may take; the oldest are removed first."""

_DIGEST = 32
_FLOAT = np.dtype("<f4")


def default_folder() -> Path | None:
    """Return the folder of the cache, None where the user has no home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "edge-fm" / "features"
    try:
        return Path.home() / ".cache" / "edge-fm" / "features"
    except RuntimeError:
        return None


class FeatureCache:
    """Features of one backbone; nothing is kept where the folder cannot be written."""

    def __init__(self, backbone: Backbone, folder: Path | None) -> None:
        self._count = backbone.features
        self._root = folder
        self._folder = folder / backbone.sha256[:32] if folder is not None else None
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                self._folder = None

    def get(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return the features of an image, None if there are none or the file is damaged."""
        if self._folder is None:
            return None
        size = _DIGEST + self._count * _FLOAT.itemsize
        try:
            with (self._folder / _name(image)).open("rb") as file:
                data = file.read(size + 1)
        except OSError:
            return None
        if len(data) != size or hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            return None
        return np.frombuffer(data, _FLOAT, offset=_DIGEST).astype(np.float32)

    def put(self, image: NDArray[np.uint8], features: NDArray[np.float32]) -> None:
        """Keep the features of an image."""
        if self._folder is None:
            return
        data = features.astype(_FLOAT).tobytes()
        name = _name(image)
        partial = self._folder / f"{name}.{os.getpid()}.partial"
        try:
            partial.write_bytes(hashlib.sha256(data).digest() + data)
            partial.replace(self._folder / name)  # not synchronised: the digest finds what a crash left
        except OSError:
            self._folder = None  # a full disk: the next would fail too

    def trim(self) -> None:
        """Remove the oldest files until all backbones together are within `MAX_BYTES`."""
        if self._folder is None or self._root is None:
            return
        entries = []
        for file in self._root.glob("*/*"):
            with suppress(OSError):
                found = file.stat()
                entries.append((found.st_mtime, found.st_size, file))
        excess = sum(size for _, size, _ in entries) - MAX_BYTES
        for _, size, file in sorted(entries):
            if excess <= 0:
                return
            with suppress(OSError):
                file.unlink()
                excess -= size


def _name(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
