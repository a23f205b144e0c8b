"""Recipe of a model's training pictures: given, of its run, shown by its structure, or tried on data."""

from pathlib import Path

from edge_fm.datasets import OpenData
from edge_fm.models.runs import RECORD, Run
from edge_fm_exporters.labelled_images import LabelledImages
from edge_fm_exporters.normalization import search
from edge_fm_exporters.normalization.search import FoundRecipe, KnownRecipe
from edge_fm_exporters.sources import SourceModel
from edge_fm_runtime.artifact.input_spec import Fit


def run_of(model: Path) -> Run | None:
    """Return the run that wrote a model file, if it lies in its run folder.

    Raises:
        DataError: the record of the run is broken.
    """
    folder = model.parent
    if not (folder / RECORD).is_file():
        return None
    run = Run.load(folder)
    return run if run.model == model.name else None


def known_recipe(source: SourceModel, run: Run | None, given: KnownRecipe) -> KnownRecipe:
    """Return what is known of a model's training pictures.

    Args:
        source: the model.
        run: its run, if there is one.
        given: facts that the user states; they take precedence.
    """
    if run is not None:
        scale, fit, polarity = run.scale, run.fit, run.polarity
        return KnownRecipe(
            scale=given.scale or scale, fit=given.fit or fit, polarity=given.polarity or polarity
        )
    # Linear models are trained here, where pictures are letterboxed; scikit-learn has no loader of its own.
    fit_of_format = Fit.LETTERBOX if source.path.suffix == ".skops" else None
    return KnownRecipe(
        scale=given.scale or source.scale or None,
        fit=given.fit or source.fit or fit_of_format,
        polarity=given.polarity or source.polarity,
        interpolation=source.interpolation,
    )


def find_recipe(source: SourceModel, data: OpenData | None, name: str, known: KnownRecipe) -> FoundRecipe:
    """Return the recipe of a model's training pictures, tried on the training part of its data if unknown.

    Args:
        source: the model.
        data: its data set, if there is one.
        name: name of the data set.
        known: what is known.

    Raises:
        DataError: no picture can be decoded.
        ExportError: the scale is unknown and cannot be found.
        ModelError: the pictures do not fit the model.
    """
    if data is None:
        return search.find_recipe(source, None, known)

    def load_images(fit: Fit) -> LabelledImages:
        part = data.training_sample(fit, search.ENOUGH)
        return LabelledImages(f"{name} (training)", "train", part.images, part.labels)

    return search.find_recipe(source, load_images, known)
