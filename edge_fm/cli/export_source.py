"""Inputs of an export: the model, from a run folder or a file, and disjoint sets of images."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fm.cli.class_names import read_labels
from edge_fm_runtime.artifact.input_spec import InputSpec, Polarity, Preprocess
from edge_fm_runtime.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_fm.datasets import Dataset, OpenData
    from edge_fm.models.runs import Run
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.sources import SourceModel

_SELECTION_IMAGES = 5000
_MIN_UNLABELLED = 20
_CALIBRATED_SHARE = 0.5
_SELECTED_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """The model to export, with facts from its run folder and from the options.

    Attributes:
        model: path of a file of a source format.
        labels: class names in output order; empty where neither run nor options have them.
        data: name, folder or file of the data set; None if unknown.
        own_data: whether the data set is that of the run.
        folder: the run folder; None for a plain file.
        test: folder that is the test part of the data set; None if the data set has its own.
        run: the run of the folder or of the file; None if there is none.
    """

    model: Path
    labels: tuple[str, ...]
    data: str | None
    own_data: bool = False
    folder: Path | None = None
    test: Path | None = None
    run: "Run | None" = None

    @property
    def is_finished(self) -> bool:
        """Whether the run's training wrote a file for a device, with its passport."""
        from edge_fm.models import runs

        return self.run is not None and runs.is_finished(self.model)

    @classmethod
    def resolve(cls, source: Path, *, data: str | None, labels: str | None) -> "ExportSource":
        """Return the model of a path; options take precedence over a run folder.

        Raises:
            DataError: the folder is no run, or the file of labels cannot be read.
        """
        from edge_fm.models import recipes, runs

        names = read_labels(labels) if labels is not None else ()
        if not runs.is_run(source):
            own = recipes.run_of(source)
            names = names or (own.class_names if own is not None else ())
            return cls(model=source, labels=names, data=data, run=own)
        run = runs.Run.load(source)
        return cls(
            model=source / run.model,
            labels=names or run.class_names,
            data=data or run.data,
            own_data=data is None,
            folder=source,
            test=run.test_folder(data or run.data),
            run=run,
        )

    def open_data(self, spec: InputSpec) -> "OpenData | None":
        """Open the data set, if there is one; note where the run had other pictures in its test part.

        Raises:
            DataError: it cannot be used.
        """
        from edge_fm import datasets
        from edge_fm.cli import terminal

        if self.data is None:
            return None
        opened = datasets.open_data(self.data, spec, self.test)
        if self.own_data and opened.is_folder and self.run is not None and self.run.version == 1:
            terminal.print_note(
                f"{self.folder} was trained by an edge-fm that chose a folder's test part by position: some of the "
                "test pictures were trained on, and the figures below are too high. Train again"
            )
        return opened

    def read(self, size: tuple[int, int] | None) -> "SourceModel":
        """Read the model; the head of a transfer model stays in float32.

        Raises:
            ModelError: it cannot be used.
        """
        from edge_fm.models import backbones
        from edge_fm_exporters import sources

        model = sources.load(self.model, size)
        if self.run is not None and self.run.architecture == backbones.WHOLE:
            return replace(model, float_nodes=backbones.FLOAT_NODES)
        return model

    def load(self, data: "OpenData", preprocess: Preprocess, *, is_for_device: bool = False) -> "Dataset":
        """Load the data set as the exported file will take it.

        Images of the run's own data keep the polarity that they were trained with, and so do those of a
        named set or an archive where `--polarity` was given: it is that of images on the device.

        Args:
            data: the data set.
            preprocess: preprocessing of the exported file.
            is_for_device: whether its polarity was given, and not found on this data.

        Raises:
            DataError: no image can be decoded.
        """
        if self.own_data and self.run is not None:
            preprocess = replace(preprocess, polarity=self.run.polarity)
        elif is_for_device and not data.is_folder:
            preprocess = replace(preprocess, polarity=Polarity.AS_IS)
        return data.load(preprocess, sampled=True)

    def load_images(
        self, dataset: "Dataset | None", calibration: str | None, spec: InputSpec, preprocess: Preprocess
    ) -> "ExportData | None":
        """Return the images of an export, None if there are none.

        Args:
            dataset: data set to measure on, if there is one.
            calibration: another data set, or a folder of pictures, to calibrate on.
            spec: input of the model.
            preprocess: how the pictures of a folder become the input.

        Raises:
            DataError: something cannot be read, or there are too few pictures.
        """
        if dataset is None:
            return load_unlabelled(calibration, spec, preprocess) if calibration is not None else None
        if calibration is not None and Path(calibration).resolve() == Path(self.data or "").resolve():
            calibration = None  # its training part calibrates; the test part must stay unseen
        return load_export_data(dataset, calibration, self.folder, preprocess)


