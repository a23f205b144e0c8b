"""Facts that an export finds out about a model file: pixels, fit, polarity and class names."""

from pathlib import Path

import numpy as np
import pytest

from edge_fm.cli import export_source
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.artifact.input_spec import Fit, InputSpec, Polarity, Preprocess
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli
from tests.exporters.networks import save, small

pytestmark = pytest.mark.train

COLOURS = {"blue": (200, 90, 40), "green": (60, 190, 70), "red": (50, 60, 210)}
"""Blue, green, red of the middle of each class's pictures, as OpenCV writes them."""


def mean_colour(path: Path, scale: float, *, inverted: bool = False) -> Path:
    """Save a network whose label is the strongest colour of the mean pixel.

    Args:
        path: `.keras` file to write.
        scale: largest value of a pixel.
        inverted: whether it takes inverted pictures.
    """
    k = import_keras()
    network = k.Sequential(
        [k.Input((16, 16, 3)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(3, activation="softmax")]
    )
    weights = np.eye(3)[:, ::-1] * 9 / scale * (-1 if inverted else 1)
    network.layers[-1].set_weights([weights, np.zeros(3)])
    network.save(path)
    return path


def write_pictures(folder: Path, count: int, *, classes: bool = True) -> Path:
    """Write wide pictures with the class's colour in the middle and noise or stripes beside it.

    The stripes have the pure colour of any class: no scale of the pixels gets the better of them.
    """
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        target = folder / name if classes else folder
        target.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = rng.integers(60, 200, (32, 64, 3)).astype(np.uint8)
            picture[:, 16:48] = np.clip(np.array(colour) + rng.normal(0, 60, (32, 32, 3)), 0, 255)
            if index % 2:
                picture[:, :12] = picture[:, -12:] = 255 * np.eye(3, dtype=np.uint8)[rng.integers(3)]
            cv2.imwrite(str(target / f"{name}-{index}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three classes whose colour is in the middle of wide pictures."""
    return write_pictures(tmp_path_factory.mktemp("colours") / "colours", 40)


@pytest.mark.slow
def test_scale_and_fit_are_found_on_a_folder(cli: RunCli, tmp_path: Path, pictures: Path) -> None:
    """A folder decides on pixels and fit; the figures are printed and the passport has the recipe."""
    model = mean_colour(tmp_path / "m.keras", 255.0)
    done = cli("export", model, "--data", pictures, "-o", tmp_path / "m.onnx")
    assert done.code == 0, done.err
    assert "pixels in training: raw, " in done.out
    assert "fit: crop, right most often: crop 100.0% (log loss" in done.out
    recipe = Classifier.load(tmp_path / "m.onnx").passport.preprocess
    assert (recipe.fit, recipe.polarity) == (Fit.CROP, Polarity.AS_IS)
    measured = cli("evaluate", tmp_path / "m.onnx", "--data", pictures)
    assert "accuracy 1.0000" in measured.out
    stretched = cli("evaluate", model, "--data", pictures)
    assert stretched.code == 0, stretched.err
    assert "accuracy 1.0000" not in stretched.out


@pytest.mark.slow
def test_a_given_fit_and_polarity_hold_for_the_folder(cli: RunCli, tmp_path: Path, pictures: Path) -> None:
    """--fit and --polarity decide how the pictures of --data are read, in the export and afterwards."""
    model = mean_colour(tmp_path / "m.keras", 1.0, inverted=True)
    line = ("export", model, "--data", pictures, "--scale", "unit", "-o", tmp_path / "m.onnx")
    right = cli(*line, "--polarity", "invert", "--fit", "crop")
    assert right.code == 0, right.err
    assert "accuracy 1.0000" in right.out
    wrong = cli(*line, "--polarity", "as-is", "--fit", "crop")
    assert "accuracy 1.0000" not in wrong.out
    found = cli(*line)
    assert "polarity: invert, right most often" in found.out
    assert Classifier.load(tmp_path / "m.onnx").passport.preprocess.polarity is Polarity.INVERT


@pytest.mark.slow
@pytest.mark.parametrize("classes", [True, False])
def test_int8_on_pictures_without_labels(cli: RunCli, tmp_path: Path, *, classes: bool) -> None:
    """A folder of pictures alone gives int8, selected by the labels of the float32 file."""
    folder = write_pictures(tmp_path / "pictures", 20, classes=classes)
    model = mean_colour(tmp_path / "m.keras", 1.0)
    done = cli(
        "export", model, "--calibration", folder, "--scale", "unit", "--fit", "crop", "--int8",
        "--min-speedup", 0, "-o", tmp_path / "m.onnx",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "int8, " in done.out
    assert "labels agree on 100.00%" in done.out
    assert "15 pictures of pictures without labels" in done.out
    assert "15 images of pictures (held out, without labels)" in done.out


def test_too_few_pictures_without_labels(cli: RunCli, tmp_path: Path) -> None:
    """Fewer than twenty pictures are refused with their number."""
    folder = write_pictures(tmp_path / "pictures", 5)
    model = mean_colour(tmp_path / "m.keras", 1.0)
    refused = cli("export", model, "--calibration", folder, "--scale", "unit", "-o", tmp_path / "m.onnx")
    assert refused.code == 2
    assert "has 15 readable pictures, expected at least 20" in refused.err
    assert cli("export", model, "--scale", "unit", "--int8", "-o", tmp_path / "m.onnx").code == 2


@pytest.mark.parametrize(
    ("text", "labels", "says"),
    [
        ("0 cat\n1 dog\n2 bird\n", ("cat", "dog", "bird"), "labels: of"),
        ("cat\ndog\n", ("class 0", "class 1", "class 2"), "has 2 names, and the model has 3 outputs"),
        ("cat\ncat\n", ("class 0", "class 1", "class 2"), "is left out"),
        (None, ("class 0", "class 1", "class 2"), "name them with --labels"),
    ],
)
def test_class_names_beside_the_model(
    cli: RunCli, tmp_path: Path, text: str | None, labels: tuple[str, ...], says: str
) -> None:
    """A file beside the model names its outputs; without a fitting one they are numbered, with a warning."""
    model = mean_colour(tmp_path / "m.keras", 1.0)
    if text is not None:
        (tmp_path / "labels.txt").write_text(text)
    done = cli("export", model, "--scale", "unit", "-o", tmp_path / "m.onnx")
    assert done.code == 0, done.err
    assert says in done.err
    assert Classifier.load(tmp_path / "m.onnx").passport.labels == labels


def test_a_given_file_with_another_number_of_names(cli: RunCli, tmp_path: Path) -> None:
    """--labels with another number of names than outputs is refused with both numbers."""
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    model = mean_colour(tmp_path / "m.keras", 1.0)
    line = ("export", model, "--scale", "unit", "--labels", tmp_path / "two.txt", "-o", tmp_path / "m.onnx")
    refused = cli(*line)
    assert refused.code == 2
    assert "has 3 outputs and 2 labels were given" in refused.err


@pytest.mark.slow
def test_labels_in_another_order_than_the_folder(cli: RunCli, tmp_path: Path, pictures: Path) -> None:
    """Names of the same classes in the order of the outputs are matched with the folder's by name."""
    model = mean_colour(tmp_path / "m.keras", 1.0)
    k = import_keras()
    network = k.saving.load_model(model)
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel[:, ::-1], bias])
    network.save(model)
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    done = cli("export", model, "--data", pictures, "--fit", "crop", "-o", tmp_path / "m.onnx")
    assert done.code == 0, done.err
    assert "accuracy 1.0000" in done.out
    assert Classifier.load(tmp_path / "m.onnx").passport.labels == ("red", "green", "blue")


@pytest.mark.train
def test_the_model_is_never_its_own_output(tmp_path: Path, cli: RunCli) -> None:
    """An export onto its own source, under any name, is refused, and the source stays as it is."""
    (tmp_path / "m.onnx").write_bytes(b"a user's model")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "m.onnx")
    for out in ("m.onnx", "link.onnx"):
        done = cli("export", tmp_path / "m.onnx", "-o", tmp_path / out, "--scale", "unit")
        assert done.code == 2
        assert "is the model that is to be exported" in done.err
    assert (tmp_path / "m.onnx").read_bytes() == b"a user's model"


@pytest.mark.train
@pytest.mark.slow
def test_calibration_pictures_are_of_every_class(tmp_path: Path) -> None:
    """Pictures come class by class from a folder, and are shuffled before some of them calibrate."""
    for level, name in enumerate(("a", "b", "c")):
        (tmp_path / name).mkdir()
        for number in range(30):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((28, 28), 80 * level, np.uint8))
    images = export_source._pictures(str(tmp_path), InputSpec(28, 28, 1), Preprocess())
    assert len(np.unique(images[:30])) == 3
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no picture that can be read"):
        export_source._pictures(str(tmp_path / "none"), InputSpec(28, 28, 1), Preprocess())


@pytest.mark.train
def test_labels_beside_a_model_must_be_those_of_the_data(tmp_path: Path, cli: RunCli) -> None:
    """A label file that lies beside a model by chance does not rename the classes of the data in silence."""
    model = save(tmp_path / "m.keras", small)
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            image = rng.integers(0, 256, (28, 28), np.uint8)
            cv2.imwrite(str(tmp_path / "data" / name / f"{number}.png"), image)
    line = ("export", model, "--data", tmp_path / "data", "-o", tmp_path / "m.onnx", "--scale", "unit")
    done = cli(*line)
    assert done.code == 2
    assert "has the classes a, b, c, and the model has cat, dog, bird" in done.err
