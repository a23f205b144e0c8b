"""The cache of features: by content, safe against damage, bounded."""

import os
from pathlib import Path

import numpy as np
import pytest

from edge_fm.models.backbones import Backbone
from edge_fm.training.transfer import feature_cache
from edge_fm.training.transfer.feature_cache import FeatureCache
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.passport import Precision

BACKBONE = Backbone("transfer-small", b"a network", InputSpec(4, 4, 3), 5, Precision())
IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
FEATURES = np.linspace(-1, 1, 5).astype(np.float32)


def test_features_come_back_for_the_same_content(tmp_path: Path) -> None:
    """Another cache object returns them for an equal image, and nothing for another image or backbone."""
    FeatureCache(BACKBONE, tmp_path).put(IMAGE, FEATURES)
    again = FeatureCache(BACKBONE, tmp_path).get(IMAGE.copy())
    assert again is not None
    np.testing.assert_array_equal(again, FEATURES)
    assert FeatureCache(BACKBONE, tmp_path).get(IMAGE + 1) is None
    other = Backbone("transfer", b"another network", BACKBONE.spec, 5, Precision())
    assert FeatureCache(other, tmp_path).get(IMAGE) is None


@pytest.mark.parametrize("damage", ["cut", "longer", "changed", "empty"])
def test_a_damaged_file_counts_as_none(damage: str, tmp_path: Path) -> None:
    """Features whose file was cut, lengthened, changed or emptied are computed anew."""
    cache = FeatureCache(BACKBONE, tmp_path)
    cache.put(IMAGE, FEATURES)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    data = file.read_bytes()
    changed = {"cut": data[:-1], "longer": data + b"0", "changed": data[:-1] + b"0", "empty": b""}
    file.write_bytes(changed[damage])
    assert cache.get(IMAGE) is None
    cache.put(IMAGE, FEATURES)
    assert cache.get(IMAGE) is not None


def test_the_oldest_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, features are removed oldest first."""
    cache = FeatureCache(BACKBONE, tmp_path)
    for index in range(4):
        cache.put(IMAGE + index, FEATURES)
    size = 32 + 4 * len(FEATURES)
    for age, file in enumerate(sorted(path for path in tmp_path.rglob("*") if path.is_file())):
        os.utime(file, (age, age))
    newest = max(
        (path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime
    )
    monkeypatch.setattr(feature_cache, "MAX_BYTES", 2 * size)
    cache.trim()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 2
    assert newest in left


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """Features are computed each time where the cache cannot be written, or there is none."""
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        cache = FeatureCache(BACKBONE, folder)
        cache.put(IMAGE, FEATURES)
        cache.trim()
        assert cache.get(IMAGE) is None


def test_the_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CACHE_HOME is respected; a relative one is not, as its specification says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert feature_cache.default_folder() == tmp_path / "edge-fm" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert feature_cache.default_folder() == tmp_path / "home" / ".cache" / "edge-fm" / "features"
