"""The classifier, on a model with known answers."""

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
    """A path, bytes and a frame of the same image give one answer."""
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
    """A confidence below the threshold is `unknown`, and the prediction keeps its label."""
    answer = tiny.classify(encoded(grey(140)))
    assert (answer.status, answer.label) == (Status.UNKNOWN, "light")
    assert tiny.classify(encoded(grey(200))).status is Status.OK


class FixedSession:
    """Returns the same row for every image."""

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
    """The confidence in a row is the one that decides its status, with group and known-class score."""
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


def test_no_images_have_no_predictions(tiny: Classifier) -> None:
    """An empty batch has no predictions."""
    assert tiny.decide(np.zeros((0, 2), np.float32)) == []


def test_a_model_without_a_passport_needs_labels(bare_path: Path) -> None:
    """Without labels it is refused with a remedy; with them it has the default preprocessing."""
    with pytest.raises(ModelError, match="edge-fm export"):
        Classifier.load(bare_path)
    assert Classifier.load(bare_path, ["night", "day"]).classify(encoded(grey(255))).label == "day"
    with pytest.raises(ModelError, match="3 labels"):
        Classifier.load(bare_path, ["a", "b", "c"])


def test_labels_cannot_contradict_a_passport(tiny_path: Path) -> None:
    """Labels that differ from those in the passport are an error."""
    with pytest.raises(ModelError, match="dark, light"):
        Classifier.load(tiny_path, ["light", "dark"])


def test_a_missing_model_names_the_bundled_ones() -> None:
    """The message for an unknown model lists the bundled models."""
    with pytest.raises(ModelError, match="fashion"):
        Classifier.load("fashoin")


def test_bad_images_raise_their_status(tiny: Classifier) -> None:
    """The Python API raises an error with the status of the row."""
    with pytest.raises(InputError) as caught:
        tiny.classify(b"")
    assert caught.value.status is Status.EMPTY


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_answer_as_exported(name: str) -> None:
    """The golden inputs of every bundled model give the same answers on this machine."""
    results = replay(Classifier.load(name))
    assert len(results) == 8
    assert [result.stage for result in results] == [""] * 8


def test_replay_names_the_stage(tiny: Classifier) -> None:
    """A difference is attributed to decoding, preprocessing or the model."""
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


def test_replay_without_golden_inputs_is_an_error(tiny: Classifier) -> None:
    """A model without golden inputs cannot pass."""
    import dataclasses

    with pytest.raises(ModelError, match="golden"):
        replay(Classifier(tiny._session, dataclasses.replace(tiny.passport, golden=())))


def waves(quality: int = 90) -> bytes:
    """Return a JPEG that is decoded at reduced size."""
    y, x = np.mgrid[0:533, 0:400]
    return encoded((127 + 60 * np.sin(x / 3) * np.cos(y / 4)).astype(np.uint8), ".jpg")


@pytest.mark.parametrize(
    ("row", "reduced_decode_margin", "rounding_margin", "is_close"),
    [
        ([0.52, 0.48], 0.7, 0, True),
        ([0.9, 0.1], 0.7, 0, False),
        ([0.52, 0.48], 0.1, 0, False),
        ([0.52, 0.48], 0.1, 0.1, True),
        ([0.9, 0.1], 7, 0, True),
    ],
)
def test_a_small_margin_repeats_the_decode(
    tiny: Classifier,
    row: list[float],
    reduced_decode_margin: float,
    rounding_margin: float,
    is_close: bool,
) -> None:
    """A JPEG is decoded at full size when its two likeliest labels are within the margin."""
    margins = {"reduced_decode_margin": reduced_decode_margin, "rounding_margin": rounding_margin}
    passport = replace(tiny.passport, decision=replace(tiny.passport.decision, **margins))
    classifier, probabilities = Classifier(FixedSession(row), passport), np.array(row, np.float32)
    decoded = classifier.redecode(waves(), probabilities)
    if is_close:
        full = preprocess.tensor_from_bytes(
            waves(), tiny.passport.input, tiny.passport.preprocess, full_scale=True
        )
        assert decoded is not None
        np.testing.assert_array_equal(decoded, full)
    else:
        assert decoded is None
    assert classifier.redecode(encoded(grey(90, 500)), probabilities) is None


class UndecidedOnce:
    """Cannot decide on one image, and is sure of any other."""

    def __init__(self, undecided: NDArray[np.uint8]) -> None:
        self.undecided = undecided

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        same = (images == self.undecided).all(axis=(1, 2, 3))
        return np.where(same[:, None], [[0.51, 0.49]], [[0.1, 0.9]]).astype(np.float32)


def test_the_full_size_decode_decides(tiny: Classifier, tmp_path: Path) -> None:
    """The answer after a full-size decode is the final one, for one image and in a folder."""
    spec, preprocessing = tiny.passport.input, tiny.passport.preprocess
    close, sure = waves(), encoded(grey(200))
    small = preprocess.tensor_from_bytes(close, spec, preprocessing)
    assert (small != preprocess.tensor_from_bytes(close, spec, preprocessing, full_scale=True)).any()
    classifier = Classifier(UndecidedOnce(small), tiny.passport)
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


def test_every_inference_has_its_own_time_limit(tiny: Classifier, tmp_path: Path) -> None:
    """All inferences have one batch size, and the watchdog is reset before each of them."""
    events: list[int] = []

    class RecordingSession:
        """Records the number of images of each inference."""

        def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            events.append(-len(images))
            return np.full((len(images), 2), [0.1, 0.9], np.float32)

    (tmp_path / "a.png").write_bytes(encoded(grey(200)))
    names = [str(tmp_path / "a.png")] * (2 * BATCH + 1)
    rows = list(label_rows(Classifier(RecordingSession(), tiny.passport), names, RowOptions(), events.append))
    assert len(rows) == len(names)
    assert events == [*range(len(names)), *[len(names), -BATCH] * 3]


def test_the_full_size_decode_has_the_same_limits(tiny: Classifier) -> None:
    """A file over the default limit is decoded again under the limits of the caller."""
    wide = Limits(max_bytes=2 * DEFAULT_LIMITS.max_bytes)
    large = waves() + b"\0" * DEFAULT_LIMITS.max_bytes
    spec, preprocessing = tiny.passport.input, tiny.passport.preprocess
    small = preprocess.tensor_from_bytes(large, spec, preprocessing, wide)
    assert Classifier(UndecidedOnce(small), tiny.passport).classify(large, wide).ranking[0][
        1
    ] == pytest.approx(0.9)


def test_a_batch_has_the_answers_of_single_images(tiny: Classifier) -> None:
    """Any number of images has one row each, in order, as if each were alone."""
    greys = np.arange(0, 250, 2, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (len(greys), 28, 28, 1)).copy()
    batch = tiny.raw_probabilities(images)
    alone = np.concatenate([tiny.raw_probabilities(image[np.newaxis]) for image in images])
    assert np.array_equal(batch, alone)
    assert len(np.unique(batch[:, 0])) == len(greys)
    assert tiny.raw_probabilities(images[:0]).shape == (0, 2)
