"""Open a trained classifier of any format for evaluation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_fm import datasets
from edge_fm.datasets import Dataset, OpenData
from edge_fm.evaluation.metrics import Predictor
from edge_fm.models import recipes, runs
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.artifact.model_file import BUNDLED
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import DataError


def open_predictor(
    model: str, data: str, scale: str | None = None, *, whole: bool = False
) -> tuple[Predictor, Dataset]:
    """Open a model and the data set to evaluate it on, with images of the model's size.

    Args:
        model: name of a bundled model, an `.onnx` file, a run folder, or a `.keras`, `.h5` or `.skops` file.
        data: data set; supplies the class names of a model file that has none.
        scale: pixel scale of a model file, as `edge_fm_exporters.normalization.scale.parse_scale` takes it;
            None tries the common scales on training images. A run knows its own.
        whole: whether all images of the data set are in the test part; else a run that was trained with
            another folder as its test part keeps it.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data set or the run folder cannot be used, or the model has another scale already.
        ExportError: the scale of a model file cannot be determined.
    """
    path = Path(model)

    def open_for(spec: InputSpec, run: runs.Run | None = None) -> OpenData:
        if whole:
            return datasets.open_whole(data, spec)
        return datasets.open_data(data, spec, run.test_folder(data) if run is not None else None)

    is_bundled, run = model in BUNDLED, None
    if runs.is_run(path) and not is_bundled:
        run = runs.Run.load(path)
        if not runs.is_finished(path / run.model):
            return _from_source(path.resolve().name, path / run.model, run, scale, open_for)
        path = path / run.model
    if path.exists() and path.suffix != ".onnx" and not is_bundled:
        return _from_source(path.name, path, recipes.run_of(path), scale, open_for)
    if scale is not None:
        raise DataError(f"{model} says itself how its pixels are scaled: leave --scale out")
    classifier = Classifier.load(model if is_bundled else path)
    passport = classifier.passport
    translations = {translation.language: translation.labels for translation in passport.translations}
    predictor = Predictor(path.name, passport.labels, passport.input, classifier.probabilities, translations)
    opened = open_for(passport.input, run).with_classes(passport.labels)
    return predictor, opened.load(passport.preprocess)


def _from_source(
    name: str,
    path: Path,
    run: runs.Run | None,
    scale: str | None,
    open_for: Callable[[InputSpec, runs.Run | None], OpenData],
) -> tuple[Predictor, Dataset]:
    """Open a trained model; without a stated fit, its images are stretched."""
    from edge_fm_exporters import sources
    from edge_fm_exporters.normalization.search import DEFAULT_FIT, KnownRecipe

    source = sources.load(path)
    opened = open_for(source.spec, run)
    names = (run.class_names if run is not None else ()) or source.names or opened.class_names
    opened = opened.with_classes(names)
    known = recipes.known_recipe(source, run, KnownRecipe(scale=scale))
    if known.fit is None:
        known = replace(known, fit=DEFAULT_FIT)
    recipe = recipes.find_recipe(source, opened, opened.name, known)
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
