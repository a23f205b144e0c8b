"""Inputs of an export: the model, from a run folder or a file, and disjoint sets of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fm.cli.class_names import read_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_fm.datasets import Dataset
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.normalization.scale import Scale

_SELECTION_IMAGES = 5000


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """The model to export, with facts from its run folder and from the options.

    Attributes:
        model: path of a .keras, .h5 or .skops file.
        labels: class names in output order; empty where neither run nor options have them.
        scale: pixel scale as in `--scale`; None if unknown.
        data: name, folder or file of the data set; None if unknown.
        run: the run folder; None for a plain file.
    """

    model: Path
    labels: tuple[str, ...]
    scale: str | None
    data: str | None
    run: Path | None = None

    @classmethod
    def resolve(
        cls, source: Path, *, data: str | None, labels: str | None, scale: str | None
    ) -> "ExportSource":
        """Return the model of a path; options take precedence over a run folder.

        Raises:
            DataError: the folder is no run, or the file of labels cannot be read.
        """
        from edge_fm.models import runs

        names = read_labels(labels) if labels is not None else ()
        if not runs.is_run(source):
            return cls(model=source, labels=names, scale=scale, data=data)
        run = runs.Run.load(source)
        return cls(
            model=source / run.model,
            labels=names or run.class_names,
            scale=scale or run.scale,
            data=data or run.data,
            run=source,
        )

    def parse_scale(self, dataset: "Dataset | None") -> "Scale | None":
        """Return the pixel scale, for which `standard` needs the training images; None if unknown.

        Raises:
            ExportError: the text is no scale.
        """
        from edge_fm_exporters.normalization.scale import parse_scale

        if not self.scale:
            return None
        return parse_scale(self.scale, dataset.train.images if dataset is not None else None)


def load_export_data(dataset: "Dataset", calibration: str | None, run: Path | None) -> "ExportData":
    """Return the images to calibrate on, to select int8 on, to fit the decision on and to test on.

    Args:
        dataset: data set to test on, and to calibrate on unless there is another.
        calibration: another data set to calibrate on.
        run: the run folder with the images that its training exported, if there is one.

    Raises:
        DataError: something cannot be read.
    """
    from edge_fm.models import runs
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.decision.confidence import DecisionImages
    from edge_fm_exporters.labelled_images import LabelledImages

    def load_images(*names: str) -> DecisionImages | None:
        files = [run / name for name in names] if run is not None else []
        return next((DecisionImages.load(file) for file in files if file.is_file()), None)

    sample = dataset.train.sample(len(dataset.train), seed=0)
    return ExportData(
        name=dataset.name,
        licence=dataset.licence,
        calibration=_calibration_images(dataset, calibration, run),
        test=LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels),
        validation=load_images(runs.VALIDATION),
        training=LabelledImages(f"{dataset.name} (training)", "train", sample.images, sample.labels),
        selection=_selection_images(dataset, run),
        ood_calibration=load_images(runs.OOD_CALIBRATION, runs.FORMER_OOD_CALIBRATION),
    )


def _calibration_images(dataset: "Dataset", calibration: str | None, run: Path | None) -> "NDArray[np.uint8]":
    """Return (N, H, W, C) uint8 images: of another data set, else the run's, else of the training part."""
    from edge_fm import datasets
    from edge_fm.models import runs
    from edge_fm_exporters.quantization.static import CALIBRATION_IMAGES

    exported = run / runs.CALIBRATION if run is not None else None
    if calibration is None and exported is not None and exported.is_file():
        return datasets.load_pictures(exported)
    chosen = datasets.load(calibration, dataset.spec) if calibration is not None else dataset
    return chosen.train.sample(CALIBRATION_IMAGES, seed=0).images


def _selection_images(dataset: "Dataset", run: Path | None) -> "LabelledImages":
    """Return the images that int8 is selected on.

    They are the validation images of the training, or training images that are not calibrated on.
    """
    import numpy as np

    from edge_fm.models import runs
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.quantization.static import CALIBRATION_IMAGES

    settings = runs.Run.load(run).settings if run is not None else {}
    if settings.get("validation_share"):
        _, part = dataset.split_validation(settings["validation_share"], settings["seed"])
        part, kind = part.sample(_SELECTION_IMAGES, seed=0), "validation"
    else:
        shuffled = dataset.train.sample(len(dataset.train), seed=0)
        calibrated = min(CALIBRATION_IMAGES, len(shuffled) // 2)
        end = calibrated + min(_SELECTION_IMAGES, (len(shuffled) - calibrated + 1) // 2)
        part, kind = shuffled.take(np.arange(calibrated, end)), "training"
    name = f"{len(part):,} {kind} images of {dataset.name}"
    return LabelledImages(name, kind, part.images, part.labels)
