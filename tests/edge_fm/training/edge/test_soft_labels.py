"""Soft labels of photographs: read from a file, and learnt beside a teacher."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import photographs
from edge_fm.datasets.photographs import PhotographFiles
from edge_fm.models import edge, runs
from edge_fm.models.runs import Run
from edge_fm.training.edge import checkpoint, distillation, epoch_data
from edge_fm.training.edge.epoch_data import EpochImages, Mix, TrainingImages
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli
from tests.edge_fm.pictures import photographs_table, small, write_recipe

NAMES = ("Dress", "Sandal", "Sneaker")
MAPPING = {"dress": ("Dress",), "shoes": ("Sandal", "Sneaker"), "hat": ()}
HEAD = "path,hat,dress,shoes\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of photographs, two of each kind."""
    rng = np.random.default_rng(0)
    for folder in MAPPING:
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number in range(2):
            pixels = rng.integers(0, 256, (60, 40), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / folder / f"{number}.png"), pixels)
    return tmp_path / "photos"


def test_answers_are_of_the_photographs_that_they_name(photos: Path, tmp_path: Path) -> None:
    """Soft labels are matched by path; a photograph without one has its folder's label."""
    file = tmp_path / "answers.csv"
    file.write_text(HEAD + "shoes/1.png,0.2,0.3,0.5\ndress/0.png,0.1,0.9,0\nelsewhere.png,1,0,0\n")
    answers = photographs.read_soft_labels(file, tuple(MAPPING))
    held_out = frozenset({"hat/0.png"})
    training, validation = photographs.read_photographs(
        PhotographFiles(folder=photos, mapping=MAPPING, held_out=held_out, soft_labels=answers), NAMES, 28
    )
    assert validation.soft_labels is None
    told = training.soft_labels
    assert told is not None
    assert training.folders == ("dress", "dress", "hat", "shoes", "shoes")
    assert np.allclose(
        told.probabilities, [[0.9, 0, 0.1], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0.3, 0.5, 0.2]], atol=1e-6
    )
    assert told.folder_classes.tolist() == [[True, False, False], [False, True, True], [False, False, False]]
    with pytest.raises(DataError, match=r"none of the 1 soft labels .* such as dress/0.png"):
        photographs.read_photographs(
            PhotographFiles(
                folder=photos,
                mapping=MAPPING,
                held_out=held_out,
                soft_labels={"hat/0.png": answers["dress/0.png"]},
            ),
            NAMES,
            28,
        )
    unasked, _ = photographs.read_photographs(
        PhotographFiles(folder=photos, mapping=MAPPING, held_out=held_out), NAMES, 28
    )
    assert unasked.soft_labels is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,hat,dress\n", "no column shoes"),
        ("", "no column path, dress, shoes, hat"),
        (HEAD + "a.png,0.5,0.6,0\n", r"line 2: a.png has \[.*\], expected probabilities"),
        (HEAD + "a.png,-0.5,0.5,1\n", r"line 2: a.png has \[.*\], expected probabilities"),
        (HEAD + "a.png,nan,0.5,0.5\n", r"line 2: a.png has \[.*\], expected probabilities"),
        (HEAD + "a.png,0.5,x,0.5\n", "cannot be read"),
        (HEAD + "a.png,0.5\n", "cannot be read"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    """A file that lacks a folder or holds no probabilities is refused with the line and what is wrong."""
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        photographs.read_soft_labels(tmp_path / "answers.csv", tuple(MAPPING))
    with pytest.raises(DataError, match="cannot be read"):
        photographs.read_soft_labels(tmp_path / "nowhere.csv", tuple(MAPPING))


def test_soft_labels_and_teacher_share_the_target() -> None:
    """Targets are half teacher, half soft labels shared among classes as the teacher does."""
    said = np.array([[0.1, 0.6, 0.3]], np.float32)
    teacher = distillation.Teacher("x", "", lambda images: np.repeat(said, len(images), axis=0))
    groups = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]], bool)
    shares = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.2, 0.3], [0, 0, 0]], np.float32)
    drawn = EpochImages(
        np.zeros((5, 28, 28, 1), np.float32),
        np.zeros((5, 3), np.float32),
        photographs.SoftLabels(shares, groups),
    )
    answers = teacher.targets(drawn)[:, 3:] ** distillation.TEMPERATURE
    answers /= answers.sum(axis=1, keepdims=True)
    third = 1 / 3
    told = np.array(
        [
            [1, 0, 0],
            [0, 2 / 3, 1 / 3],
            [third, third, third],
            [0.5 + 0.1, 0.4 * third + 0.1, 0.2 * third + 0.1],
            said[0],
        ]
    )
    assert np.allclose(answers, (told + said) / 2, atol=1e-3)
    assert np.allclose(teacher.targets(drawn)[:, 3:].sum(axis=1), 1, atol=1e-6)


