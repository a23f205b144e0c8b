"""Training of the edge family: resume, initial weights, and images that it must not use."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.augmentation.transforms import Variation
from edge_fm.models import edge, runs
from edge_fm.training.edge import epoch_data, loop, train
from edge_fm.training.edge import settings as settings_module
from edge_fm.training.edge.epoch_data import Mix, TrainingImages
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.quantization import search
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError
from tests.conftest import RunCli
from tests.edge_fm.pictures import MAP, photographs_table, small, training_sources, write_recipe


@pytest.mark.parametrize("usual", [settings_module.EdgeSettings(), settings_module.DEFAULTS["digits"]])
def test_the_last_fifth_of_the_epochs_is_calm(usual: settings_module.EdgeSettings) -> None:
    """The last fifth runs without erasing and elastic distortion and with half the mixup."""
    settings = replace(usual, epochs=10)
    mixes = [settings.mix_of(index) for index in range(10)]
    assert mixes[:8] == [usual.mix] * 8
    assert usual.mix.variation.erase * usual.mix.mixup > 0
    whole = replace(usual.mix.variation, erase=0.0, elastic=0.0)
    assert mixes[8:] == [replace(usual.mix, mixup=usual.mix.mixup * usual.late_mixup, variation=whole)] * 2
    assert replace(settings, strong_aug_off_fraction=0.0).mix_of(9) == usual.mix


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.usefixtures("small_network")
def test_a_last_step_of_less_than_a_batch_is_left_out_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of many steps is whole batches alone, and one of few steps loses no picture."""
    monkeypatch.setattr(loop, "_STEPS_PER_CALL", 1)  # so that the listener hears of each
    for batch_size, steps in ((4, 30), (16, 8)):  # 109 pictures, 9 as a camera sees them and 4 of nothing
        heard: list[float] = []

        def listen(_epoch: int, share: float, figures: object, heard: list[float] = heard) -> None:
            if figures is None:
                heard.append(share)

        settings = settings_module.EdgeSettings(epochs=1, batch_size=batch_size, mix=Mix(scenes=0.08))
        train.train_run(training_sources(small()), settings, tmp_path / str(steps), listen)
        assert (len(heard), heard[-1]) == (steps, 1.0)


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """A training killed at any epoch and resumed ends with the weights of an undisturbed one."""
    settings = settings_module.EdgeSettings(epochs=3, batch_size=32)
    sources = training_sources(small())

    def stop(epoch: int, share: float, _figures: object) -> None:
        if epoch == 2 and share > 0.5:
            raise KeyboardInterrupt

    whole = train.train_run(sources, settings, tmp_path / "whole", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        train.train_run(sources, settings, tmp_path / "cut", stop)
    assert not (tmp_path / "cut" / runs.RECORD).exists()
    with pytest.raises(DataError, match="other settings"):
        train.train_run(sources, settings_module.EdgeSettings(), tmp_path / "cut", stop)
    others = training_sources(datasets.limited(datasets.load("wardrobe"), 100, 40))
    with pytest.raises(DataError, match="pictures"):
        train.train_run(others, settings, tmp_path / "cut", stop)
    cut = train.train_run(sources, settings, tmp_path / "cut", lambda *_: None)
    assert replace(cut, seconds=whole.seconds) == whole
    assert (tmp_path / "cut" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    load = import_keras().saving.load_model
    for first, second in zip(
        load(tmp_path / "whole" / runs.MODEL).variables,
        load(tmp_path / "cut" / runs.MODEL).variables,
        strict=True,
    ):
        assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_training_begins_with_the_weights_of_a_run(tmp_path: Path) -> None:
    """A warm start has the accuracy of its run from the first epoch on."""
    part = small()
    begun = settings_module.EdgeSettings(epochs=8, batch_size=16, ema_decay=0.9)
    plain = training_sources(part)
    train.train_run(plain, begun, tmp_path / "first", lambda *_: None)
    gentle = replace(begun, epochs=1, learning_rate=1e-6)
    losses_of = {}
    for name, start in (("drawn", None), ("kept", tmp_path / "first")):
        sources = training_sources(part, init_from=start)
        train.train_run(sources, gentle, tmp_path / name, lambda *_: None)
        losses_of[name] = (tmp_path / name / runs.HISTORY).read_text().splitlines()[1].split(",")[1]
    assert float(losses_of["kept"]) < 0.7 * float(losses_of["drawn"])


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_resumed_training_keeps_its_initial_run(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed warm start resumes only with the same run, and never writes into that run."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    begun = settings_module.EdgeSettings(epochs=2, batch_size=32)
    plain = training_sources(part)
    train.train_run(plain, replace(begun, epochs=1), tmp_path / "first", lambda *_: None)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    other_weights = import_keras().saving.load_model(tmp_path / "first" / runs.MODEL, compile=False)
    other_weights.layers[-1].bias.assign_add(np.ones(10))
    other_weights.save(tmp_path / "second" / runs.MODEL)

    def stop(_epoch: int, _share: float, figures: object) -> None:
        if figures is not None:
            raise KeyboardInterrupt

    sources = training_sources(part, init_from=tmp_path / "first")
    with pytest.raises(KeyboardInterrupt):
        train.train_run(sources, begun, tmp_path / "cut", stop)
    other = training_sources(part, init_from=tmp_path / "second")
    with pytest.raises(DataError, match="weights to begin with"):
        train.train_run(other, begun, tmp_path / "cut", lambda *_: None)
    trained: set[int] = set()
    train.train_run(sources, begun, tmp_path / "cut", lambda epoch, *_: trained.add(epoch))
    assert trained == {2}
    kept = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    refused = cli(
        "train",
        "wardrobe",
        "--model",
        "edge",
        "--set",
        f"init_from={tmp_path / 'no'}",
        "-o",
        tmp_path / "first",
        "--fresh",
    )
    assert refused.code == 2
    assert str(tmp_path / "no") in refused.err
    into_itself = training_sources(part, init_from=tmp_path / "first")
    with pytest.raises(DataError, match="another folder with -o"):
        train.train_run(into_itself, begun, tmp_path / "first", lambda *_: None)
    with pytest.raises(DataError, match="is a run of edge-nano"):
        train.train_run(replace(into_itself, architecture="edge"), begun, tmp_path / "wide", lambda *_: None)
    assert {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()} == kept
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 12))
    with pytest.raises(DataError, match="an older network"):
        train.train_run(sources, begun, tmp_path / "second", lambda *_: None)
    assert (tmp_path / "second" / runs.RECORD).exists()


@pytest.mark.train
def test_no_test_picture_is_used() -> None:
    """An epoch with an erased training part shows no trace of validation and test images."""
    dataset = small()
    blank = datasets.Split(np.zeros_like(dataset.train.images), dataset.train.labels)
    material = TrainingImages(blank, None, {"test": (dataset.test.images, np.ones((40, 10), bool))}, 10)
    still = Mix(scenes=0, empties=0, variation=Variation(erase=0))
    drawn = epoch_data.draw_epoch(material, still, 0, 0)
    assert not drawn.images.any()
    assert len(drawn.images) == len(drawn.allowed) == 120


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_from_photographs_to_int8(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train on two data sets with a map, then export: int8 is calibrated on what the run kept of both."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    text = MAP.replace('["Sandal", "Sneaker"]', '["Sandal", "Sneaker", "Ankle boot"]')
    (tmp_path / "map.toml").write_text(text)
    tables = f"[settings]\nepochs = 2\nlearning_rate = 0.001\n{photographs_table(photos)}"
    trained = cli("train", write_recipe(tmp_path, tables), "-o", tmp_path / "run")
    assert trained.is_written, trained.err
    settings = json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]
    assert settings["learning_rate"] == 0.001
    assert "photographs" in trained.out
    assert "broken.jpg" in trained.err
    with np.load(tmp_path / "run" / runs.CALIBRATION) as kept:
        assert kept["images"].shape[1:] == (28, 28, 1)
        assert len(kept["images"]) > len(part.split_validation(settings["validation_share"], 0)[0])
    with np.load(tmp_path / "run" / runs.OOD_CALIBRATION) as kept:
        known = kept["allowed"].any(axis=1)
        assert 0 < known.sum() == (~known).sum()
        assert kept["images"].shape == (len(known), 28, 28, 1)
    exported = cli("export", tmp_path / "run", "--int8", "--max-drop", "1", "-o", tmp_path / "x.onnx")
    assert exported.code in {0, 1}, exported.err
    assert any(Classifier.load(tmp_path / "x.onnx").passport.decision.known_class_weights)


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_photographs_of_no_class_only_train(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs of no class train the model, but enter no figure, threshold or temperature."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    for kind in ("dress", "shoes"):
        shutil.rmtree(photos / kind)
    (photos.parent / "map.toml").write_text("[photos]\nhat = []\n")
    recipe = write_recipe(tmp_path, photographs_table(photos))
    trained = cli("train", recipe, "--epochs", "1", "-o", tmp_path / "run")
    assert trained.is_written, trained.err
    assert (tmp_path / "run" / runs.HISTORY).read_text().splitlines()[0] == "epoch,loss,wardrobe"
    with np.load(tmp_path / "run" / runs.VALIDATION) as kept:
        assert kept["allowed"].any(axis=1).all()
        share = json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]["validation_share"]
        assert len(kept["images"]) == len(part.split_validation(share, 0)[1])


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_nothing_is_learnt_or_chosen_from_the_test_part(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another test part changes no weight, calibration, threshold or int8 figure."""
    # Else the fastest of this moment is chosen, and temperature and threshold are of that file.
    monkeypatch.setattr(search, "_time", lambda candidates, _shape: candidates)
    part = small()
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, part.test.images.shape, dtype=np.uint8)
    kept = []
    for name, test in (("own", part.test), ("other", datasets.Split(others, part.test.labels[::-1].copy()))):
        told = replace(part, test=test)
        monkeypatch.setattr(datasets, "load", lambda _name, *_spec, told=told, **_more: told)
        folder, file = tmp_path / name, tmp_path / f"{name}.onnx"
        settings = settings_module.EdgeSettings(epochs=1, batch_size=32)
        train.train_run(training_sources(told), settings, folder, lambda *_: None)
        done = cli(
            "export",
            folder,
            "--int8",
            "--max-drop",
            "1",
            "--max-class-drop",
            "1",
            "--min-speedup",
            "0",
            "-o",
            file,
        )
        assert done.is_written, done.err
        passport = Classifier.load(file).passport
        pictures = [
            np.load(folder / kind)["images"]
            for kind in (runs.CALIBRATION, runs.VALIDATION, runs.OOD_CALIBRATION)
        ]
        assert any(passport.decision.known_class_weights)
        tried = json.loads(file.with_suffix(".candidates.json").read_text())["candidates"]
        figures = [
            [entry[key] for key in ("name", "accuracy", "drop", "worst_class", "label_agreement")]
            for entry in tried
        ]
        weights = import_keras().saving.load_model(folder / runs.MODEL).get_weights()
        kept.append((passport.decision, figures, *pictures, *weights))
        assert len(figures) > 6
    for own, other in zip(*kept, strict=True):
        assert np.array_equal(own, other) if isinstance(own, np.ndarray) else own == other