def load_export_data(
    dataset: "Dataset", calibration: str | None, run: Path | None, preprocess: Preprocess | None = None
) -> "ExportData":
    """Return the images to calibrate on, to select int8 on, to fit the decision on and to test on.

    Args:
        dataset: data set to test on, and to calibrate on unless there is another.
        calibration: another data set, or a folder of pictures, to calibrate on.
        run: the run folder with the images that its training exported, if there is one.
        preprocess: how the pictures of a calibration folder become the input; None as letterboxed ones.

    Raises:
        DataError: something cannot be read.
    """
    from edge_fm.models import runs
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.decision.confidence import DecisionImages, ScoredImages
    from edge_fm_exporters.labelled_images import LabelledImages

    scores = run / runs.SCORES if run is not None else None

    def load_images(*names: str) -> DecisionImages | None:
        files = [run / name for name in names] if run is not None else []
        return next((DecisionImages.load(file) for file in files if file.is_file()), None)

    return ExportData(
        name=dataset.name,
        licence=dataset.licence,
        calibration=_calibration_images(dataset, calibration, run, preprocess or Preprocess()),
        test=LabelledImages(dataset.name, "test", dataset.test.images, dataset.test.labels),
        validation=load_images(runs.VALIDATION),
        selection=_selection_images(dataset, run),
        ood_calibration=load_images(runs.OOD_CALIBRATION, runs.FORMER_OOD_CALIBRATION),
        scored=ScoredImages.load(scores) if scores is not None and scores.is_file() else None,
    )


def load_unlabelled(calibration: str, spec: InputSpec, preprocess: Preprocess) -> "ExportData":
    """Return disjoint images without labels: to calibrate on, to select int8 on and to test on.

    Args:
        calibration: a folder of pictures, or a data set, whose labels are not used.
        spec: input of the model.
        preprocess: how the pictures become the input.

    Raises:
        DataError: there are too few pictures.
    """
    from edge_fm_exporters import ExportData
    from edge_fm_exporters.labelled_images import LabelledImages

    images = _pictures(calibration, spec, preprocess)
    if len(images) < _MIN_UNLABELLED:
        raise DataError(
            f"{calibration} has {len(images)} readable pictures, expected at least {_MIN_UNLABELLED} to calibrate "
            "on and to compare labels on: add some, or export without --calibration"
        )
    name = Path(calibration).resolve().name
    first, second = (int(len(images) * share) for share in (_CALIBRATED_SHARE, _SELECTED_SHARE))
    selection = f"{second - first:,} pictures of {name} without labels"
    return ExportData(
        name=name,
        licence="as given by its owner",
        calibration=images[:first],
        selection=LabelledImages(selection, "selection", images[first:second], None),
        test=LabelledImages(name, "held out, without labels", images[second:], None),
    )


def _pictures(data: str, spec: InputSpec, preprocess: Preprocess) -> "NDArray[np.uint8]":
    """Return shuffled uint8 images (N, height, width, channels) of a folder's files, or of a data set.

    Raises:
        DataError: there are none, or they have another shape than the model's input.
    """
    import numpy as np

    from edge_fm import datasets
    from edge_fm.cli import terminal
    from edge_fm_exporters.quantization.effort import CALIBRATION_IMAGES

    if not Path(data).is_dir():
        dataset = datasets.load(data, spec, preprocess)
        datasets.require_shape(dataset, spec)
        return dataset.train.sample(2 * CALIBRATION_IMAGES, seed=0).images
    files = datasets.sample(tuple(datasets.picture_files(Path(data))), 2 * CALIBRATION_IMAGES)
    images, _, unreadable = datasets.read_pictures(files, spec, preprocess)
    terminal.print_unreadable(unreadable)
    if not len(images):
        raise DataError(
            f"{data} has no picture that can be read: give a folder of photographs with --calibration"
        )
    return images[np.random.default_rng(0).permutation(len(images))]  # files come class by class


def _calibration_images(
    dataset: "Dataset", calibration: str | None, run: Path | None, preprocess: Preprocess
) -> "NDArray[np.uint8]":
    """Return (N, H, W, C) uint8 images: of another data set, else the run's, else of the training part."""
    from edge_fm import datasets
    from edge_fm.models import runs
    from edge_fm_exporters.quantization.effort import CALIBRATION_IMAGES

    exported = run / runs.CALIBRATION if run is not None else None
    if calibration is None and exported is not None and exported.is_file():
        return datasets.load_pictures(exported)
    if calibration is not None:
        return _pictures(calibration, dataset.spec, preprocess)[:CALIBRATION_IMAGES]
    # What is left of a small set selects.
    return dataset.train.sample(len(dataset.train), seed=0).images[: _calibrated(len(dataset.train))]


def _calibrated(images: int) -> int:
    """Return how many of these training images calibrate; the others select."""
    from edge_fm_exporters.quantization.effort import CALIBRATION_IMAGES

    return min(CALIBRATION_IMAGES, images // 2)


def _selection_images(dataset: "Dataset", run: Path | None) -> "LabelledImages":
    """Return the images that int8 is selected on.

    They are the validation images of the training, or training images that are not calibrated on.
    """
    import numpy as np

    from edge_fm.models import runs
    from edge_fm_exporters.labelled_images import LabelledImages

    settings = runs.Run.load(run).settings if run is not None else {}
    if settings.get("validation_share"):
        _, part = dataset.split_validation(settings["validation_share"], settings["seed"])
        part, kind = part.sample(_SELECTION_IMAGES, seed=0), "validation"
    else:
        shuffled = dataset.train.sample(len(dataset.train), seed=0)
        calibrated = _calibrated(len(shuffled))
        end = calibrated + min(_SELECTION_IMAGES, (len(shuffled) - calibrated + 1) // 2)
        part, kind = shuffled.take(np.arange(calibrated, end)), "training"
    name = f"{len(part):,} {kind} images of {dataset.name}"
    return LabelledImages(name, kind, part.images, part.labels)
