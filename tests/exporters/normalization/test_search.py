"""Pixel scales: written into the file, and found where none is given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters import ExportRequest, export
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import RAW, UNIT, Scale, parse_scale
from edge_fm_exporters.normalization.search import FoundRecipe, KnownRecipe, find_recipe
from edge_fm_exporters.sources import keras
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity
from edge_fm_runtime.errors import ExportError, ModelError
from tests.exporters.networks import exported, shaken

pytestmark = pytest.mark.train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "channels", "shifts"),
    [
        (Scale("standard", (73.0,), (90.0,)), 1, 0),  # a pixel's value becomes zero: DequantizeLinear does it
        (Scale("standard", (72.94,), (90.02,)), 1, 1),
        (Scale("standard", (127.5,), (127.5,)), 1, 1),
        (Scale("standard", (120.0, 110.0, 100.0), (60.0, 59.0, 58.0)), 3, 0),
        (Scale("standard", (123.68, 116.78, 103.94), (58.4, 57.1, 57.4)), 3, 1),
        (Scale("standard", (9.0, 9.0, 9.0), (58.4, 57.1, 57.4)), 3, 0),
    ],
)
def test_standardised_pixels(scale: Scale, channels: int, shifts: int, tmp_path: Path) -> None:
    """A mean and deviation per channel become one node, and one Add where no pixel becomes zero."""
    k = import_keras()
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = exported(keras.load(tmp_path / "model.keras"), scale, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, shifts, 0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_that_scale_become_the_one_node(channels: int, tmp_path: Path) -> None:
    """Rescaling and Normalization layers are folded into the node at the input."""
    k = import_keras()
    mean, variance = [0.1, 0.2, 0.3][:channels], [0.5, 0.6, 0.7][:channels]
    model = shaken(
        k.Sequential(
            [
                k.Input((20, 20, channels)),
                k.layers.Rescaling(1 / 127.5, offset=-1),
                k.layers.Normalization(mean=mean, variance=variance),
                k.layers.Conv2D(4, 3, padding="same", activation="relu"),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
    )
    model.save(tmp_path / "model.keras")
    difference, kinds = exported(keras.load(tmp_path / "model.keras"), RAW, tmp_path / "m.onnx")
    assert difference < 1e-5
    assert (kinds["DequantizeLinear"], kinds["Add"], kinds["Mul"], kinds["Sub"]) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grey", r"expected unit, raw, symmetric, .*standard:MEAN"),
        ("unit:1:2", "expected unit, raw, symmetric"),
        ("imagenet:rgb", "expected unit, raw, symmetric"),
        ("standard:1", "expected unit, raw, symmetric"),
        ("standard:a:b", "expected unit, raw, symmetric"),
        ("standard:1:0", "above zero"),
        ("standard:1,2:3", "as many means as deviations"),
        ("standard:nan:1", "above zero"),
        ("standard", "--data"),
        ("standard-bgr", "--data"),
    ],
)
def test_an_invalid_scale_is_refused(text: str, said: str) -> None:
    """Each mistake is answered with what can be written."""
    with pytest.raises(ExportError, match=said):
        parse_scale(text, None)


def test_means_for_other_channels_are_refused(tmp_path: Path) -> None:
    """Three means for a grey network are a sentence that says both numbers, not a failure inside Keras."""
    k = import_keras()
    k.Sequential([k.Input((8, 8, 1)), k.layers.Flatten(), k.layers.Dense(3, activation="softmax")]).save(
        tmp_path / "model.keras"
    )
    request = ExportRequest(
        source=tmp_path / "model.keras",
        output=tmp_path / "m.onnx",
        labels=("a", "b", "c"),
        scale=parse_scale("standard:1,2,3:4,5,6", None),
    )
    with pytest.raises(ExportError, match="3 means, and the pictures have 1 channel:"):
        export(request, None)
    assert not (tmp_path / "m.onnx").exists()


PROTOTYPES = np.random.default_rng(5).integers(90, 166, (6, 4, 4, 3)).astype(np.float64)


def pictures(count: int, channels: int, noise: float = 50.0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy pictures of six classes, each about its prototype."""
    labels = np.arange(count) % 6
    rng = np.random.default_rng(0)
    shown = PROTOTYPES[labels, ..., :channels] + rng.normal(0, noise, (count, 4, 4, channels))
    return np.clip(shown, 0, 255).astype(np.uint8), labels


