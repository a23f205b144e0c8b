"""Out-of-fold networks, and the student that they teach."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm.augmentation.transforms import Variation
from edge_fm.datasets import photographs as photographs_module
from edge_fm.models import runs
from edge_fm.training.edge import cross_fitting, distillation, epoch_data, folds
from edge_fm.training.edge.cross_fitting import FoldSettings
from edge_fm.training.edge.epoch_data import EpochImages, Mix, TrainingImages
from edge_fm.training.edge.folds import FoldPlan
from edge_fm.training.edge.settings import EdgeSettings
from edge_fm_runtime.errors import DataError
from tests.conftest import RunCli
from tests.edge_fm.pictures import photographs_table, small, training_sources, write_recipe

STILL = Variation(flip=False, rotation=0, tilt=0, erase=0)


def photographs(people: str) -> tuple[photographs_module.Photographs, dict[str, str]]:
    """Return a photograph for each letter, and whose it is: that letter's."""
    count, names = len(people), tuple(f"dress/{index}.png" for index in range(len(people)))
    contents = tuple(np.full((112, 112), 10 * index, np.uint8) for index in range(count))
    tensors = np.zeros((count, 28, 28, 1), np.uint8)
    taken = photographs_module.Photographs(
        contents=contents,
        tensors=tensors,
        allowed=np.ones((count, 10), bool),
        folders=("dress",) * count,
        names=names,
    )
    return taken, dict(zip(names, people, strict=True))


def test_a_persons_photographs_are_of_one_fold() -> None:
    """Folds have about equal size, no group is divided, and the same division is reproducible."""
    part = small().train
    taken, whose = photographs("aaaabbbccdefgh")
    del whose["dress/13.png"]
    divided = cross_fitting.divide(FoldSettings(count=3, groups=whose), EdgeSettings(seed=4), part, taken)
    again = cross_fitting.divide(FoldSettings(count=3, groups=whose), EdgeSettings(seed=4), part, taken)
    of, other = divided.folds(part, taken, 4), again.folds(part, taken, 4)
    assert of.photographs is not None
    assert other.photographs is not None
    assert np.array_equal(of.product_images, other.product_images)
    assert np.array_equal(of.photographs, other.photographs)
    sizes = [np.bincount(array, minlength=3) for array in (of.product_images, of.photographs)]
    assert all(size.max() - size.min() <= 1 for size in sizes)
    for person in "abc":
        of_person = {int(of.photographs[i]) for i in range(14) if whose.get(taken.names[i]) == person}
        assert len(of_person) == 1


def test_many_folds_are_distinct() -> None:
    """Every picture is of one of the folds, also where there are hundreds."""
    part = datasets.Split(np.zeros((600, 28, 28, 1), np.uint8), np.zeros(600, np.int64))
    of = cross_fitting.divide(FoldSettings(count=300, groups={}), EdgeSettings(), part, None).folds(
        part, None, 0
    )
    assert np.array_equal(np.bincount(of.product_images, minlength=300), np.full(300, 2))


def test_groups_of_other_photographs_are_refused(tmp_path: Path) -> None:
    """Names that fit none of the photographs are said, before anything is trained, and not passed over."""
    taken, _ = photographs("ab")
    sources = training_sources(small(), photographs=(taken, taken))
    division = FoldSettings(count=2, groups={"1.png": "Ada"})
    with pytest.raises(DataError, match=r"such as dress/0\.png"):
        cross_fitting.train_folds(sources, EdgeSettings(), tmp_path, division, pytest.fail)
    assert not list(tmp_path.iterdir())


def test_what_is_left_out_is_that_fold() -> None:
    """A network trains on all but its fold; another validation part is refused."""
    part = small().train
    taken, whose = photographs("abcd")
    divided = cross_fitting.divide(FoldSettings(count=2, groups=whose), EdgeSettings(), part, taken)
    of = divided.folds(part, taken, 0)
    for fold in range(2):
        left, photos = (
            folds.product_images_without(fold, of, part),
            folds.photographs_without(fold, of, taken),
        )
        assert np.array_equal(left.images, part.images[of.product_images == 1 - fold])
        assert np.array_equal(left.labels, part.labels[of.product_images == 1 - fold])
        assert of.photographs is not None
        assert photos.names == tuple(np.array(taken.names)[of.photographs == 1 - fold])
        assert [content[0, 0] for content in photos.contents] == [10 * int(n[6]) for n in photos.names]
    for other, seed in ((part, 1), (part.sample(50, 0), 0)):
        with pytest.raises(DataError, match="use the same seed and validation_share"):
            divided.folds(other, taken, seed)


