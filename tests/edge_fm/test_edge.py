"""The edge family: its networks, the imitation of cameras, photographs with a map, and a training that can be killed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import camera, datasets, distillation, edge, epoch, losses, mixture, recipe, runs
from edge_fm.camera import Grey, Variation
from edge_fm.epoch import Material, Mix, Pictures
from edge_fm_exporters import int8
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime import preprocess
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.inputs import InputSpec, Preprocess
from edge_fm_runtime.opencv import cv2
from tests.conftest import ROOT, RunCli

SPEC = InputSpec(28, 28, 1)
NAMES = ("Dress", "Sandal", "Sneaker")
MAP = '[photos]\ndress = ["Dress"]\nshoes = ["Sandal", "Sneaker"]\nhat = []\n'


def picture(seed: int, height: int = 160, width: int = 120) -> NDArray[np.uint8]:
    """Return a grey picture with structure."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        cv2.GaussianBlur(rng.integers(0, 256, (height, width), dtype=np.uint8), (0, 0), 6), np.uint8
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of photographs, five of each kind, and one broken."""
    for kind in ("dress", "shoes", "hat"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(5):
            cv2.imwrite(str(tmp_path / "photos" / kind / f"{number}.jpg"), picture(number))
    (tmp_path / "photos" / "hat" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (tmp_path / "map.toml").write_text(MAP)
    return tmp_path / "photos"


@pytest.mark.train
@pytest.mark.parametrize("name", edge.WIDTHS)
def test_the_family_is_as_large_as_it_says(name: str) -> None:
    """Each member has the parameters that the zoo states, one softmax for each class, and takes other sizes."""
    from edge_fm.zoo import find

    model = edge.build(edge.WIDTHS[name], SPEC, 10, name)
    assert model.count_params() == find(name).parameters
    assert model.output_shape == (None, 10)
    assert edge.build(edge.WIDTHS[name], InputSpec(64, 48, 3), 4, name).output_shape == (None, 4)


def test_every_view_is_a_letterboxed_picture() -> None:
    """A view of a photograph has the model's size, varies, comes again from its seed, and has black bars where it is not square."""
    views = [camera.photograph(picture(1), 28, Variation(), np.random.default_rng(n)) for n in range(200)]
    assert all(view.shape == (28, 28) and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 200
    again = camera.photograph(picture(1), 28, Variation(), np.random.default_rng(7))
    assert (again == views[7]).all()
    narrow = camera.photograph(picture(1, 300, 100), 28, Variation(rotation=0), np.random.default_rng(0))
    assert not narrow[:, 0].any()
    assert narrow[:, 14].any()


def test_only_what_may_be_mirrored_is() -> None:
    """Without flip no picture is mirrored: a digit must not be."""
    left = np.zeros((28, 28), np.uint8)
    left[:, :10] = 200
    still = Variation(flip=False, erase=0, tilt=0)
    for seed in range(100):
        moved = camera.catalogue(left, still, np.random.default_rng(seed))
        assert moved[:, :14].sum() > moved[:, 14:].sum()
    mirrored = [camera.catalogue(left, Variation(erase=0), np.random.default_rng(n)) for n in range(100)]
    share = np.mean([view[:, 14:].sum() > view[:, :14].sum() for view in mirrored])
    assert 0.3 < share < 0.7


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: camera.scene(picture(1, 28, 28), Variation(), rng),
        lambda rng: camera.empty(28, rng),
        lambda rng: camera.cluttered(28, rng),
    ],
)
def test_drawn_surroundings_are_pictures(draw: Callable[[np.random.Generator], Grey]) -> None:
    """Scenes, empty pictures and clutter are uint8 of the right size, and each is another."""
    made = [draw(np.random.default_rng(n)) for n in range(50)]
    assert all(one.shape == (28, 28) and one.dtype == np.uint8 for one in made)
    assert len({one.tobytes() for one in made}) == 50


