"""Run the main workflow on included samples: export, verify, label, classify a video."""

import csv
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fm import datasets
from edge_fm.demo import samples
from edge_fm.drawing.contact_sheet import SheetTile, write_sheet
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.batch.label import Model, label
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.golden import replay
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.live import loop
from edge_fm_runtime.live.cameras.opening import CameraSettings, open_camera
from edge_fm_runtime.live.text import TextView

GOOD_SHARE = 0.8
"""Fraction of the drawn garments that must be classified correctly."""

_MAX_DROP = 0.01  # the wardrobe has 1,000 test images: one is 0.001


@dataclass(frozen=True)
class DemoResult:
    """Result of a demo.

    Attributes:
        pictures: number of labelled garments.
        right: number of correct labels.
        different: number of golden inputs that gave other results on this machine.
    """

    pictures: int
    right: int
    different: int

    @property
    def good(self) -> bool:
        """Whether enough labels are correct and all golden inputs give the same results."""
        return self.right >= GOOD_SHARE * self.pictures and not self.different


def run(out: Path, notify: Callable[[str], None]) -> DemoResult:
    """Run the demo and write its files into a folder.

    Args:
        out: folder; created if missing.
        notify: called with a line about each step.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror}. Choose another folder with -o"
        ) from error
    pictures, video = _samples(out)
    model = _model(out, notify)
    data = read_model(model)
    classifier = Classifier.from_bytes(data)
    replayed = replay(classifier)
    different = sum(bool(result.stage) for result in replayed)
    notify(f"verify    {len(replayed) - different} of {len(replayed)} golden inputs the same on this machine")
    table = out / "labels.csv"
    summary = label(
        Model(data), [str(pictures)], table, Options(fresh=True), lambda _done, _total, _made: None
    )
    notify(f"label     {summary.rows} pictures into {table}")
    right = _contact_sheet(table, out / "contact-sheet.png")
    notify(f"webcam    {video.name}, one line for each change of label:")
    frames = loop.run(
        classifier,
        open_camera(str(video), CameraSettings(fast=True)),
        [TextView(lambda line: notify(f"          {line}"))],
    )
    notify(f"          {frames} frames")
    return DemoResult(summary.rows, right, different)


def _samples(out: Path) -> tuple[Path, Path]:
    """Return the folder of drawn garments and the video; draw them if there is no checkout."""
    pictures, video = samples.CHECKOUT / "wardrobe", samples.CHECKOUT / "wardrobe.mp4"
    if not pictures.is_dir():
        pictures = out / "wardrobe"
        samples.draw_pictures(pictures)
    if not video.is_file():
        video = out / "wardrobe.mp4"
        samples.draw_video(video)
    return pictures, video


def _model(out: Path, notify: Callable[[str], None]) -> str:
    """Export the seed CNN if its file and the tools are there, else copy the bundled model."""
    seed = samples.CHECKOUT / "cnn.keras"
    tools = all(
        importlib.util.find_spec(name) for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim")
    )
    if not tools or not seed.is_file():
        missing = (
            "the train extra is not installed" if not tools else "there is no checkout with samples/cnn.keras"
        )
        notify(f"export    skipped: {missing}; using the bundled model 'fashion'")
        (out / "fashion.onnx").write_bytes(read_model("fashion"))
        return str(out / "fashion.onnx")
    notify("export    samples/cnn.keras to int8, calibrated and measured on drawn garments ...")
    from edge_fm_exporters import ExportData, ExportRequest, export
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.normalization.scale import UNIT
    from edge_fm_exporters.pipeline import evidence_line
    from edge_fm_exporters.quantization.search import Int8Limits

    dataset = datasets.load("wardrobe")
    test = LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels)
    half = len(dataset.train) // 2
    ranges, rest = dataset.train.sample(half, seed=0), dataset.train.sample(len(dataset.train), seed=0)
    rest = rest.take(np.arange(half, len(rest)))
    choice = LabelledImages(dataset.name, "training", rest.images, rest.labels)
    target = out / "cnn.onnx"
    request = ExportRequest(
        source=seed,
        output=target,
        labels=dataset.class_names,
        scale=UNIT,
        int8=True,
        limits=Int8Limits(_MAX_DROP),
    )
    data = ExportData(
        name=dataset.name, licence=dataset.licence, calibration=ranges.images, test=test, selection=choice
    )
    result = export(request, data)
    notify(
        f"          {target}: {result.passport.precision.kind}, {result.size_bytes:,} bytes (fp32 {result.fp32_size_bytes:,})"
    )
    notify(f"          {evidence_line(result.passport.evidence[0])}")
    return str(target)


def _contact_sheet(table: Path, path: Path) -> int:
    """Draw the labelled images and return the number of correct labels."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tiles = []
    for row in rows:
        source = Path(row["path"])
        image = cv2.imread(str(source), cv2.IMREAD_COLOR)
        if image is not None and row["label"]:
            correct = row["label"] == samples.class_of(source)
            tiles.append(SheetTile(as_uint8(image), row["label"], float(row["confidence"]), correct))
    write_sheet(path, tiles)
    return sum(tile.correct for tile in tiles)
