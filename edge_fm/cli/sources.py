"""What an export works on: the model, from its run folder or as a file, and the pictures, no one of which is in two places."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fm.cli.names import read_labels

if TYPE_CHECKING:
    from edge_fm.datasets import Dataset
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.labelled_images import LabelledImages

_CHOICE_IMAGES = 5000


@dataclass(frozen=True)
class Source:
    """What is known about the model to export: from its run folder, from the options."""

    model: Path
    labels: tuple[str, ...]
    scale: str | None
    data: str | None
    run: Path | None = None

    @classmethod
    def of(cls, source: Path, data: str | None, labels: str | None, scale: str | None) -> "Source":
        """Return what options and, if it is a run folder, the run say.

        Raises:
            DataError: the folder is no run, or the file of labels cannot be read.
        """
        from edge_fm.models import runs

        named = read_labels(labels) if labels is not None else ()
        if source.is_dir():
            run = runs.Run.load(source)
            return cls(
                source / run.model, named or run.class_names, scale or run.scale, data or run.data, source
            )
        return cls(source, named, scale, data)


def pictures(dataset: "Dataset", calibration: str | None, run: Path | None) -> "ExportData":
    """Return the pictures to calibrate on, to choose on, to fit the decision to and to test on.

    Args:
        dataset: what is tested on, and calibrated on unless there is something else.
        calibration: another data set to calibrate on.
        run: the run folder, if there is one, with the pictures that its training kept.

    Raises:
        DataError: something cannot be read.
    """
    from edge_fm import datasets
    from edge_fm.models import runs
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.decision.confidence import DecisionImages
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.quantization.static import CALIBRATION_IMAGES

    kept = run / runs.CALIBRATION if run is not None else None
    if calibration is None and kept is not None and kept.is_file():
        ranges = datasets.load_pictures(kept)
    else:
        chosen = datasets.load(calibration, dataset.spec) if calibration is not None else dataset
        ranges = chosen.train.sample(CALIBRATION_IMAGES, seed=0).images

    def judged(name: str) -> DecisionImages | None:
        return DecisionImages.load(run / name) if run is not None and (run / name).is_file() else None

    return ExportData(
        name=dataset.name,
        licence=dataset.licence,
        calibration=ranges,
        test=LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels),
        validation=judged(runs.VALIDATION),
        training=_training(dataset),
        selection=_choice(dataset, run),
        ood_calibration=judged(runs.OOD_CALIBRATION),
    )


def _training(dataset: "Dataset") -> "LabelledImages":
    from edge_fm_exporters.labelled_images import LabelledImages

    sample = dataset.train.sample(len(dataset.train), seed=0)
    return LabelledImages(f"{dataset.name} (training)", "train", sample.images, sample.labels)


def _choice(dataset: "Dataset", run: Path | None) -> "LabelledImages":
    """Return what int8 is chosen on.

    It is chosen on what the training held out, or on training pictures that are not calibrated on.
    """
    import numpy as np

    from edge_fm.models import runs
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.quantization.static import CALIBRATION_IMAGES

    settings = runs.Run.load(run).settings if run is not None else {}
    if settings.get("validation_share"):
        _, part = dataset.split_validation(settings["validation_share"], settings["seed"])
        part, kind = part.sample(_CHOICE_IMAGES, seed=0), "validation"
    else:
        shuffled = dataset.train.sample(len(dataset.train), seed=0)
        calibrated = min(CALIBRATION_IMAGES, len(shuffled) // 2)
        end = calibrated + min(_CHOICE_IMAGES, (len(shuffled) - calibrated + 1) // 2)
        part, kind = shuffled.take(np.arange(calibrated, end)), "training"
    name = f"{len(part):,} {kind} pictures of {dataset.name}"
    return LabelledImages(name, kind, part.images, part.labels)