def test_photographs_are_split_as_the_file_says(photos: Path) -> None:
    """Held-out pictures are in validation and nowhere else; tensors are those of the runtime; broken files are named."""
    mapping = mixture.read_map(photos.parent / "map.toml", "photos", NAMES)
    held_out = frozenset({"dress/0.jpg", "shoes/3.jpg"})
    training, validation = mixture.read_photographs(photos, mapping, NAMES, 28, held_out)
    assert (len(training.contents), len(validation.contents)) == (13, 2)
    assert validation.allowed.tolist() == [[True, False, False], [False, True, True]]
    assert not training.allowed[training.folders.index("hat")].any()
    expected = preprocess.tensor_from_bytes((photos / "dress" / "0.jpg").read_bytes(), SPEC, Preprocess())
    assert (validation.tensors[0] == expected).all()
    assert validation.contents[0].shape == (112, 84)
    assert [Path(path).name for path, _ in training.unreadable] == ["broken.jpg"]


def test_the_committed_split_holds_out_people_not_pictures() -> None:
    """Nobody of the held-out fifth has a photograph outside it: the file lists paths of a fifth of the people."""
    split = json.loads((ROOT / "benchmarks" / "photo_split.json").read_text())
    held_out = mixture.read_held_out(ROOT / "benchmarks" / "photo_split.json")
    assert len(held_out) == len(split["held_out"]) == len(set(split["held_out"]))
    assert len(split["people"]) == round(0.2 * 307)
    assert {path.split("/")[0] for path in held_out} == {"train", "validation"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[other]\na = []", r"no table \[photos\]"),
        ('[photos]\ndress = "Dress"', "no list"),
        ('[photos]\ndress = ["Gown"]', "Gown"),
        ("[photos", "cannot be read"),
    ],
)
def test_a_map_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake in a map is a sentence that names it."""
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(DataError, match=said):
        mixture.read_map(tmp_path / "map.toml", "photos", NAMES)


def test_photographs_that_do_not_fit(photos: Path) -> None:
    """A folder that the map lacks, and a held-out picture that is not there, are refused."""
    mapping = mixture.read_map(photos.parent / "map.toml", "photos", NAMES)
    with pytest.raises(DataError, match="nowhere"):
        mixture.read_photographs(photos, mapping, NAMES, 28, frozenset({"nowhere.jpg"}))
    with pytest.raises(DataError, match="hat"):
        mixture.read_photographs(photos, {"dress": (), "shoes": ()}, NAMES, 28, frozenset())
    (photos.parent / "split.json").write_text("{}")
    with pytest.raises(DataError, match="held_out"):
        mixture.read_held_out(photos.parent / "split.json")


@pytest.mark.train
def test_the_loss_asks_only_for_what_is_known() -> None:
    """A shoe split over two allowed classes costs as little as a certain one; no class asks for all alike."""
    ops = import_keras().ops
    loss = losses.possible_class_loss(0.0)
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
def test_a_teachers_answers_count_as_told() -> None:
    """The loss is least at the teacher's own answers where it has the whole share, and the plain one where it has none."""
    ops = import_keras().ops
    answers = np.array([[0.6, 0.3, 0.1]], np.float32)
    teacher = distillation.Teacher("x", "", lambda images: np.repeat(answers, len(images), axis=0))
    allowed = np.array([[0, 0, 1]], np.float32)
    targets = ops.convert_to_tensor(teacher.targets(Pictures(np.zeros((1, 28, 28, 1), np.float32), allowed)))

    def value(share: float, predicted: list[float]) -> float:
        loss = distillation.taught_loss(losses.possible_class_loss(0.0), share)
        return float(np.asarray(loss(targets, ops.convert_to_tensor(np.array([predicted], np.float32))))[0])

    own = value(1.0, [0.6, 0.3, 0.1])
    others = ([0.5, 0.4, 0.1], [0.7, 0.2, 0.1], [0.1, 0.3, 0.6])
    assert all(own < value(1.0, other) for other in others)
    softened = np.sqrt(answers[0]) / np.sqrt(answers[0]).sum()
    assert own == pytest.approx(-4 * (softened * np.log(softened)).sum(), rel=1e-4)
    assert value(0.0, [0.2, 0.2, 0.6]) == pytest.approx(-np.log(0.6), rel=1e-4)


@pytest.mark.parametrize("usual", [recipe.Settings(), recipe.USUAL["digits"]])
def test_the_last_fifth_of_the_epochs_is_calm(usual: recipe.Settings) -> None:
    """Pictures are erased, bent and blended until then, and whole from there on; nothing else changes, and without a calm nothing does."""
    settings = replace(usual, epochs=10)
    mixes = [settings.mix_of(index) for index in range(10)]
    assert mixes[:8] == [usual.mix] * 8
    assert usual.mix.variation.erase * usual.mix.blended > 0
    whole = replace(usual.mix.variation, erase=0.0, elastic=0.0)
    assert mixes[8:] == [replace(usual.mix, blended=0.0, variation=whole)] * 2
    assert replace(settings, calm=0.0).mix_of(9) == usual.mix


