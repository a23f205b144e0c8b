"""Sorting of images by label, and the gallery."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.batch import sort, sort_undo
from edge_fm_runtime.batch.gallery import write as write_gallery
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image.opencv import cv2
from tests.kinds.photo import smallest_webp
from tests.pictures import encoded
from tests.runtime.labelling import run


@pytest.fixture
def labelled(model: Model, folder: Path, tmp_path: Path) -> Path:
    """Return the labels of the folder."""
    run(model, tmp_path / "labels.csv", folder)
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("way", list(sort.Way))
def test_sorting_and_undoing(labelled: Path, folder: Path, tmp_path: Path, way: sort.Way) -> None:
    """Every answered file gets into its folder, none is overwritten, and undo leaves what was before."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    into = tmp_path / "sorted"
    plan = sort.plan(labelled, into, way, 0.97)
    placements = plan.placements
    sort.carry_out(placements, into, way, lambda *_: None)
    counts = {child.name: len(list(child.iterdir())) for child in into.iterdir() if child.is_dir()}
    assert counts == {"light": 13, "_review": 10, "_unknown": 1}
    assert (plan.skipped, plan.done) == (1, 0)
    assert (into / "light" / "01-2.png").exists()
    assert all((before[p.source] == p.target.read_bytes()) for p in placements)
    assert sort_undo.undo(into) == sort_undo.UndoResult(undone=24, kept=(), torn=0)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(into.iterdir()) == []


def test_undo_without_a_journal(tmp_path: Path) -> None:
    """There is nothing to undo, and that is said."""
    with pytest.raises(SourceError, match="nothing was sorted"):
        sort_undo.undo(tmp_path)


@pytest.mark.parametrize(
    ("label_", "name"),
    [("T-shirt/top", "T-shirt_top"), ("..", "__"), (".a", "_a"), ("a\\b:c", "a_b_c"), ("x\n", "x_")],
)
def test_folder_names_are_safe(label_: str, name: str) -> None:
    """A label cannot leave its folder."""
    assert sort.folder_name(label_) == name


def test_the_gallery_holds_every_row_and_no_markup(labelled: Path, tmp_path: Path) -> None:
    """All rows are in the page as data; a file name with a script in it stays text; nothing is fetched."""
    assert write_gallery(labelled, tmp_path / "g.html", lambda *_: None) == 25
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    entries = json.loads(data)
    assert len(entries) == 25
    assert sum(bool(entry[5]) for entry in entries) == 24
    assert any("<script>" in entry[0] for entry in entries)
    assert page.count("<script") == 2
    assert not re.search(r"https?://", page)


def test_thumbnails_show_what_was_labelled(model: Model, tmp_path: Path) -> None:
    """Transparent parts are white as the page, colours keep their order, and the smallest WebP is shown."""
    (tmp_path / "in").mkdir()
    image = np.zeros((28, 28, 4), np.uint8)
    image[:, 14:] = (0, 0, 255, 255)  # red in OpenCV's order
    (tmp_path / "in" / "a.png").write_bytes(encoded(image))
    (tmp_path / "in" / "b.webp").write_bytes(smallest_webp())
    run(model, tmp_path / "labels.csv", tmp_path / "in")
    write_gallery(tmp_path / "labels.csv", tmp_path / "g.html", lambda *_: None)
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    first, second = (base64.b64decode(entry[5]) for entry in json.loads(data))
    shown = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert np.abs(shown[:, :26] - 255).mean() < 6
    assert np.abs(shown[:, -26:] - [0, 0, 255]).mean() < 6
    assert second.startswith(b"\xff\xd8\xff")
