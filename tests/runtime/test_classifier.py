"""The classifier, on a model whose answer is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_runtime.artifact.model_file import BUNDLED
from edge_fm_runtime.artifact.passport import Decision
from edge_fm_runtime.batch.options import BATCH, RowOptions
from edge_fm_runtime.batch.outputs.rows import decode
from edge_fm_runtime.batch.workers.inference import label_rows
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError, ModelError
from edge_fm_runtime.golden import replay
from edge_fm_runtime.image import preprocess
from edge_fm_runtime.image.guard import DEFAULT_LIMITS, Limits
from edge_fm_runtime.status import Status
from tests.pictures import encoded


def grey(level: int, size: int = 28) -> NDArray[np.uint8]:
    """Return an even grey square."""
    return np.full((size, size), level, np.uint8)


def test_a_file_bytes_and_a_frame_agree(tiny: Classifier, tmp_path: Path) -> None:
    """The three ways in give one answer."""
    path = tmp_path / "a b.png"
    path.write_bytes(encoded(grey(204, 60)))
    from_file, from_bytes = tiny.classify(path), tiny.classify(path.read_bytes())
    from_frame = tiny.classify_frame(np.dstack([grey(204, 60)] * 3))
    assert from_file == from_bytes == from_frame
    assert from_file.label == "light"
    assert from_file.confidence == pytest.approx(0.8, abs=1e-6)
    assert from_file.ranking[1][0] == "dark"
    assert from_file.ranking[1][1] == pytest.approx(0.2, abs=1e-6)


def test_below_the_threshold_is_unknown(tiny: Classifier) -> None:
    """A confidence under the passport's threshold is `unknown`, and the label is still given."""
    answer = tiny.classify(encoded(grey(140)))
    assert (answer.status, answer.label) == (Status.UNKNOWN, "light")
    assert tiny.classify(encoded(grey(200))).status is Status.OK


class FixedSession:
    """Answers the same row for every picture."""

    def __init__(self, row: list[float]) -> None:
        self.row = row

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.repeat(np.array([self.row], np.float32), len(images), axis=0)


@pytest.mark.parametrize(
    ("decision", "confidence"),
    [
        (Decision(), "0.8000"),
        (Decision(groups=(("dark", "light"),)), "1.0000"),
        (Decision(known_class_weights=(0.0, 0.0, 0.0)), "0.4000"),
        (Decision(groups=(("dark", "light"),), known_class_weights=(0.0, 0.0, 0.0)), "0.5000"),
    ],
)
def test_a_row_has_the_confidence_of_the_answer(
    tiny: Classifier, tmp_path: Path, decision: Decision, confidence: str
) -> None:
    """A labelled file's confidence is the one that its status hangs on: of its group, and of how familiar it is."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(grey(204, 60)))
    classifier = Classifier(FixedSession([0.2, 0.8]), replace(tiny.passport, decision=decision, golden=()))
    (row,) = [decode(line)[0] for line in label_rows(classifier, [f"{path}"], RowOptions(top=2))]
    assert row.ranking[0] == ("light", confidence)
    assert row.ranking[0][1] == f"{classifier.classify(path).confidence:.4f}"
    assert row.ranking[1] == ("dark", "0.1000" if decision.known_class_weights else "0.2000")


def test_temperature_softens_without_changing_the_order(tiny: Classifier) -> None:
    """Probabilities to the power of 1 / T, normalised."""
    import dataclasses

    soft = dataclasses.replace(tiny.passport, decision=Decision(temperature=2.0))
    row = Classifier(FixedSession([0.9, 0.1]), soft).probabilities(np.zeros((1, 28, 28, 1), np.uint8))[0]
    expected = np.sqrt([0.9, 0.1]) / np.sqrt([0.9, 0.1]).sum()
    np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_ties_go_to_the_first_label(tiny: Classifier) -> None:
    """Equal probabilities are ranked in the order of the labels, on every machine."""
    even = Classifier(FixedSession([0.5, 0.5]), tiny.passport)
    assert [name for name, _ in even.classify(encoded(grey(0))).ranking] == ["dark", "light"]


def test_no_pictures_is_no_predictions(tiny: Classifier) -> None:
    """An empty batch is an empty answer."""
    assert tiny.decide(np.zeros((0, 2), np.float32)) == []


def test_a_model_without_a_passport_needs_labels(bare_path: Path) -> None:
    """It is refused with the way to get one; with labels it runs with the default recipe."""
    with pytest.raises(ModelError, match="edge-fm export"):
        Classifier.load(bare_path)
    assert Classifier.load(bare_path, ["night", "day"]).classify(encoded(grey(255))).label == "day"
    with pytest.raises(ModelError, match="3 labels"):
        Classifier.load(bare_path, ["a", "b", "c"])


def test_labels_cannot_contradict_a_passport(tiny_path: Path) -> None:
    """A passport's labels are the model's; saying otherwise is an error."""
    with pytest.raises(ModelError, match="dark, light"):
        Classifier.load(tiny_path, ["light", "dark"])


def test_a_missing_model_names_the_bundled_ones() -> None:
    """A typing error is answered with what there is."""
    with pytest.raises(ModelError, match="fashion"):
        Classifier.load("fashoin")


def test_bad_pictures_raise_their_status(tiny: Classifier) -> None:
    """The Python API raises what a row would say."""
    with pytest.raises(InputError) as caught:
        tiny.classify(b"")
    assert caught.value.status is Status.EMPTY


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_answer_as_exported(name: str) -> None:
    """Every bundled model's golden inputs are answered the same on this machine."""
    results = replay(Classifier.load(name))
    assert len(results) == 8
    assert [result.stage for result in results] == [""] * 8


