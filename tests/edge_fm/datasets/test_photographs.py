"""Photographs with partial labels: map, split file, mixup."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets import photographs
from edge_fm.datasets.photographs import PhotographFiles
from edge_fm.training.edge import epoch_data
from edge_fm.training.edge.epoch_data import Mix, TrainingImages
from edge_fm_runtime.artifact.input_spec import InputSpec, Preprocess
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image import preprocess
from tests.conftest import ROOT
from tests.edge_fm.pictures import picture

SPEC = InputSpec(28, 28, 1)
NAMES = ("Dress", "Sandal", "Sneaker")


def test_photographs_are_split_as_in_the_file(photos: Path) -> None:
    """Held-out files are for validation only, tensors equal the runtime's, broken files are named."""
    mapping = photographs.read_map(photos.parent / "map.toml", "photos", NAMES)
    held_out = frozenset({"dress/0.jpg", "shoes/3.jpg"})
    training, validation = photographs.read_photographs(
        PhotographFiles(folder=photos, mapping=mapping, held_out=held_out), NAMES, 28
    )
    assert (len(training.contents), len(validation.contents)) == (13, 2)
    assert validation.allowed.tolist() == [[True, False, False], [False, True, True]]
    assert not training.allowed[training.folders.index("hat")].any()
    expected = preprocess.tensor_from_bytes((photos / "dress" / "0.jpg").read_bytes(), SPEC, Preprocess())
    assert (validation.tensors[0] == expected).all()
    assert validation.contents[0].shape == (112, 84)
    assert [Path(path).name for path, _ in training.unreadable] == ["broken.jpg"]


def test_the_committed_split_holds_out_people_not_images() -> None:
    """The split file holds out all photographs of a fifth of the people."""
    split = json.loads((ROOT / "benchmarks" / "photo_split.json").read_text())
    held_out = photographs.read_held_out(ROOT / "benchmarks" / "photo_split.json")
    assert len(held_out) == len(split["held_out"]) == len(set(split["held_out"]))
    assert len(split["people"]) == round(0.2 * 307)
    assert {path.split("/")[0] for path in held_out} == {"train", "validation"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[other]\na = []", r"no table \[photos\]"),
        ('[photos]\ndress = "Dress"', "not a list"),
        ('[photos]\ndress = ["Gown"]', "Gown"),
        ("[photos", "cannot be read"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message names the mistake."""
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(DataError, match=message):
        photographs.read_map(tmp_path / "map.toml", "photos", NAMES)


def test_photographs_without_map_entry_or_file_are_refused(photos: Path) -> None:
    """A folder missing from the map, or a missing held-out file, is refused by name."""
    mapping = photographs.read_map(photos.parent / "map.toml", "photos", NAMES)
    with pytest.raises(DataError, match="nowhere"):
        photographs.read_photographs(
            PhotographFiles(folder=photos, mapping=mapping, held_out=frozenset({"nowhere.jpg"})), NAMES, 28
        )
    lacking = PhotographFiles(folder=photos, mapping={"dress": (), "shoes": ()}, held_out=frozenset())
    with pytest.raises(DataError, match="hat"):
        photographs.read_photographs(lacking, NAMES, 28)
    (photos.parent / "split.json").write_text("{}")
    with pytest.raises(DataError, match="held_out"):
        photographs.read_held_out(photos.parent / "split.json")


def test_mixup_allows_the_classes_of_both_views() -> None:
    """A mixed image lies between two views; views of no class mix only with one another."""
    contents = tuple(picture(seed) for seed in range(12))
    allowed = np.repeat(np.concatenate([np.eye(3, dtype=bool)[:2], np.zeros((1, 3), bool)]), 4, axis=0)
    taken = photographs.Photographs(
        contents=contents,
        tensors=np.zeros((12, 28, 28, 1), np.uint8),
        allowed=allowed,
        folders=("",) * 12,
        names=("",) * 12,
    )
    nothing = datasets.Split(np.zeros((0, 28, 28, 1), np.uint8), np.zeros(0, np.int64))
    material = TrainingImages(nothing, taken, {}, 3)
    drawn = {
        share: epoch_data.draw_epoch(material, Mix(views=1, mixup=share, scenes=0, empties=0), 0, 0)
        for share in (0.0, 1.0)
    }
    views, classes = drawn[0.0].images, drawn[0.0].allowed
    assert (classes.sum(axis=1) <= 1).all()
    images, may_be = drawn[1.0].images, drawn[1.0].allowed
    assert not may_be[:, 2].any()
    assert (~may_be.any(axis=1)).sum() == 4
    both = np.flatnonzero(may_be.sum(axis=1) == 2)
    assert both.size
    for index in both:
        first, second = views[classes[:, 0] > 0], views[classes[:, 1] > 0]
        low, high = (edge_of(first[:, None], second[None]) for edge_of in (np.minimum, np.maximum))
        between = ((low <= images[index]) & (images[index] <= high)).all(axis=(2, 3, 4))
        assert between.any()
        assert not (images[index] == views).all(axis=(1, 2, 3)).any()