def test_several_teachers_answer_with_the_mean() -> None:
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
def test_a_student_learns_what_its_teacher_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student comes nearer to its teacher than to the truth where the two differ, and another teacher cannot go on with its training."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(8, 8, 16))
    part = small()
    wrong = replace(part, train=datasets.Split(part.train.images, (part.train.labels + 1) % 10))

    def says_dress(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = np.full((len(images), 10), 0.01, np.float32)
        rows[:, 3] = 0.91
        return rows

    taught = recipe.Sources(wrong, None, distillation.Teacher("always a dress", "1", says_dress))
    settings = recipe.Settings(epochs=6, batch_size=16, averaging=0.9)
    recipe.train_run("edge-nano", taught, "wardrobe", tmp_path / "run", settings, lambda *_: None)
    student = import_keras().saving.load_model(tmp_path / "run" / runs.MODEL, compile=False)
    answers = recipe.probabilities(student, part.test.images).argmax(axis=1)
    assert (answers == 3).mean() > 0.9
    assert json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]["teacher"] == "always a dress"

    def stop(epoch: int, _share: float, _figures: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.train_run("edge-nano", taught, "wardrobe", tmp_path / "cut", settings, stop)
    other = recipe.Sources(wrong, None, distillation.Teacher("another", "2", says_dress))
    with pytest.raises(DataError, match="other settings"):
        recipe.train_run("edge-nano", other, "wardrobe", tmp_path / "cut", settings, lambda *_: None)


@pytest.mark.train
def test_a_last_step_of_less_than_a_batch_is_left_out_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of many steps is whole batches alone, and one of few steps loses no picture."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 8))
    for batch_size, steps in ((4, 30), (16, 8)):  # 110 pictures, 9 as a camera sees them and 4 of nothing
        heard: list[float] = []

        def listen(_epoch: int, share: float, figures: object, heard: list[float] = heard) -> None:
            if figures is None:
                heard.append(share)

        settings = recipe.Settings(epochs=1, batch_size=batch_size)
        recipe.train_run(
            "edge-nano", recipe.Sources(small(), None), "wardrobe", tmp_path / str(steps), settings, listen
        )
        assert (len(heard), heard[-1]) == (steps, 1.0)


def test_a_share_without_a_teacher_is_refused(cli: RunCli, tmp_path: Path) -> None:
    """A teacher's share of the loss says nothing without one, and is not passed over."""
    result = cli("train", "edge-nano", "--data", "wardrobe", "--teacher-share", "0.5", "-o", tmp_path / "run")
    assert result.code == 2
    assert "give --teacher too" in result.err
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_classes_is_refused(cli: RunCli, tmp_path: Path) -> None:
    """A teacher must tell the same classes apart, in pictures of the same size."""
    result = cli("train", "edge-nano", "--data", "wardrobe", "--teacher", "digits", "-o", tmp_path / "run")
    assert result.code == 2
    assert "the teacher digits tells 0, 1, 2" in result.err


def small() -> datasets.Dataset:
    """Return a small part of the drawn garments."""
    return datasets.limited(datasets.load("wardrobe"), 120, 40)


@pytest.mark.train
@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after any epoch and run again, a training ends with the very weights of one that was not stopped."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 8))
    settings = recipe.Settings(epochs=3, batch_size=32)
    sources = recipe.Sources(small(), None)

    def stop(epoch: int, share: float, _figures: object) -> None:
        if epoch == 2 and share > 0.5:
            raise KeyboardInterrupt

    whole = recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "whole", settings, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "cut", settings, stop)
    assert not (tmp_path / "cut" / runs.RECORD).exists()
    with pytest.raises(DataError, match="other settings"):
        recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "cut", recipe.Settings(), stop)
    others = recipe.Sources(datasets.limited(datasets.load("wardrobe"), 100, 40), None)
    with pytest.raises(DataError, match="pictures"):
        recipe.train_run("edge-nano", others, "wardrobe", tmp_path / "cut", settings, stop)
    cut = recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "cut", settings, lambda *_: None)
    assert replace(cut, seconds=whole.seconds) == whole
    assert (tmp_path / "cut" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    load = import_keras().saving.load_model
    for first, second in zip(
        load(tmp_path / "whole" / runs.MODEL).variables,
        load(tmp_path / "cut" / runs.MODEL).variables,
        strict=True,
    ):
        assert np.array_equal(np.asarray(first), np.asarray(second))


def test_a_blended_view_may_be_any_class_of_the_two() -> None:
    """A blended view lies between two views and may be what either is; one of no class is blended only with such; none is unless asked for."""
    contents = tuple(picture(seed) for seed in range(12))
    allowed = np.repeat(np.concatenate([np.eye(3, dtype=bool)[:2], np.zeros((1, 3), bool)]), 4, axis=0)
    taken = mixture.Photographs(contents, np.zeros((12, 28, 28, 1), np.uint8), allowed, ("",) * 12)
    nothing = datasets.Split(np.zeros((0, 28, 28, 1), np.uint8), np.zeros(0, np.int64))
    material = Material(nothing, taken, {}, 3)
    drawn = {
        share: epoch.pictures(material, Mix(views=1, blended=share, scenes=0, empties=0), 0, 0)
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


@pytest.mark.train
@pytest.mark.slow
def test_a_training_begins_with_the_weights_of_a_run(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run has learnt is there from the first epoch on, a killed training goes on only with the same run, and a run of another network is refused."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(8, 8, 16))
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec: part)
    begun = recipe.Settings(epochs=12, batch_size=16, averaging=0.9)
    plain = recipe.Sources(part, None)
    for folder, seed in (("first", 0), ("second", 1)):
        settings = replace(begun, seed=seed)
        recipe.train_run("edge-nano", plain, "wardrobe", tmp_path / folder, settings, lambda *_: None)
    gentle = replace(begun, epochs=2, learning_rate=1e-6)
    losses_of = {}
    for name, start in (("drawn", None), ("kept", tmp_path / "first")):
        sources = recipe.Sources(part, None, start=start)
        recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / name, gentle, lambda *_: None)
        losses_of[name] = (tmp_path / name / runs.HISTORY).read_text().splitlines()[1].split(",")[1]
    assert float(losses_of["kept"]) < 0.7 * float(losses_of["drawn"])

    def stop(_epoch: int, _share: float, figures: object) -> None:
        if figures is not None:
            raise KeyboardInterrupt

    sources = recipe.Sources(part, None, start=tmp_path / "first")
    with pytest.raises(KeyboardInterrupt):
        recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "cut", begun, stop)
    other = recipe.Sources(part, None, start=tmp_path / "second")
    with pytest.raises(DataError, match="weights to begin with"):
        recipe.train_run("edge-nano", other, "wardrobe", tmp_path / "cut", begun, lambda *_: None)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    refused = cli("train", "edge", "--data", "wardrobe", "--start", tmp_path / "no", "-o", tmp_path / "first")
    assert refused.code == 2
    assert str(tmp_path / "no") in refused.err
    into_itself = recipe.Sources(part, None, start=tmp_path / "first")
    with pytest.raises(DataError, match="another folder with -o"):
        recipe.train_run("edge-nano", into_itself, "wardrobe", tmp_path / "first", begun, lambda *_: None)
    with pytest.raises(DataError, match="is a run of edge-nano"):
        recipe.train_run("edge", into_itself, "wardrobe", tmp_path / "wide", begun, lambda *_: None)
    assert {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()} == kept
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(8, 8, 24))
    with pytest.raises(DataError, match="an earlier network"):
        recipe.train_run("edge-nano", sources, "wardrobe", tmp_path / "second", begun, lambda *_: None)
    assert (tmp_path / "second" / runs.RECORD).exists()


