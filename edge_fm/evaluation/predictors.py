"""Open a trained classifier of any format for evaluation."""

from pathlib import Path

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.evaluation.metrics import Predictor
from edge_fm.models import runs
from edge_fm_runtime.classifier import Classifier


def open_predictor(model: str, data: str, scale: str | None = None) -> tuple[Predictor, Dataset]:
    """Open a model and the data set to evaluate it on, with images of the model's size.

    Args:
        model: name of a bundled model, an `.onnx` file, a run folder, or a `.keras`, `.h5` or `.skops` file.
        data: data set; supplies the class names of a model file that has none.
        scale: pixel scale of a model file, as `edge_fm_exporters.normalization.scale.parse_scale` takes it;
            None tries the common scales on training images.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data set or the run folder cannot be used.
        ExportError: the scale of a model file cannot be determined.
    """
    path = Path(model)
    if runs.is_run(path):
        run = runs.Run.load(path)
        return _from_source(path.resolve().name, path / run.model, data, run.scale, run.class_names)
    if path.exists() and path.suffix != ".onnx":
        return _from_source(path.name, path, data, scale, None)
    classifier = Classifier.load(model)
    passport = classifier.passport
    translations = {translation.language: translation.labels for translation in passport.translations}
    predictor = Predictor(path.name, passport.labels, passport.input, classifier.probabilities, translations)
    return predictor, datasets.load(data, passport.input)


def _from_source(
    name: str, path: Path, data: str, scale: str | None, labels: tuple[str, ...] | None
) -> tuple[Predictor, Dataset]:
    from edge_fm_exporters import sources
    from edge_fm_exporters.labelled_images import LabelledImages
    from edge_fm_exporters.normalization import scale as scales
    from edge_fm_exporters.normalization import search

    source = sources.load(path)
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
