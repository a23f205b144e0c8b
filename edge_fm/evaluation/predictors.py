"""Open a trained classifier of any format for evaluation."""

from dataclasses import replace
from pathlib import Path

from edge_fm import datasets
from edge_fm.datasets import Dataset
from edge_fm.evaluation.metrics import Predictor
from edge_fm.models import recipes, runs
from edge_fm_runtime.artifact.model_file import BUNDLED
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError


def open_predictor(model: str, data: str, scale: str | None = None) -> tuple[Predictor, Dataset]:
    """Open a model and the data set to evaluate it on, with images of the model's size.

    Args:
        model: name of a bundled model, an `.onnx` file, a run folder, or a `.keras`, `.h5` or `.skops` file.
        data: data set; supplies the class names of a model file that has none.
        scale: pixel scale of a model file, as `edge_fm_exporters.normalization.scale.parse_scale` takes it;
            None tries the common scales on training images. A run knows its own.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data set or the run folder cannot be used, or the model has another scale already.
        ExportError: the scale of a model file cannot be determined.
    """
    path = Path(model)
    is_bundled = model in BUNDLED
    if runs.is_run(path) and not is_bundled:
        run = runs.Run.load(path)
        return _from_source(path.resolve().name, path / run.model, data, run, scale)
    if path.exists() and path.suffix != ".onnx" and not is_bundled:
        return _from_source(path.name, path, data, recipes.run_of(path), scale)
    if scale is not None:
        raise DataError(f"{model} says itself how its pixels are scaled: leave --scale out")
    classifier = Classifier.load(model)
    passport = classifier.passport
    translations = {translation.language: translation.labels for translation in passport.translations}
    predictor = Predictor(path.name, passport.labels, passport.input, classifier.probabilities, translations)
    opened = datasets.open_data(data, passport.input).with_classes(passport.labels)
    return predictor, opened.load(passport.preprocess)


def _from_source(
    name: str, path: Path, data: str, run: runs.Run | None, scale: str | None
) -> tuple[Predictor, Dataset]:
    """Open a trained model; without a stated fit, its images are stretched."""
    from edge_fm_exporters import sources
    from edge_fm_exporters.normalization.search import DEFAULT_FIT, KnownRecipe

    source = sources.load(path)
    opened = datasets.open_data(data, source.spec)
    names = (run.class_names if run is not None else ()) or source.names or opened.class_names
    opened = opened.with_classes(names)
    known = recipes.known_recipe(source, run, KnownRecipe(scale=scale))
    if known.fit is None:
        known = replace(known, fit=DEFAULT_FIT)
    recipe = recipes.find_recipe(source, opened, data, known)
    dataset = opened.load(recipe.preprocess)
    datasets.require_shape(dataset, source.spec)
    predictor = Predictor(
        name,
        names,
        source.spec,
        lambda images: source.predict(recipe.scale.apply(images)),
        datasets.TRANSLATIONS.get(names, {}),
    )
    return predictor, dataset