@pytest.mark.train
def test_no_test_picture_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture of an epoch comes from the training part: with an erased training part no trace of test or validation is left."""
    dataset = small()
    blank = datasets.Split(np.zeros_like(dataset.train.images), dataset.train.labels)
    material = Material(blank, None, {"test": (dataset.test.images, np.ones((40, 10), bool))}, 10)
    still = Mix(scenes=0, empties=0, variation=Variation(erase=0))
    drawn = epoch.pictures(material, still, 0, 0)
    assert not drawn.images.any()
    assert len(drawn.images) == len(drawn.allowed) == 120


@pytest.mark.train
@pytest.mark.slow
def test_from_photographs_to_int8(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train on two data sets with a map, then export: int8 is calibrated on what the run kept of both."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 8))
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec: part)
    text = MAP.replace('"Dress"', '"Dress"').replace(
        '["Sandal", "Sneaker"]', '["Sandal", "Sneaker", "Ankle boot"]'
    )
    (tmp_path / "map.toml").write_text(text)
    arguments = [
        "--data",
        "wardrobe",
        "--data",
        f"photos={photos}",
        "--map",
        tmp_path / "map.toml",
        "--epochs",
        "2",
        "--learning-rate",
        "0.001",
    ]
    trained = cli("train", "edge-nano", *arguments, "-o", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]["learning_rate"] == 0.001
    assert "photographs" in trained.out
    assert "broken.jpg" in trained.err
    with np.load(tmp_path / "run" / runs.CALIBRATION) as kept:
        assert kept["images"].shape[1:] == (28, 28, 1)
        assert len(kept["images"]) > 110
    with np.load(tmp_path / "run" / runs.LESSON) as kept:
        known = kept["allowed"].any(axis=1)
        assert 0 < known.sum() == (~known).sum()
        assert kept["images"].shape == (len(known), 28, 28, 1)
    exported = cli("export", tmp_path / "run", "--int8", "--max-drop", "1", "-o", tmp_path / "x.onnx")
    assert exported.code in {0, 1}, exported.err
    assert any(Classifier.load(tmp_path / "x.onnx").passport.decision.familiarity)


@pytest.mark.train
@pytest.mark.slow
def test_photographs_of_nothing_only_teach(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs that are all of no class teach a model to be unsure: no figure is made of them, and threshold and temperature stay fitted to the data set's."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 8))
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec: part)
    for kind in ("dress", "shoes"):
        shutil.rmtree(photos / kind)
    arguments = ["--data", "wardrobe", "--data", f"photos={photos}", "--map", photos.parent / "map.toml"]
    (photos.parent / "map.toml").write_text("[photos]\nhat = []\n")
    trained = cli("train", "edge-nano", *arguments, "--epochs", "1", "-o", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert (tmp_path / "run" / runs.HISTORY).read_text().splitlines()[0] == "epoch,loss,wardrobe"
    with np.load(tmp_path / "run" / runs.VALIDATION) as kept:
        assert kept["allowed"].any(axis=1).all()
        assert len(kept["images"]) == len(part.split_validation(recipe.VALIDATION_SHARE, 0)[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("edge", "--data", "photos=x"),
        ("edge", "--data", "wardrobe", "--data", "photos=x"),
        ("edge", "--data", "wardrobe", "--map", "x"),
        ("cnn", "--data", "wardrobe", "--data", "mnist"),
        ("cnn", "--data", "wardrobe", "--map", "x"),
        ("cnn", "--data", "wardrobe", "--teacher", "fashion"),
    ],
)
def test_data_that_does_not_go_together(cli: RunCli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What a recipe does not take is said with what it takes."""
    result = cli("train", *arguments, "-o", tmp_path / "run")
    assert result.code == 2
    assert "--data" in result.err


