"""Bounds on the work of quantising."""

from typing import Any

import numpy as np
import pytest

from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph import cleanup, uint8_input
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization.scale import UNIT
from edge_fm_exporters.quantization import effort, search, static
from edge_fm_exporters.quantization.search import Candidate, Int8Limits
from edge_fm_exporters.quantization.static import Calibration, QuantizationSettings
from edge_fm_runtime.artifact.input_spec import InputSpec
from tests.exporters.networks import as_onnx

SMALL, LARGE = InputSpec(28, 28, 1), InputSpec(224, 224, 3)


def colour_network(spec: InputSpec) -> Any:
    """Return an untrained network that begins with a depthwise-separable block."""
    k = import_keras()
    k.utils.set_random_seed(0)
    return k.Sequential(
        [
            k.Input(spec.shape),
            k.layers.Conv2D(4, 3, strides=4, activation="relu6"),
            k.layers.DepthwiseConv2D(3, activation="relu6"),
            k.layers.Conv2D(8, 1, activation="relu6"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def inputs(spec: InputSpec, count: int) -> search.QuantizationInputs:
    """Return that network with noise to calibrate on, and answers that no file can give."""
    network = colour_network(spec)
    images = np.random.default_rng(0).integers(0, 256, (count, *spec.shape), np.uint8)
    expected = np.eye(3, dtype=np.float32)[np.arange(count) % 3]
    return search.QuantizationInputs(
        model=cleanup.clean(as_onnx(network, spec)),
        spec=spec,
        scale=UNIT,
        calibration=UNIT.apply(images),
        selection=LabelledImages("noise", "drawn", images, None),
        expected=expected,
    )


class TestBounds:
    """Numbers of images by their size."""

    def test_small_images_are_not_bounded(self) -> None:
        """Images of 28x28 are calibrated on by the thousand, a hundred at a time, and all are measured on."""
        assert effort.calibration_images(SMALL) == effort.CALIBRATION_IMAGES == 1000
        assert effort.batch_size(28, 28) == 100
        assert not effort.in_batches(28, 28)
        assert not effort.is_large(SMALL)
        given = LabelledImages("all", "training", np.zeros((60_000, 28, 28, 1), np.uint8), None)
        assert effort.selection_part(given) is given

    def test_large_images_are_bounded_by_their_pixels(self) -> None:
        """Fewer images of 224x224 are calibrated on, at least one at a time."""
        assert effort.calibration_images(LARGE) == 62
        assert effort.batch_size(224, 224) == 2
        assert effort.in_batches(224, 224)
        assert effort.is_large(LARGE)
        assert effort.batch_size(1024, 1024) == 1
        assert effort.calibration_images(InputSpec(1024, 1024, 3)) == 3

    def test_the_images_measured_on_are_spread_over_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each class keeps its share if images are left out, and labels stay with their images."""
        monkeypatch.setattr(effort, "_SELECTION_PIXELS", 16 * 30)
        labels = np.repeat(np.arange(3), 100)
        images = np.broadcast_to(labels[:, None, None, None], (300, 4, 4, 1)).astype(np.uint8)
        part = effort.selection_part(LabelledImages("ordered", "training", images, labels))
        assert np.bincount(part.labels).tolist() == [10, 10, 10]
        assert np.array_equal(part.images[:, 0, 0, 0], part.labels)


@pytest.mark.train
class TestSearch:
    """A search of a network for large images."""

    def test_three_candidates_are_tried_and_no_layer_is_probed(self) -> None:
        """Only float stems are tried, on the images that the bounds allow, also where none holds."""
        given = inputs(InputSpec(72, 72, 3), 12)
        fp32 = uint8_input.with_uint8_input(given.model, given.spec, UNIT).SerializeToString()
        tried = search.search(fp32, given, Int8Limits(max_drop=-1.0), lambda _step: None)
        expected = [
            QuantizationSettings(calibration, float_stem=True, images=606) for calibration in Calibration
        ]
        assert [candidate.recipe for candidate in tried] == [None, *expected]
        assert all("--max-drop" in candidate.verdict for candidate in tried[1:])

    def test_both_stems_are_tried_for_small_images(self) -> None:
        """At 64x64 there are six candidates."""
        recipes = search._recipes(inputs(InputSpec(64, 64, 3), 1))
        assert [recipe.float_stem for recipe in recipes] == [False] * 3 + [True] * 3

    def test_timing_ends_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the time is over, the fewest rounds have been run."""
        runs = []

        class Counting:
            def __init__(self, data: bytes) -> None:
                pass

            def run(self, images: Any) -> None:
                runs.append(len(images))

        monkeypatch.setattr(search, "OnnxSession", Counting)
        monkeypatch.setattr(search, "_TIMING_SECONDS", 0.0)
        file = Candidate("float32", None, b"", None, 0.0, (0.0, 0.0), None, 1.0)
        search._time([file], (4, 4, 1))
        assert len(runs) == 2 * search._MIN_ROUNDS

    def test_ranges_of_parts_are_those_of_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Percentiles found batch by batch are within a hundredth of those found at once."""
        given = inputs(InputSpec(32, 32, 3), 20)
        recipe = QuantizationSettings(Calibration.PERCENTILE)
        found = []
        for pixels in (2**20, 5 * 32 * 32):
            monkeypatch.setattr(effort, "_BATCH_PIXELS", pixels)
            model = static.quantize(given.model, given.calibration, recipe)
            found.append(
                {
                    tensor.name: tensor.float_data[0]
                    if tensor.float_data
                    else np.frombuffer(tensor.raw_data, np.float32)[0]
                    for tensor in model.graph.initializer
                    if tensor.name.endswith("_scale")
                    and "weights" not in tensor.name
                    and "bias" not in tensor.name
                }
            )
        assert found[0]
        assert found[0].keys() == found[1].keys()
        assert all(found[1][name] == pytest.approx(value, rel=0.01) for name, value in found[0].items())

    def test_no_more_images_are_calibrated_on_than_the_recipe_says(self) -> None:
        """Images behind the first ones change nothing, and the passport has their number."""
        given = inputs(InputSpec(32, 32, 3), 8)
        recipe = QuantizationSettings(images=4)
        other = given.calibration.copy()
        other[4:] = 1 - other[4:]
        files = [static.quantize(given.model, images, recipe) for images in (given.calibration, other)]
        assert files[0].SerializeToString() == files[1].SerializeToString()
        assert ("calibration_images", "4") in recipe.settings