def test_every_picture_of_an_epoch_knows_its_fold() -> None:
    """Each image of an epoch has the fold of its content, and folds change no image."""
    shades = np.repeat(np.arange(1, 61, dtype=np.uint8) * 4, 28 * 28).reshape(60, 28, 28, 1)
    part = datasets.Split(shades, np.zeros(60, np.int64))
    taken, whose = photographs("abcdef")
    of = cross_fitting.divide(FoldSettings(count=3, groups=whose), EdgeSettings(), part, taken).folds(
        part, taken, 0
    )
    assert of.photographs is not None
    mix = Mix(views=2, mixup=0, scenes=1.0, empties=0.2, variation=STILL)
    drawn = epoch_data.draw_epoch(TrainingImages(part, taken, {}, 10, folds=of), mix, 0, 0)
    plain = epoch_data.draw_epoch(TrainingImages(part, taken, {}, 10), mix, 0, 0)
    assert plain.folds is None
    assert drawn.folds is not None
    assert np.array_equal(drawn.images, plain.images)
    kinds = drawn.allowed.sum(axis=1)  # of nothing, of the data set, photographs of any class
    counts = [np.bincount(drawn.folds[kinds == kind], minlength=3) for kind in (0, 1, 10)]
    assert counts[0].sum() == 12
    assert np.array_equal(counts[1], 2 * np.bincount(of.product_images, minlength=3))
    assert np.array_equal(counts[2], 2 * np.bincount(of.photographs, minlength=3))

    alone = epoch_data.draw_epoch(
        TrainingImages(part, None, {}, 10, folds=of), replace(mix, scenes=0.0, empties=0.0), 0, 0
    )
    fold_of = dict(zip(shades[:, 14, 14, 0].tolist(), of.product_images.tolist(), strict=True))
    assert alone.folds is not None
    assert [fold_of[shade] for shade in alone.images[:, 14, 14, 0].tolist()] == alone.folds.tolist()