def test_replay_names_the_stage(tiny: Classifier) -> None:
    """A difference is put down to decoding, preprocessing or the model."""
    import dataclasses

    def replayed(**changes: Any) -> str:
        golden = dataclasses.replace(tiny.passport.golden[3], **changes)
        passport = dataclasses.replace(tiny.passport, golden=(golden,))
        return replay(Classifier(tiny._session, passport))[0].stage

    assert replayed() == ""
    assert replayed(image=b"\xff\xd8\xff") == "decoding"
    assert replayed(image=encoded(grey(99))) == "preprocessing"
    assert replayed(own=(0.5, 0.5)) == "model"
    assert replayed(own=(float("nan"), 0.5)) == "model"


def test_replay_without_golden_inputs_says_so(tiny: Classifier) -> None:
    """A model that carries none cannot pass."""
    import dataclasses

    with pytest.raises(ModelError, match="golden"):
        replay(Classifier(tiny._session, dataclasses.replace(tiny.passport, golden=())))


def waves(quality: int = 90) -> bytes:
    """Return a JPEG that is decoded at a reduced scale."""
    y, x = np.mgrid[0:533, 0:400]
    return encoded((127 + 60 * np.sin(x / 3) * np.cos(y / 4)).astype(np.uint8), ".jpg")


@pytest.mark.parametrize(
    ("row", "reduced_decode_margin", "rounding", "is_close"),
    [
        ([0.52, 0.48], 0.7, 0, True),
        ([0.9, 0.1], 0.7, 0, False),
        ([0.52, 0.48], 0.1, 0, False),
        ([0.52, 0.48], 0.1, 0.1, True),
        ([0.9, 0.1], 7, 0, True),
    ],
)
def test_an_answer_that_hangs_on_little_is_looked_at_whole(
    tiny: Classifier, row: list[float], reduced_decode_margin: float, rounding: float, is_close: bool
) -> None:
    """Where two labels are nearly as likely, for this model, every pixel of a JPEG is decoded; where they are not, or all were, none is."""
    passport = replace(
        tiny.passport,
        decision=replace(
            tiny.passport.decision, reduced_decode_margin=reduced_decode_margin, rounding_margin=rounding
        ),
    )
    classifier, probabilities = Classifier(FixedSession(row), passport), np.array(row, np.float32)
    whole = classifier.redecode(waves(), probabilities)
    if is_close:
        full = preprocess.tensor_from_bytes(
            waves(), tiny.passport.input, tiny.passport.preprocess, full_scale=True
        )
        assert whole is not None
        np.testing.assert_array_equal(whole, full)
    else:
        assert whole is None
    assert classifier.redecode(encoded(grey(90, 500)), probabilities) is None


