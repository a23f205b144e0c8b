"""The mean of several trainings: its weights, what it is refused of, and what is said of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm import averaging, datasets, edge, recipe_loop, recipe_settings, runs
from edge_fm.runs import Run
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from tests.conftest import RunCli

pytestmark = pytest.mark.train


@pytest.fixture
def pair(tmp_path: Path, small_network: None) -> tuple[Path, Path]:
    """Return two run folders of one small network, as trainings that went on from one another leave them; their weights are drawn."""
    dataset = datasets.load("wardrobe")
    _, validation = dataset.split_validation(recipe_settings.VALIDATION_SHARE, 0)
    allowed = np.eye(10, dtype=bool)[validation.labels]
    keras = import_keras()
    folders = (tmp_path / "first", tmp_path / "second")
    for seed, folder in enumerate(folders):
        keras.utils.set_random_seed(seed)
        network = edge.build(edge.WIDTHS["edge-nano"], dataset.spec, 10, "edge-nano")
        folder.mkdir()
        network.save(folder / runs.MODEL)
        np.savez(folder / runs.VALIDATION, images=validation.images, allowed=allowed)
        for name in (runs.CALIBRATION, runs.LESSON):
            np.savez(folder / name, images=validation.images[:4], allowed=allowed[:4], of=seed)
        Run(
            architecture="edge-nano",
            data="wardrobe",
            class_names=dataset.class_names,
            scale="unit",
            model=runs.MODEL,
            options={},
            settings={"seed": 0},
            epochs=seed + 1,
            best_epoch=seed + 1,
            scores={"test": {"accuracy": 0.0}, "validation": {"accuracy": 0.0}},
            seconds=1.0,
            interrupted=False,
            licence=dataset.licence,
            tools={},
            created="2026-01-01",
        ).save(folder)
    return folders


def weights(folder: Path) -> list[np.ndarray]:
    """Return a run's weights."""
    kept: list[np.ndarray] = (
        import_keras().saving.load_model(folder / runs.MODEL, compile=False).get_weights()
    )
    return kept


def test_every_weight_is_the_mean(pair: tuple[Path, Path], tmp_path: Path, cli: RunCli) -> None:
    """A run of means can be exported as any other; it says what it is of, and its scores are its own."""
    out = tmp_path / "mean"
    done = cli("average", *pair, "-o", out)
    assert done.code == 0, done.err
    assert f"{pair[0]}: 0." in done.out
    assert "their mean: 0." in done.out
    first, second, mean = (weights(folder) for folder in (*pair, out))
    assert any((one != other).any() for one, other in zip(first, second, strict=True))
    for one, other, between in zip(first, second, mean, strict=True):
        assert np.allclose(between, (one + other) / 2, atol=1e-7)
    run = Run.load(out)
    assert run.settings["mean_of"] == [str(folder) for folder in pair]
    dataset = datasets.load("wardrobe")
    network = import_keras().saving.load_model(out / runs.MODEL, compile=False)
    right = (
        recipe_loop.probabilities(network, dataset.test.images).argmax(axis=1) == dataset.test.labels
    ).mean()
    assert run.test_accuracy == pytest.approx(float(right))
    for name in (runs.VALIDATION, runs.CALIBRATION, runs.LESSON):
        assert (out / name).read_bytes() == (pair[1] / name).read_bytes()
    exported = cli("export", out, "-o", tmp_path / "mean.onnx")
    assert exported.code == 0, exported.err


def answering(folder: Path, logits: dict[int, float]) -> None:
    """Let a run answer the same to every picture."""
    network = import_keras().saving.load_model(folder / runs.MODEL, compile=False)
    *others, kernel, bias = network.get_weights()
    network.set_weights(
        [*others, kernel * 0, np.array([logits.get(label, 0.0) for label in range(len(bias))])]
    )
    network.save(folder / runs.MODEL)


def test_a_mean_of_strangers_is_said_to_be_none(pair: tuple[Path, Path], tmp_path: Path, cli: RunCli) -> None:
    """Where the mean is worse than each of the runs, that is said with what to average instead; where it is not, nothing is."""
    images = np.zeros((10, 28, 28, 1), np.uint8)
    for folder in pair:  # half of it is of class 0 and half of class 1
        np.savez(folder / runs.VALIDATION, images=images, allowed=np.eye(10, dtype=bool)[[0, 1] * 5])
    answering(pair[0], {0: 5.0, 2: 4.0})
    answering(pair[1], {1: 5.0, 2: 4.0})
    worse = cli("average", *pair, "-o", tmp_path / "worse")
    assert f"{pair[0]}: 0.5000" in worse.out
    assert "their mean: 0.0000" in worse.out
    assert "worse than each" in worse.err
    answering(pair[1], {0: 1.0})
    fine = cli("average", *pair, "-o", tmp_path / "fine")
    assert "their mean: 0.5000" in fine.out
    assert "worse than each" not in fine.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "cnn"}, "can be averaged"),
        ({"architecture": "edge"}, "differ in network"),
        ({"data": "mnist"}, "differ in network, classes, data"),
        ({"settings": {"seed": 1}}, "or seed"),
    ],
)
def test_runs_of_different_kinds_have_no_mean(
    pair: tuple[Path, Path], tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """Runs of another network, other data or another seed are refused before anything is written."""
    replace(Run.load(pair[0]), **change).save(pair[0])
    with pytest.raises(DataError, match=said):
        averaging.average(pair, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_what_cannot_be_averaged(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """One run, a run that is written over, pictures that the other may have learnt, damaged and earlier weights: each is said, and nothing is written."""
    before = (pair[1] / runs.RECORD).read_bytes()
    with pytest.raises(DataError, match="two runs or more"):
        averaging.average(pair[:1], tmp_path / "mean")
    with pytest.raises(DataError, match="is one of the runs"):
        averaging.average(pair, pair[1])
    assert (pair[1] / runs.RECORD).read_bytes() == before
    earlier = edge.build(edge.Width(4, 4, 12), datasets.load("wardrobe").spec, 10, "edge-nano")
    earlier.save(pair[0] / runs.MODEL)
    with pytest.raises(DataError, match="earlier network"):
        averaging.average(pair, tmp_path / "mean")
    (pair[0] / runs.MODEL).write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"weights of .*first cannot be read"):
        averaging.average(pair, tmp_path / "mean")
    with np.load(pair[0] / runs.VALIDATION) as kept:
        np.savez(pair[0] / runs.VALIDATION, images=kept["images"][::-1], allowed=kept["allowed"][::-1])
    with pytest.raises(DataError, match="different pictures"):
        averaging.average(pair, tmp_path / "mean")
    (pair[1] / runs.LESSON).unlink()
    with pytest.raises(DataError, match=r"second lacks lesson\.npz"):
        averaging.average(pair, tmp_path / "mean")
    shutil.copyfile(pair[0] / runs.LESSON, pair[1] / runs.LESSON)
    (pair[0] / runs.VALIDATION).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        averaging.average(pair, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