def test_who_has_not_seen_a_picture_answers() -> None:
    """Each picture is answered by the network of its fold, and one of no fold by all together."""

    def saying(label: int) -> distillation.Probabilities:
        def rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.eye(4, dtype=np.float32)[np.full(len(images), label)]

        return rows

    teacher = distillation.Teacher(
        "folds", "", saying(3), (saying(0), saying(1)), FoldPlan(2, 0, 5, mirror=False)
    )
    images, of = np.zeros((5, 28, 28, 1), np.uint8), np.array([0, 1, 1, 0, 1], np.int32)
    drawn = EpochImages(images, np.zeros((5, 4), np.float32), None, of)
    assert np.array_equal(teacher.answers(drawn).argmax(axis=1), of)
    unfolded = EpochImages(images, np.zeros((5, 4), np.float32))
    assert (teacher.answers(unfolded).argmax(axis=1) == 3).all()


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_from_folds_to_a_student(cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out-of-fold networks teach a student, are not trained twice, and refuse another seed."""
    whole = datasets.load
    monkeypatch.setattr(
        datasets, "load", lambda data, spec=None, **_: datasets.limited(whole(data, spec), 120, 40)
    )
    common = "[settings]\nepochs = 1\nbatch_size = 16\n"
    command = ["train", write_recipe(tmp_path, f"{common}[folds]\ncount = 2"), "-o", tmp_path / "folds"]
    first = cli(*command)
    assert first.code == 0, first.err
    assert first.out.count("out of fold:") == 2
    assert "next: write teachers =" in first.out
    records = [path / runs.RECORD for path in folds.runs_of(tmp_path / "folds", 2)]
    made = [record.stat().st_mtime_ns for record in records]
    settings = [json.loads(record.read_text())["settings"] for record in records]
    assert [setting["left_out"][:11] for setting in settings] == ["fold 0 of 2", "fold 1 of 2"]
    assert {setting["label_smoothing"] for setting in settings} == {0.0}
    assert cli(*command).code == 0
    assert [record.stat().st_mtime_ns for record in records] == made

    garments = datasets.load("wardrobe")
    teacher = distillation.open_teacher(str(tmp_path / "folds"), "wardrobe", garments)
    images = garments.test.images
    flipped = np.ascontiguousarray(images[:, :, ::-1])
    for fold, run in enumerate(folds.runs_of(tmp_path / "folds", 2)):
        alone = distillation.open_teacher(str(run), "wardrobe", garments).probabilities
        drawn = EpochImages(
            images, np.zeros((len(images), 10), np.float32), None, np.full(len(images), fold, np.int32)
        )
        assert np.allclose(teacher.answers(drawn), (alone(images) + alone(flipped)) / 2, atol=1e-5)

    teachers = json.dumps([str(tmp_path / "folds"), "fashion"])
    command = ["train", write_recipe(tmp_path, f"{common}[distillation]\nteachers = {teachers}")]
    together = distillation.open_teachers([str(tmp_path / "folds"), "fashion"], "wardrobe", garments)
    either = EpochImages(images, drawn.allowed, None, np.arange(len(images), dtype=np.int32) % 2)
    bundled = distillation.open_teacher("fashion", "wardrobe", garments)
    mean = (teacher.answers(either) + bundled.answers(either)) / 2
    assert np.allclose(together.answers(either), mean, atol=1e-6)
    student = cli(*command, "-o", tmp_path / "student")
    assert student.is_written, student.err
    with pytest.raises(DataError, match="give one of them"):
        distillation.open_teachers([str(tmp_path / "folds")] * 2, "wardrobe", garments)
    other = cli(*command, "--set", "seed=1", "-o", tmp_path / "other")
    assert other.code == 2
    assert "use the same seed and validation_share" in other.err
    (tmp_path / "folds" / folds.RECORD).write_text("{}")
    broken = cli(*command, "-o", tmp_path / "other")
    assert broken.code == 2
    assert "train the folds again" in broken.err


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_nobody_answers_for_a_persons_photographs_who_has_seen_that_person(
    cli: RunCli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds respect groups of photographs, report out-of-fold scores and teach a student."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    people = {
        f"{kind}/{number}.jpg": ("Ada", "Ben", "Cem")[number % 3]
        for kind in ("dress", "shoes", "hat")
        for number in range(5)
    }
    rows = [f"{path},{person}" for path, person in people.items()]
    (tmp_path / "people.csv").write_text("\n".join(["path,person", *rows]))
    (tmp_path / "split.json").write_text('{"held_out": ["dress/0.jpg"]}')
    hold_out = f"hold_out = {json.dumps(str(tmp_path / 'split.json'))}"
    common = f"[settings]\nepochs = 1\nbatch_size = 16\n{photographs_table(photos, hold_out)}"
    divided = f"[folds]\ncount = 2\ngroups = {json.dumps(str(tmp_path / 'people.csv'))}\n"
    made = cli("train", write_recipe(tmp_path, common + divided), "-o", tmp_path / "folds")
    assert made.code == 0, made.err
    assert made.out.count(", photographs ") == 2
    plan = FoldPlan.load(tmp_path / "folds")
    assert set(plan.photographs) == set(people) - {"dress/0.jpg"}
    of_person = {
        person: {plan.photographs[path] for path in plan.photographs if people[path] == person}
        for person in people.values()
    }
    assert all(len(fold) == 1 for fold in of_person.values())
    assert set.union(*of_person.values()) == {0, 1}
    taught = f"[distillation]\nteachers = [{json.dumps(str(tmp_path / 'folds'))}]\n"
    student = cli("train", write_recipe(tmp_path, common + taught), "-o", tmp_path / "student")
    assert student.is_written, student.err


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("[folds]\ncount = 1", "expected a whole number from 2 to 1000"),
        ("[folds]\ngroups = 'people.csv'", "groups needs count and [photographs]"),
        ("[folds]\ncount = 2\n[distillation]\nteachers = ['fashion']", "takes no teachers and no init_from"),
    ],
)
def test_folds_that_do_not_go_together(cli: RunCli, tmp_path: Path, tables: str, said: str) -> None:
    """Keys of folds that would do nothing are refused with what to write instead."""
    result = cli("train", write_recipe(tmp_path, tables), "-o", tmp_path / "run")
    assert result.code == 2
    assert said in result.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"columns \(none\)"),
        ("path\n", "columns path"),
        ("path,a,b\n", "columns path, a, b"),
        ("path,a\nx\n", "cannot be read"),
    ],
)
def test_an_invalid_groups_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A file of other columns, a short row or no file is refused with what was expected."""
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        folds.read_groups(tmp_path / "people.csv")
    with pytest.raises(DataError, match="cannot be read"):
        folds.read_groups(tmp_path / "nowhere.csv")
    (tmp_path / "people.csv").write_text("person,path\nAda,dress/1.jpg\n")
    assert folds.read_groups(tmp_path / "people.csv") == {"dress/1.jpg": "Ada"}
