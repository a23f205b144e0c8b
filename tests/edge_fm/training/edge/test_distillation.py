"""Losses of partial labels and of teachers, and students that learn from them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.models import runs
from edge_fm.training.edge import distillation, loop, losses, train
from edge_fm.training.edge import settings as settings_module
from edge_fm.training.edge.epoch_data import EpochImages
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from tests.conftest import RunCli
from tests.edge_fm.pictures import small, training_sources, write_recipe


@pytest.mark.train
def test_the_loss_asks_only_for_what_is_known() -> None:
    """A shoe split over two allowed classes costs as little as a certain one; no class asks for all alike."""
    ops = import_keras().ops
    loss = losses.partial_label_loss(0.0)
    split = np.array(
        [[0.02, 0.49, 0.49], [0.02, 0.97, 0.01], [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]], np.float32
    )
    allowed = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]], np.float32)
    values = np.asarray(loss(ops.convert_to_tensor(allowed), ops.convert_to_tensor(split)))
    assert values[0] == pytest.approx(-np.log(0.98), abs=1e-5)
    assert values[1] == pytest.approx(values[0], abs=1e-5)
    assert values[2] == pytest.approx(np.log(3), abs=1e-5)
    assert values[3] > values[2]


@pytest.mark.train
def test_the_distillation_weight_scales_the_teacher() -> None:
    """The loss is least at the teacher's probabilities at weight 1, and the plain loss at weight 0."""
    ops = import_keras().ops
    answers = np.array([[0.6, 0.3, 0.1]], np.float32)
    teacher = distillation.Teacher("x", "", lambda images: np.repeat(answers, len(images), axis=0))
    allowed = np.array([[0, 0, 1]], np.float32)
    targets = ops.convert_to_tensor(
        teacher.targets(EpochImages(np.zeros((1, 28, 28, 1), np.float32), allowed))
    )

    def value(share: float, predicted: list[float]) -> float:
        loss = distillation.distillation_loss(losses.partial_label_loss(0.0), share)
        return float(np.asarray(loss(targets, ops.convert_to_tensor(np.array([predicted], np.float32))))[0])

    own = value(1.0, [0.6, 0.3, 0.1])
    others = ([0.5, 0.4, 0.1], [0.7, 0.2, 0.1], [0.1, 0.3, 0.6])
    assert all(own < value(1.0, other) for other in others)
    softened = np.sqrt(answers[0]) / np.sqrt(answers[0]).sum()
    assert own == pytest.approx(-4 * (softened * np.log(softened)).sum(), rel=1e-4)
    assert value(0.0, [0.2, 0.2, 0.6]) == pytest.approx(-np.log(0.6), rel=1e-4)


def test_several_teachers_are_averaged() -> None:
    """Two teachers count alike, and none of them can be exchanged without its being noticed."""
    garments = datasets.load("wardrobe")
    images = garments.test.images[:200]
    alone = [
        distillation.open_teacher(name, "wardrobe", garments).probabilities(images)
        for name in ("fashion", "fashion-nano")
    ]
    both = distillation.open_teachers(["fashion", "fashion-nano"], "wardrobe", garments)
    twice = distillation.open_teachers(["fashion", "fashion"], "wardrobe", garments)
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    assert np.allclose(both.probabilities(images), (alone[0] + alone[1]) / 2, atol=1e-6)
    assert np.allclose(twice.probabilities(images), alone[0], atol=1e-6)
    assert both.probabilities(images).dtype == np.float32
    assert (both.name, twice.name) == ("fashion, fashion-nano", "fashion, fashion")
    one = distillation.open_teachers(["fashion"], "wardrobe", garments)
    assert len({both.sha256, twice.sha256, one.sha256}) == 3


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_student_follows_its_teacher(tmp_path: Path) -> None:
    """A student follows its teacher where labels differ; another teacher cannot resume it."""
    part = small()
    wrong = replace(part, train=datasets.Split(part.train.images, (part.train.labels + 1) % 10))

    def says_dress(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = np.full((len(images), 10), 0.01, np.float32)
        rows[:, 3] = 0.91
        return rows

    taught = training_sources(wrong, teacher=distillation.Teacher("always a dress", "1", says_dress))
    settings = settings_module.EdgeSettings(epochs=6, batch_size=16, ema_decay=0.9)
    train.train_run(taught, settings, tmp_path / "run", lambda *_: None)
    student = import_keras().saving.load_model(tmp_path / "run" / runs.MODEL, compile=False)
    answers = loop.probabilities(student, part.test.images).argmax(axis=1)
    assert (answers == 3).mean() > 0.9
    assert json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]["teacher"] == "always a dress"

    def stop(epoch: int, _share: float, _figures: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train_run(taught, settings, tmp_path / "cut", stop)
    other = training_sources(wrong, teacher=distillation.Teacher("another", "2", says_dress))
    with pytest.raises(DataError, match="other settings"):
        train.train_run(other, settings, tmp_path / "cut", lambda *_: None)


def test_a_weight_without_a_teacher_is_refused(cli: RunCli, tmp_path: Path) -> None:
    """A distillation weight without a teacher is refused, not passed over."""
    result = cli("train", write_recipe(tmp_path, "[distillation]\nweight = 0.5"), "-o", tmp_path / "run")
    assert result.code == 2
    assert "weight needs teachers" in result.err
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_classes_is_refused(cli: RunCli, tmp_path: Path) -> None:
    """A teacher must tell the same classes apart, in pictures of the same size."""
    result = cli(
        "train", write_recipe(tmp_path, '[distillation]\nteachers = ["digits"]'), "-o", tmp_path / "run"
    )
    assert result.code == 2
    assert "the teacher digits tells 0, 1, 2" in result.err