@pytest.mark.train
@pytest.mark.slow
def test_nothing_is_learnt_or_chosen_from_the_test_part(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another test part, weights, calibration, familiarity, temperature, threshold and the figures of every int8 are the very same."""
    # Else the fastest of this moment is chosen, and temperature and threshold are of that file.
    monkeypatch.setattr(int8, "_timed", lambda candidates, _shape: candidates)
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(4, 4, 8))
    part = small()
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, part.test.images.shape, dtype=np.uint8)
    kept = []
    for name, test in (("own", part.test), ("other", datasets.Split(others, part.test.labels[::-1].copy()))):
        told = replace(part, test=test)
        monkeypatch.setattr(datasets, "load", lambda _name, *_spec, told=told: told)
        folder, file = tmp_path / name, tmp_path / f"{name}.onnx"
        settings = recipe.Settings(epochs=1, batch_size=32)
        recipe.train_run(
            "edge-nano", recipe.Sources(told, None), "wardrobe", folder, settings, lambda *_: None
        )
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
        assert done.code == 0, done.err
        passport = Classifier.load(file).passport
        pictures = [
            np.load(folder / kind)["images"] for kind in (runs.CALIBRATION, runs.VALIDATION, runs.LESSON)
        ]
        assert any(passport.decision.familiarity)
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