def nearest_prototype(scale: Scale, channels: int, noise: float = 50.0) -> SourceModel:
    """Return the best classifier of such pictures, for pixels of a scale."""
    wanted = scale.apply(np.rint(PROTOTYPES[..., :channels]).astype(np.uint8)).reshape(6, -1)
    spread = noise / np.broadcast_to(scale.divisor, (4, 4, channels)).reshape(-1)

    def predict(images: np.ndarray) -> np.ndarray:
        away = ((images.reshape(len(images), 1, -1) - wanted) / spread).astype(np.float64)
        scores = -0.5 * (away**2).sum(axis=2)
        scores -= scores.max(axis=1, keepdims=True)
        return (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)

    return SourceModel(Path("model.keras"), InputSpec(4, 4, channels), 6, predict, lambda _opset: None, ())


def found_on(source: SourceModel, images: np.ndarray, labels: np.ndarray, **known: object) -> FoundRecipe:
    """Return the recipe that is found on pictures of one shape."""
    part = LabelledImages("pictures", "train", images, labels)
    return find_recipe(source, lambda _fit: part, KnownRecipe(**known))


@pytest.mark.parametrize(
    "name",
    [
        *("unit", "raw", "symmetric", "imagenet", "caffe", "unit-bgr", "raw-bgr", "symmetric-bgr"),
        *("imagenet-bgr", "unit, inverted", "symmetric, inverted", "imagenet-bgr, inverted"),
    ],
)
def test_every_scale_is_found(name: str) -> None:
    """Scale, order of the colours and polarity of a colour network are found on its pictures."""
    scale, _, inverted = name.partition(", ")
    images, labels = pictures(300, 3)
    source = nearest_prototype(parse_scale(scale, None), 3)
    found = found_on(source, 255 - images if inverted else images, labels)
    polarity = Polarity.INVERT if inverted else Polarity.AS_IS
    assert (found.scale.name, found.preprocess.polarity) == (scale, polarity)
    assert found.scales[0].name == name
    assert name in found.reasons[0]


@pytest.mark.parametrize("name", ["unit", "raw", "symmetric"])
def test_grey_networks_are_not_tried_with_colours(name: str) -> None:
    """The scale of a grey network is found among those without colours."""
    images, labels = pictures(300, 1)
    found = found_on(nearest_prototype(parse_scale(name, None), 1), images, labels)
    assert found.scale.name == name
    tried = {trial.scale.name for trial in found.scales}
    assert tried == {"unit", "raw", "symmetric", "standard"}


def answering(answers: dict[float, tuple[float, float]]) -> SourceModel:
    """Return a two-class network whose accuracy and certainty depend on its brightest pixel.

    Args:
        answers: (share of pictures that it gets right, probability of its label) by that pixel, rounded.
    """

    def predict(images: np.ndarray) -> np.ndarray:
        share, probability = answers.get(round(float(images.max()), 1), (0.5, 0.9))
        labels = images[:, 0, 0, 0] > images[:, 0, 1, 0]
        said = np.where(np.arange(len(images)) < share * len(images), labels, ~labels)
        other = 1 - probability
        return np.where(said[:, None] == [[False, True]], probability, other).astype(np.float32)

    return SourceModel(Path("model.keras"), InputSpec(1, 2, 1), 2, predict, lambda _opset: None, ())


