"""Photographs and networks that several tests of trainings share."""

from pathlib import Path

import pytest

from edge_fm.models import edge
from edge_fm_runtime.image.opencv import cv2
from tests.edge_fm.pictures import MAP, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of photographs, five for each label, and a broken file."""
    for kind in ("dress", "shoes", "hat"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(5):
            cv2.imwrite(str(tmp_path / "photos" / kind / f"{number}.jpg"), picture(number))
    (tmp_path / "photos" / "hat" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (tmp_path / "map.toml").write_text(MAP)
    return tmp_path / "photos"


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `edge-nano` one convolution and one residual block, which compile sooner."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(8, 8, 16, middle_blocks=0))