class Telling:
    """Says of the first picture of a size that it cannot decide, and is sure of any other."""

    def __init__(self, undecided: NDArray[np.uint8]) -> None:
        self.undecided = undecided

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        same = (images == self.undecided).all(axis=(1, 2, 3))
        return np.where(same[:, None], [[0.51, 0.49]], [[0.1, 0.9]]).astype(np.float32)


def test_the_second_look_decides(tiny: Classifier, tmp_path: Path) -> None:
    """What was seen with every pixel decoded is the answer, alone and in a folder, and stays in its own row."""
    spec, recipe = tiny.passport.input, tiny.passport.preprocess
    close, sure = waves(), encoded(grey(200))
    small = preprocess.tensor_from_bytes(close, spec, recipe)
    assert (small != preprocess.tensor_from_bytes(close, spec, recipe, full_scale=True)).any()
    classifier = Classifier(Telling(small), tiny.passport)
    assert classifier.classify(close).ranking[0][1] == pytest.approx(0.9)
    names = []
    for index in range(40):
        names.append(str(tmp_path / f"{index:02}.img"))
        Path(names[-1]).write_bytes(close if index % 3 == 0 else sure if index % 3 == 1 else b"")
    rows = [decode(line)[0] for line in label_rows(classifier, names, RowOptions())]
    assert [row.status for row in rows] == [
        (Status.OK, Status.OK, Status.EMPTY)[index % 3] for index in range(40)
    ]
    assert {row.ranking[0][1] for row in rows if row.ranking} == {"0.9000"}


def test_every_inference_is_watched_by_itself(tiny: Classifier, tmp_path: Path) -> None:
    """Of however many pictures a folder has, inferences are of one size, and each is begun, so that a slow model has its time for each."""
    told: list[int] = []

    class Watched:
        """Notes how many pictures it is asked about."""

        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            told.append(-len(images))
            return np.full((len(images), 2), [0.1, 0.9], np.float32)

    (tmp_path / "a.png").write_bytes(encoded(grey(200)))
    names = [str(tmp_path / "a.png")] * (2 * BATCH + 1)
    rows = list(label_rows(Classifier(Watched(), tiny.passport), names, RowOptions(), told.append))
    assert len(rows) == len(names)
    assert told == [*range(len(names)), *[len(names), -BATCH] * 3]


def test_the_second_look_has_the_limits_of_the_first(tiny: Classifier) -> None:
    """A file over the usual size, allowed by limits of the caller's own, is looked at twice like any other."""
    wide = Limits(max_bytes=2 * DEFAULT_LIMITS.max_bytes)
    large = waves() + b"\0" * DEFAULT_LIMITS.max_bytes
    spec, recipe = tiny.passport.input, tiny.passport.preprocess
    small = preprocess.tensor_from_bytes(large, spec, recipe, wide)
    assert Classifier(Telling(small), tiny.passport).classify(large, wide).ranking[0][1] == pytest.approx(0.9)


def test_many_pictures_at_once_are_answered_as_one_by_one(tiny: Classifier) -> None:
    """Each of any number of pictures has its own row, in their order, and no pictures have none."""
    greys = np.arange(0, 250, 2, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (len(greys), 28, 28, 1)).copy()
    together = tiny.raw_probabilities(images)
    alone = np.concatenate([tiny.raw_probabilities(image[np.newaxis]) for image in images])
    assert np.array_equal(together, alone)
    assert len(np.unique(together[:, 0])) == len(greys)
    assert tiny.raw_probabilities(images[:0]).shape == (0, 2)
