"""Open a trained classifier of any kind for measuring: bundled, `.onnx`, run folder, `.keras`, `.h5`, `.skops`."""

from pathlib import Path

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.evaluation.metrics import Predictor
from edge_fm.models import runs
from edge_fm_runtime.classifier import Classifier

_SOURCES = {".keras", ".h5", ".skops"}


def open_predictor(model: str, data: str, scale: str | None = None) -> tuple[Predictor, Dataset]:
    """Open a model, and the data set that it is measured on, its pictures brought to the model's size.

    Args:
        model: a bundled model's name, an `.onnx` file, a run folder, or a `.keras`, `.h5` or `.skops` file.
        data: the data set; a plain file takes its class names from there.
        scale: as `edge_fm_exporters.normalization.scale.read` takes it, for a plain file; None has the likely ones tried on training pictures.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data set or the run folder cannot be used.
        ExportError: a plain file's scale cannot be found.
    """
    path = Path(model)
    if path.is_dir():
        run = runs.Run.load(path)
        return _from_source(path.resolve().name, path / run.model, data, run.scale, run.class_names)
    if path.suffix in _SOURCES:
        return _from_source(path.name, path, data, scale, None)
    classifier = Classifier.load(model)
    passport = classifier.passport
    translations = {translation.language: translation.labels for translation in passport.translations}
    predictor = Predictor(path.name, passport.labels, passport.input, classifier.probabilities, translations)
    return predictor, datasets.load(data, passport.input)


def _from_source(
    name: str, path: Path, data: str, scale: str | None, labels: tuple[str, ...] | None
) -> tuple[Predictor, Dataset]:
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.normalization import scale as scales
    from edge_fm_exporters.normalization import search
    from edge_fm_exporters.pipeline import load_source

    source = load_source(path)
    dataset = datasets.load(data, source.spec)
    datasets.require_shape(dataset, source.spec)
    if scale is None:
        sample = dataset.train.sample(len(dataset.train), seed=0)
        chosen, _ = search.find_scale(
            source, LabelledImages(dataset.name, "train", sample.images, sample.labels)
        )
    else:
        chosen = scales.parse_scale(scale, dataset.train.images)
    names = labels or source.names or dataset.class_names
    predictor = Predictor(
        name,
        names,
        source.spec,
        lambda images: source.predict(chosen.apply(images)),
        datasets.TRANSLATIONS.get(names, {}),
    )
    return predictor, dataset
