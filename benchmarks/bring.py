"""Export models that strangers made and check them independently: bring.py FOLDER [--only NAME].

FOLDER has a sub-folder for each model. Each is exported, verified and labels 200 pictures, or 1,000 test
images; its labels are compared with those of `bring_reference.py`, which reads model and pictures with no
code of ours. Models whose folder begins with `fashion` or `mnist` are exported with that data set
(EDGE_FM_DATA), and their scale is judged on its test part: log loss within 5 % of the best scale's. The table
has a line for each model; exit code 1 if one fails.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm import datasets
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.image.opencv import cv2

HERE = Path(__file__).resolve().parent
PICTURES = 200
TEST_PICTURES = 1000
SUFFIXES = (".zip", ".h5", ".hdf5", ".keras", ".tflite", ".onnx")
DATA = {"fashion": "fashion-mnist", "mnist": "mnist"}


@dataclass
class Line:
    """A line of the table.

    Attributes:
        name: of the model's folder.
        outcome: `exported`, `refused`, or the step that failed.
        said: the error, or the scale and fit that were taken.
        seconds: of the export, as a whole process.
        agreed: share of pictures with the label of the independent reading.
        scale_is_right: whether the scale is as good as the best; None without labelled data.
    """

    name: str
    outcome: str
    said: str = ""
    seconds: float = 0.0
    agreed: float | None = None
    scale_is_right: bool | None = None


def model_in(folder: Path) -> Path | None:
    """Return the model of a folder."""
    saved = next(iter(sorted(folder.rglob("saved_model.pb"))), None)
    files = [file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES]
    return files[0] if files else saved.parent if saved is not None else None


def command(*arguments: object) -> tuple[int, str, float]:
    """Run `edge-fm` and return exit code, output and seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edge_fm", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr, time.perf_counter() - begun


def exported(folder: Path, model: Path, out: Path) -> tuple[int, str, float]:
    """Export a model, with its data set if it has one; where it asks for the scale, answer unit."""
    data = DATA.get(folder.name.split("-")[0])
    code, text, seconds = command("export", model, "-o", out, *(("--data", data) if data else ()))
    if code == 2 and "--scale" in text:
        code, text, seconds = command("export", model, "-o", out, "--scale", "unit")
    return code, text, seconds


def write_pictures(classifier: Classifier, folder: Path, data: str | None) -> None:
    """Write pictures of the model's size: of its data set's test part, else photographs, else noise."""
    height, width, channels = classifier.passport.input.shape
    if data is not None:
        images = datasets.load(data, classifier.passport.input).test.images[:TEST_PICTURES]
    else:
        root = Path(os.environ.get("EDGE_FM_DATA", "")) / "photos"
        files = sorted(root.rglob("*.jpg"))
        files = files[:: max(1, len(files) // PICTURES)][:PICTURES]
        read = [
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            for image in (cv2.imread(str(file)) for file in files)
            if image is not None
        ]
        rng = np.random.default_rng(0)
        images = np.stack(read) if read else rng.integers(0, 256, (PICTURES, height, width, 3), np.uint8)
        if channels == 1:
            images = np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None] for image in images])
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index:04}.png"), image)


def labels_of(out: Path, pictures: Path, table: Path) -> list[str]:
    """Return the labels that `edge-fm label` gives, in the order of the files."""
    code, text, _ = command("label", pictures, "--model", out, "-o", table, "--fresh")
    if code:
        raise RuntimeError(text.strip().splitlines()[-1])
    with table.open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file)]


def read_reference(model: Path, pictures: Path, out: Path) -> None:
    """Write the probabilities of the independent reading by scale."""
    done = subprocess.run(
        [sys.executable, HERE / "bring_reference.py", model, pictures, out],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no answer"])[-1])


def checked(folder: Path, work: Path) -> Line:
    """Export one model and check it."""
    model = model_in(folder)
    if model is None:
        return Line(folder.name, "refused", "no model in its folder")
    out, pictures = work / "model.onnx", work / "pictures"
    code, text, seconds = exported(folder, model, out)
    last = (text.strip().splitlines() or [""])[-1]
    if code == 2:
        error = next((line for line in text.splitlines() if line.startswith("error:")), last)
        return Line(folder.name, "refused", error.removeprefix("error: "), seconds)
    if code:
        return Line(folder.name, f"export ended with {code}", last, seconds)
    if command("verify", out)[0]:
        return Line(folder.name, "verify failed", "", seconds)
    classifier = Classifier.load(out)
    data = DATA.get(folder.name.split("-")[0])
    data = data if data and classifier.passport.input.shape == (28, 28, 1) else None
    write_pictures(classifier, pictures, data)
    own = np.array(
        [classifier.passport.labels.index(name) for name in labels_of(out, pictures, work / "labels.csv")]
    )
    read_reference(model, pictures, work / "reference.npz")
    return compared(Line(folder.name, "exported", seconds=seconds), classifier, own, work, data)


def compared(
    line: Line, classifier: Classifier, own: NDArray[np.int64], work: Path, data: str | None
) -> Line:
    """Compare labels with the independent reading, and the scale with every other."""
    with np.load(work / "reference.npz") as results:
        rows = dict(results)
    images = np.stack(
        [classifier.tensor(file.read_bytes()) for file in sorted((work / "pictures").iterdir())]
    )
    answers = classifier.probabilities(images)
    nearest = min(rows, key=lambda name: float(np.abs(rows[name] - answers).max()))
    line.agreed = float(np.mean(rows[nearest].argmax(axis=1) == own))
    line.said = f"{nearest}, {classifier.passport.preprocess.fit}, by up to {np.abs(rows[nearest] - answers).max():.1g}"
    if data is not None:
        labels = datasets.load(data, classifier.passport.input).test.labels[:TEST_PICTURES]
        figures = {
            name: (
                np.mean(row.argmax(axis=1) == labels),
                -np.mean(np.log(np.maximum(row[np.arange(len(labels)), labels], 1e-7))),
            )
            for name, row in rows.items()
        }
        best = max(accuracy for accuracy, _ in figures.values())
        least = min(loss for accuracy, loss in figures.values() if accuracy >= best - 0.02)
        accuracy, loss = figures[nearest]
        line.scale_is_right = bool(accuracy >= best - 0.02 and loss <= 1.05 * least)
    return line


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    lines = []
    for folder in sorted(
        child for child in options.folder.iterdir() if child.is_dir() and options.only in child.name
    ):
        with tempfile.TemporaryDirectory() as work:
            try:
                line = checked(folder, Path(work))
            except RuntimeError as error:
                line = Line(folder.name, "check failed", str(error))
        lines.append(line)
        agreed = "" if line.agreed is None else f"{line.agreed:.1%}"
        right = {None: "", True: "scale right", False: "SCALE WRONG"}[line.scale_is_right]
        print(
            f"{line.name:28} {line.outcome:16} {line.seconds:5.1f} s  {agreed:7} {right:12} {line.said[:150]}",
            flush=True,
        )
    accepted = [line for line in lines if line.outcome == "exported"]
    alike = [line for line in accepted if line.agreed == 1]
    refused = [line for line in lines if line.outcome == "refused"]
    wrong = [line for line in accepted if line.scale_is_right is False]
    print(
        f"{len(lines)} models: {len(accepted)} exported, {len(refused)} refused; labels all equal for {len(alike)}, scale wrong for {len(wrong)}"
    )
    sys.exit(len(accepted) + len(refused) < len(lines) or len(alike) < len(accepted) or bool(wrong))


if __name__ == "__main__":
    main()