def two_shades(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of two pixels, of which the brighter one is the class."""
    labels = np.arange(count) % 2
    images = np.where(np.arange(2) == 1 - labels[:, None], 200, 0).astype(np.uint8)
    return images.reshape(count, 1, 2, 1), labels


def test_a_tie_within_chance_is_decided_by_the_log_loss() -> None:
    """The least log loss decides between scales that are right equally often; both are said."""
    images, labels = two_shades(1000)
    found = found_on(
        answering({0.8: (0.97, 0.99), 200.0: (0.973, 0.6)}), images, labels, polarity=Polarity.AS_IS
    )
    assert found.scale.name == "unit"
    assert "97.0%" in found.reasons[0]
    assert "97.3%" in found.reasons[0]
    assert "log loss" in found.reasons[0]


def test_a_less_accurate_scale_is_dropped_whatever_its_log_loss() -> None:
    """A scale that is less accurate beyond chance is not taken, although its log loss is lower."""
    images, labels = two_shades(1000)
    found = found_on(
        answering({0.8: (0.97, 0.51), 200.0: (0.9, 0.9)}), images, labels, polarity=Polarity.AS_IS
    )
    assert found.scale.name == "unit"
    assert found.scales[0].loss > next(trial.loss for trial in found.scales if trial.scale.name == "raw")


@pytest.mark.parametrize(("accuracy", "name"), [(0.97, "unit"), (0.9, "standard")])
def test_standard_is_taken_last(accuracy: float, name: str) -> None:
    """`standard` is taken only if every other scale is less accurate beyond chance."""
    images, labels = two_shades(1000)
    source = answering({0.8: (accuracy, 0.9), 1.0: (0.973, 0.99)})
    found = found_on(source, images, labels, polarity=Polarity.AS_IS)
    assert found.scale.name == name
    assert ("standard is taken last" in found.reasons[0]) == (name == "unit")


def test_a_network_at_chance_is_refused_unless_its_scale_is_known() -> None:
    """Without a scale better than chance the choices are listed; a known scale is taken as it is."""
    images, labels = two_shades(200)
    with pytest.raises(
        ExportError, match=r"no more often than by chance.*unit.*raw.*symmetric for \[-1, 1\]"
    ):
        found_on(answering({}), images, labels)
    found = found_on(answering({}), images, labels, scale="raw")
    assert (found.scale, found.preprocess.polarity) == (RAW, Polarity.AS_IS)


def test_pictures_of_one_shade_are_tried_without_standard() -> None:
    """A channel without deviation leaves `standard` out instead of ending the search."""
    images, labels = two_shades(400)
    flat = np.concatenate([images, np.full_like(images, 9), np.full_like(images, 9)], axis=3)
    found = found_on(replace(answering({200.0: (0.97, 0.9)}), spec=InputSpec(1, 2, 3)), flat, labels)
    assert "standard" not in {trial.scale.name for trial in found.scales}


@pytest.mark.parametrize("right", list(Fit))
def test_the_fit_is_tried_like_the_scale(right: Fit) -> None:
    """The fit with which the network is right on a folder's pictures is taken, with all figures."""
    images, labels = pictures(300, 3)
    shuffled = np.random.default_rng(3).permutation(images)

    def load(fit: Fit) -> LabelledImages:
        return LabelledImages("pictures", "train", images if fit is right else shuffled, labels)

    known = KnownRecipe(scale="unit", polarity=Polarity.AS_IS)
    found = find_recipe(nearest_prototype(UNIT, 3), load, known)
    assert found.preprocess.fit is right
    assert found.reasons[-1].startswith(f"fit: {right}, right most often")


def test_the_default_fit_is_said() -> None:
    """Stretch is taken and said if pictures do not tell the fits apart; a known fit is not."""
    images, labels = pictures(300, 3)
    source = nearest_prototype(UNIT, 3)
    found = found_on(source, images, labels, scale="unit", polarity=Polarity.AS_IS)
    assert found.preprocess.fit is Fit.STRETCH
    assert found.reasons[-1].startswith("fit: stretch, as Keras' own loaders do")
    known = found_on(source, images, labels, scale="unit", polarity=Polarity.AS_IS, fit=Fit.CROP)
    assert (known.preprocess.fit, known.reasons, known.scales) == (Fit.CROP, (), ())


def test_pictures_that_do_not_fit_are_refused() -> None:
    """Pictures of another shape or with more classes end the search with both numbers."""
    images, labels = pictures(60, 3)
    source = nearest_prototype(UNIT, 3)
    with pytest.raises(ModelError, match=r"\(4, 4, 3\), and pictures has \(4, 4, 1\)"):
        found_on(source, images[..., :1], labels)
    with pytest.raises(ModelError, match=r"has 7 classes, model\.keras 6"):
        found_on(source, images, labels + 1)
