"""Layouts of inputs: images in the network's shape, and what is no image."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm_exporters.sources.input_layout import AxisOrder, Shape, input_layout, parse_size
from edge_fm_runtime.errors import ExportError, ModelError

PATH = Path("model.keras")


@pytest.mark.parametrize(
    ("shape", "size", "spec", "order"),
    [
        ((None, 28, 28), None, (28, 28, 1), AxisOrder.PLANE),
        ((32, 28, 20), None, (28, 20, 1), AxisOrder.PLANE),
        ((None, 784), None, (28, 28, 1), AxisOrder.VECTOR),
        ((None, 64), None, (8, 8, 1), AxisOrder.VECTOR),
        ((None, 3072), None, (32, 32, 3), AxisOrder.VECTOR),
        ((None, 768), (24, 32), (24, 32, 1), AxisOrder.VECTOR),
        ((None, 2304), (24, 32), (24, 32, 3), AxisOrder.VECTOR),
        ((None, 28, 28, 1), None, (28, 28, 1), AxisOrder.CHANNELS_LAST),
        ((None, 28, 28, 1), (28, 28), (28, 28, 1), AxisOrder.CHANNELS_LAST),
        ((None, 3, 20, 30), None, (20, 30, 3), AxisOrder.CHANNELS_FIRST),
        ((None, 1, 28, 28), None, (28, 28, 1), AxisOrder.CHANNELS_FIRST),
        ((None, None, None, 3), (20, 30), (20, 30, 3), AxisOrder.CHANNELS_LAST),
        ((None, 3, None, None), (20, 30), (20, 30, 3), AxisOrder.CHANNELS_FIRST),
        ((None, None, None), (20, 30), (20, 30, 1), AxisOrder.PLANE),
    ],
)
def test_images_are_recognised(
    shape: Shape, size: tuple[int, int] | None, spec: tuple[int, int, int], order: AxisOrder
) -> None:
    """Every usual shape of an input gives the size and the channels of its images."""
    layout = input_layout(PATH, shape, size)
    assert (layout.spec.shape, layout.order) == (spec, order)


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((None, 4), None, "a table of features"),
        ((None, 770), None, "such as --size 24x32"),
        ((None, 768), (10, 10), "whose product is 768"),
        ((None, None), None, "a sequence of any length"),
        ((None, None, None, 3), None, "--size 224x224"),
        ((None, 28, 28, 1), (32, 32), "leave --size out"),
        ((None, 28, 28, 4), None, "1 or 3 channels"),
        ((None, 5, 28, 28, 1), None, "expected images"),
        ((None,), None, "expected images"),
        ((None, 9000, 28, 1), None, "at most 1024"),
    ],
)
def test_what_is_no_image_is_refused(shape: Shape, size: tuple[int, int] | None, message: str) -> None:
    """An input that is no image, or whose size is open, is refused with the way on."""
    with pytest.raises(ModelError, match=message):
        input_layout(PATH, shape, size)


@pytest.mark.train
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((None, 4, 5), None),
        ((None, 3, 4, 5), None),
        ((None, 300), None),
        ((None, 4, 5, 3), None),
        ((None, 80), (8, 10)),
    ],
)
def test_the_graph_arranges_as_the_array_does(shape: Shape, size: tuple[int, int] | None) -> None:
    """Images in front of a converted graph reach it in the order in which the source gets them."""
    import onnxruntime
    from onnx import TensorProto, checker, helper

    layout = input_layout(PATH, shape, size)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])
    answered = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *shape[1:]])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [answered])
    model = layout.prepend(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    checker.check_model(model, full_check=True)
    images = np.random.default_rng(0).random((2, *layout.spec.shape), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_array_equal(session.run(None, {"image": images})[0], layout.arrange(images))


@pytest.mark.parametrize(
    "text", ["", "28", "x", "28x", "0x5", "28x28x1", "-1x4", "9999999x2", "٣x٣", "a x b"]
)
def test_a_size_that_is_none(text: str) -> None:
    """A wrong `--size` says how one is written."""
    with pytest.raises(ExportError, match="expected"):
        parse_size(text)


def test_a_size() -> None:
    """`--size` is height before width."""
    assert parse_size("24x32") == (24, 32)
    assert parse_size(None) is None
