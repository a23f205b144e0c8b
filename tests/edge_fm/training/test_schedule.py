"""The number of steps, batch size and epochs that a training has by its number of pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import GARMENTS, Dataset, Split
from edge_fm.datasets.wardrobe import draw_set
from edge_fm.models import zoo
from edge_fm.models.architecture import Framework
from edge_fm.training import schedule
from edge_fm.training.edge.epoch_data import ROOM, TrainingImages, draw_epoch
from edge_fm.training.edge.loop import steps_of
from edge_fm.training.edge.settings import EdgeSettings, fitted
from edge_fm.training.edge.train import train_candidate
from edge_fm.training.schedule import Schedule
from edge_fm.training.train import TrainRequest, fit_settings, train

NOTHING: frozenset[str] = frozenset()


def pictures(per_class: int) -> Dataset:
    """Return a data set of two classes of black pictures."""
    part = Split(np.zeros((2 * per_class, 8, 8, 1), np.uint8), np.repeat([0, 1], per_class))
    return Dataset("black", ("a", "b"), part, part, "")


@pytest.mark.parametrize("count", [20, 150, 700, 1500, 3000, 4700])
def test_a_small_data_set_has_enough_steps(count: int) -> None:
    """Every schedule has 1,500 steps, few more, in batches of a power of two from 16 to the default."""
    found = schedule.fit(count, Schedule(40, 128))
    assert schedule.MIN_STEPS <= found.steps(count) < 2 * schedule.MIN_STEPS
    assert found.batch_size in {16, 32, 64, 128}
    assert found.is_short


def test_a_large_data_set_is_trained_as_ever() -> None:
    """Fashion-MNIST keeps every default of the edge family and of the zoo."""
    assert fitted(EdgeSettings(), NOTHING, 55_000) == EdgeSettings()
    garments = pictures(30_000)
    for name, architecture in zoo.ARCHITECTURES.items():
        if architecture.framework is Framework.TRANSFER:  # a head is fitted, not trained by steps
            continue
        request = TrainRequest(
            architecture=architecture, dataset=garments, data_name="", settings=architecture.settings
        )
        assert fit_settings(request, NOTHING) == request, name


@pytest.mark.parametrize("count", [100, 150, 460, 1300, 2600])
def test_an_edge_training_has_enough_steps_in_epochs_of_some_length(count: int) -> None:
    """A small folder is repeated within an epoch, so that few epochs have the steps."""
    made = fitted(EdgeSettings(), NOTHING, count)
    images = Split(np.zeros((count, 8, 8, 1), np.uint8), np.zeros(count, np.int64))
    steps = steps_of(TrainingImages(images, None, {}, 2).count(made.mix), made.batch_size)
    assert steps >= schedule.MIN_EPOCH_STEPS - 1
    assert schedule.MIN_STEPS * 0.97 <= steps * made.epochs < 1.2 * schedule.MIN_STEPS


def test_what_the_user_chose_holds() -> None:
    """Given epochs and batch sizes are used as they are, whatever the number of pictures."""
    assert fitted(EdgeSettings(epochs=3), frozenset({"epochs"}), 50) == EdgeSettings(epochs=3)
    assert fitted(EdgeSettings(batch_size=8), frozenset({"batch_size"}), 50).batch_size == 8
    assert fitted(EdgeSettings(), frozenset({"repeats"}), 50).mix == EdgeSettings().mix
    cnn = zoo.find("cnn")
    settings = replace(cnn.settings, epochs=2, validation_share=0.2, batch_size=7)
    request = TrainRequest(architecture=cnn, dataset=pictures(10), data_name="", settings=settings)
    chosen = frozenset({"epochs", "validation_share", "batch_size"})
    assert fit_settings(request, chosen).settings == settings


def test_one_picture_of_a_class_stops_no_training() -> None:
    """If fewer than five of a class would be held out, all are trained on for all steps."""
    cnn = zoo.find("cnn")
    request = TrainRequest(architecture=cnn, dataset=pictures(10), data_name="", settings=cnn.settings)
    made = fit_settings(request, NOTHING).settings
    assert (made.validation_share, made.patience, made.batch_size) == (0, None, 16)
    assert made.epochs * 2 >= schedule.MIN_STEPS
    more = fit_settings(replace(request, dataset=pictures(60)), NOTHING).settings
    assert (more.validation_share, more.patience) == (0.1, None)


def test_repeats_show_each_picture_more_often() -> None:
    """An epoch with three repeats has every picture three times, and three times the scenes."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20, 8, 8, 3), np.uint8), np.arange(20, dtype=np.int64))
    images = TrainingImages(split, None, {}, 20, ROOM)
    mix = replace(EdgeSettings().mix, repeats=3, scenes=0.0, variation=Variation(camera=False))
    drawn = draw_epoch(images, mix, 0, 0)
    assert len(drawn.images) == images.count(mix) == 62
    assert drawn.images.shape[1:] == (8, 8, 3)
    counts = [(drawn.images == image).all(axis=(1, 2, 3)).sum() for image in split.images]
    assert counts == [3] * 20


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, model in zoo.ARCHITECTURES.items() if model.variants])
def test_every_model_learns_from_ten_pictures_a_class(tmp_path: Path, name: str) -> None:
    """With its defaults, a model of the zoo names half of the drawn garments or more; chance is a tenth."""
    architecture = zoo.find(name)
    dataset = Dataset("drawn", GARMENTS, Split(*draw_set(8, 1)), Split(*draw_set(20, 2)), "")
    request = TrainRequest(
        architecture=architecture, dataset=dataset, data_name="", settings=architecture.settings
    )
    run = train(fit_settings(request, NOTHING), tmp_path, lambda *_progress: None)
    assert run.test_accuracy > 0.5


@pytest.mark.train
@pytest.mark.slow
def test_an_edge_network_learns_colours_from_ten_pictures_a_class() -> None:
    """Two classes that differ in nothing but their hue are told apart after a fitted training."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (40, 16, 16, 3), np.uint8)
    labels = np.arange(40, dtype=np.int64) % 2
    images[labels == 0, ..., 0] += 60
    images[labels == 1, ..., 2] += 60
    training, held_out = Split(images[:20], labels[:20]), Split(images[20:], labels[20:])
    settings = replace(fitted(EdgeSettings(), NOTHING, 20), epochs=2)
    answers = train_candidate(training, held_out, 2, settings, "edge-nano")
    assert (answers.argmax(axis=1) == held_out.labels).mean() > 0.9