def material(photos: Path, answers: dict[str, np.ndarray] | None) -> TrainingImages:
    """Return three pictures of a data set and the photographs."""
    training, _ = photographs.read_photographs(
        PhotographFiles(
            folder=photos, mapping=MAPPING, held_out=frozenset({"hat/0.png"}), soft_labels=answers
        ),
        NAMES,
        28,
    )
    few = datasets.Split(np.zeros((3, 28, 28, 1), np.uint8), np.zeros(3, np.int64))
    return TrainingImages(few, training, {}, 3)


def test_every_view_has_its_photographs_answer(photos: Path) -> None:
    """Each view has its photograph's soft label, mixed where mixup mixes; images are unchanged."""
    answers = {"dress/0.png": np.array([0.6, 0.3, 0.1], np.float32)}
    asked, unasked = material(photos, answers), material(photos, None)
    for blended in (0.0, 1.0):
        mix = Mix(views=2, mixup=blended, scenes=0, empties=0, variation=Variation(erase=0))
        drawn, plain = epoch_data.draw_epoch(asked, mix, 0, 0), epoch_data.draw_epoch(unasked, mix, 0, 0)
        assert np.array_equal(drawn.images, plain.images)
        assert np.array_equal(drawn.allowed, plain.allowed)
        assert plain.answers is None
        assert drawn.answers is not None
        shares, groups = drawn.answers.probabilities, drawn.answers.folder_classes
        assert np.array_equal(shares.any(axis=1), drawn.images.any(axis=(1, 2, 3)))
        assert np.count_nonzero(~shares.any(axis=1)) == 3
        known = shares[shares.any(axis=1)]
        assert len(known) == 10
        assert np.allclose(known.sum(axis=1), 1, atol=1e-6)
        plainly = shares.any(axis=1)
        plainly &= (shares[:, 2] == 0) | ~drawn.allowed.any(
            axis=1
        )  # no views of the one that was asked about
        may_be = np.asarray((shares > 0).astype(int) @ groups.astype(int)) > 0
        assert plainly.any()
        assert np.array_equal(may_be[plainly], drawn.allowed[plainly] > 0)
        alone = (known == answers["dress/0.png"]).all(axis=1)
        if not blended:
            assert alone.sum() == 2
            assert np.isin(known[~alone], (0, 1)).all()
        else:
            mixed = ~np.isin(known, (0, 1)).all(axis=1) & ~alone
            assert mixed.any()


@pytest.mark.train
def test_other_answers_are_another_training(photos: Path) -> None:
    """A training that was begun with other answers, or with none, is not gone on with."""
    network = edge.build(edge.Width(4, 4, 8), InputSpec(28, 28, 1), 3, "x")
    first = {"dress/0.png": np.array([0.6, 0.3, 0.1], np.float32)}
    second = {"dress/0.png": np.array([0.6, 0.1, 0.3], np.float32)}
    none, one, other = (
        checkpoint.fingerprint(network, material(photos, answers), {}) for answers in (None, first, second)
    )
    assert len({none, one, other}) == 3
    again = material(photos, dict(first))
    assert checkpoint.fingerprint(network, again, {}) == one
    assert again.photographs is not None
    without = replace(again, photographs=replace(again.photographs, soft_labels=None))
    assert checkpoint.fingerprint(network, without, {}) == none


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_training_takes_answers(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training reads, uses and records soft labels, and ends with other weights than without."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    (tmp_path / "answers.csv").write_text(HEAD + "dress/0.png,0.2,0.3,0.5\ndress/1.png,0.2,0.3,0.5\n")
    lines = [f"{folder} = {list(classes)!r}" for folder, classes in MAPPING.items()]
    (tmp_path / "map.toml").write_text("\n".join(["[photos]", *lines]))
    (tmp_path / "split.json").write_text('{"held_out": ["shoes/0.png"]}')
    hold_out = f"hold_out = {json.dumps(str(tmp_path / 'split.json'))}\n"
    taught = '[distillation]\nteachers = ["fashion"]\n'
    for name in ("told", "untold"):
        file = json.dumps(str(tmp_path / "answers.csv"))
        soft_labels = f"soft_labels = {file}" if name == "told" else ""
        recipe = write_recipe(tmp_path, taught + photographs_table(photos, hold_out + soft_labels))
        done = cli("train", recipe, "--epochs", 1, "-o", tmp_path / name)
        assert done.is_written, done.err
    runs_of = {name: Run.load(tmp_path / name) for name in ("told", "untold")}
    assert runs_of["told"].settings["soft_labels"] == str(tmp_path / "answers.csv")
    assert runs_of["untold"].settings["soft_labels"] is None
    load = import_keras().saving.load_model
    first, second = (load(tmp_path / name / runs.MODEL).get_weights() for name in runs_of)
    assert any((one != other).any() for one, other in zip(first, second, strict=True))


def test_soft_labels_need_a_teacher(cli: RunCli, tmp_path: Path) -> None:
    """Soft labels that would be passed over are refused, with what is missing."""
    table = "[photographs]\nfolder = 'x'\nclass_map = 'm.toml'\nsoft_labels = 'a.csv'"
    result = cli("train", write_recipe(tmp_path, table), "-o", tmp_path / "run")
    assert result.code == 2
    assert "soft_labels needs [distillation] teachers" in result.err
    assert not (tmp_path / "run").exists()
