"""Digits on paper: strokes, sheets, and the training that reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.augmentation import handwriting, paper
from edge_fm.augmentation.transforms import Grey, Variation
from edge_fm.datasets import Split
from edge_fm.models import edge
from edge_fm.training.edge import epoch_data, loop, train
from edge_fm.training.edge.epoch_data import Mix, TrainingImages
from edge_fm.training.edge.settings import EdgeSettings
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli
from tests.edge_fm.pictures import training_sources

STILL = Variation(flip=False, rotation=0)


@pytest.mark.parametrize("value", range(10))
def test_a_digit_is_written_in_every_variant(value: int) -> None:
    """Each digit has all its variants, is reproducible from a seed, and stays in its square."""
    written = [handwriting.digit(value, np.random.default_rng(seed)) for seed in range(60)]
    assert {len(one) for one in written} == {len(variant) for variant in handwriting.VARIANTS[value]}
    points = [np.concatenate(one) for one in written]
    assert len({one.tobytes() for one in points}) == 60
    assert all((np.abs(one - 0.5) < 0.75).all() for one in points)
    again = np.concatenate(handwriting.digit(value, np.random.default_rng(7)))
    assert (again == points[7]).all()


def test_strokes_that_meet_go_on_meeting() -> None:
    """However the control points of a 5 are moved, its strokes share the ends that they had in common."""
    for seed in range(30):
        ends = [
            tuple(np.round(end, 9))
            for one in handwriting.digit(5, np.random.default_rng(seed))
            for end in (one[0], one[-1])
        ]
        assert len(ends) == 2 or len(set(ends)) < len(ends)


def test_pens_are_thick_and_thin() -> None:
    """The thickest pen lays at least five times as much ink as the thinnest."""
    ink = [
        paper.draw_strokes(
            handwriting.digit(1, np.random.default_rng(0)), 84, STILL, np.random.default_rng(seed)
        ).sum()
        for seed in range(60)
    ]
    assert max(ink) > 5 * min(ink) > 0


def test_ink_is_darker_than_its_sheet() -> None:
    """On every sheet, in every light, the inked points are darker than the same points without ink."""
    cover = np.zeros((84, 84), np.float32)
    cover[30:50, 40:44] = 1
    for seed in range(40):
        inked = paper.draw_sheet(cover, np.random.default_rng(seed)).astype(int)
        bare = paper.draw_sheet(np.zeros_like(cover), np.random.default_rng(seed)).astype(int)
        assert (inked[cover > 0] < bare[cover > 0]).all()
        assert (inked[cover == 0] == bare[cover == 0]).all()


def test_pictures_of_paper_are_the_models_size_and_vary() -> None:
    """Images of paper are uint8 of the given size, vary, and are reproducible from a seed."""
    digit = datasets.load("wardrobe").train.images[0, ..., 0]
    makers: tuple[Callable[[np.random.Generator], Grey], ...] = (
        lambda rng: paper.ink_digit(digit, Variation(), rng),
        lambda rng: paper.draw_digit(3, 28, Variation(), rng),
        lambda rng: paper.blank_sheet(28, rng),
    )
    for make in makers:
        made = [make(np.random.default_rng(seed)) for seed in range(50)]
        assert all(one.shape == (28, 28) and one.dtype == np.uint8 for one in made)
        assert len({one.tobytes() for one in made}) > 45
        assert (make(np.random.default_rng(3)) == made[3]).all()


def test_an_epoch_of_paper_uses_no_validation_image() -> None:
    """An epoch has its shares of written, drawn and blank pictures, and is the same whatever is watched."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (40, 28, 28, 1), dtype=np.uint8), np.arange(40) % 10)
    mix = Mix(scenes=0.5, drawn=0.25, empties=0.1)
    seen = []
    for shade in (0, 255):
        watched = {"test": (np.full((5, 28, 28, 1), shade, np.uint8), np.ones((5, 10), bool))}
        material = TrainingImages(split, None, watched, 10, epoch_data.PAPER)
        drawn = epoch_data.draw_epoch(material, mix, 0, 3)
        assert len(drawn.images) == len(drawn.allowed) == material.count(mix) == 40 + 20 + 10 + 4
        assert (drawn.allowed.sum(axis=1) == 0).sum() == 4
        seen.append(drawn.images)
    assert np.array_equal(*seen)


def test_validation_images_on_paper_keep_their_classes() -> None:
    """A split as a camera sees it is the split's own pictures and as many drawn, each of one class."""
    split = Split(np.zeros((6, 28, 28, 1), np.uint8), np.array([0, 1, 2, 3, 4, 9]))
    images, allowed = epoch_data.camera_views(split, 10, epoch_data.PAPER, Variation(flip=False), 0)
    assert images.shape == (12, 28, 28, 1)
    assert images.dtype == np.uint8
    assert allowed.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 9] * 2
    assert (allowed.sum(axis=1) == 1).all()


def test_digits_reads_digits_only(cli: RunCli, tmp_path: Path) -> None:
    """Trained on garments, `digits` is refused with what it takes, and nothing is begun."""
    result = cli("train", "wardrobe", "--model", "digits", "-o", tmp_path / "run")
    assert result.code == 2
    assert "train it on mnist" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.usefixtures("small_network")
def test_what_is_kept_is_the_average_of_the_steps(tmp_path: Path) -> None:
    """With an EMA the saved weights lie between the first and the last; without, they are the last."""
    keras = import_keras()
    part = datasets.limited(datasets.load("wardrobe"), 120, 40)
    material = TrainingImages(part.train, None, {}, 10)
    ends = {}
    for ema_decay in (0.0, 0.9):
        keras.utils.set_random_seed(0)
        model, average = (edge.build(edge.WIDTHS["edge-nano"], part.spec, 10, "edge-nano") for _ in range(2))
        began = model.get_weights()[0]
        folder = tmp_path / str(ema_decay)
        folder.mkdir()
        settings = EdgeSettings(epochs=2, batch_size=32, ema_decay=ema_decay)
        job = loop.TrainingJob(model=model, ema_model=average, images=material)
        loop.train(job, settings, folder, lambda *_: None)
        ends[ema_decay] = began, model.get_weights()[0], average.get_weights()[0]
    _, trained, kept = ends[0.0]
    assert np.array_equal(trained, kept)
    began, trained, kept = ends[0.9]
    assert 0 < np.abs(kept - trained).mean() < np.abs(trained - began).mean()


def test_other_digits_are_no_digits() -> None:
    """A data set with ten other classes is named in the refusal."""
    garments = datasets.load("wardrobe")
    with pytest.raises(DataError, match=garments.class_names[0]):
        train.train_run(
            training_sources(garments, architecture="digits"),
            EdgeSettings(),
            Path("nowhere"),
            lambda *_: None,
        )


def test_the_bundled_model_reads_digits_from_paper() -> None:
    """`digits` reads nearly all digits on drawn sheets, and is less sure of blank sheets."""
    classifier = Classifier.load("digits")
    size = 280
    written, blank = [], []
    for number in range(200):
        rng = np.random.default_rng([7, number])
        cover = paper.draw_strokes(handwriting.digit(number % 10, rng), size, Variation(flip=False), rng)
        written.append(classifier.classify(_png(paper.draw_sheet(cover, rng))))
        blank.append(classifier.classify(_png(paper.draw_sheet(np.zeros_like(cover), rng))).confidence)
    right = [answer.label == str(number % 10) for number, answer in enumerate(written)]
    assert np.mean(right) > 0.95
    assert np.median(blank) < np.quantile([answer.confidence for answer in written], 0.1)


def _png(picture: Grey) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()
