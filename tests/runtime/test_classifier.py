"""The classifier, on a model whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import InputError, ModelError
from edge_fm_runtime.modelfile import BUNDLED
from edge_fm_runtime.passport import Decision
from edge_fm_runtime.replay import replay
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
