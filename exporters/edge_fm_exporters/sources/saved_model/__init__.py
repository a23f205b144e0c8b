"""TensorFlow's SavedModel as a source: folders, of which the graph is read as data and checked first."""

import json
from pathlib import Path

from edge_fm_exporters.framework import installed
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import Shape, input_layout
from edge_fm_exporters.sources.keras_recipe import (
    TEACHABLE_MACHINE_RECIPE,
    TrainingRecipe,
    training_recipe,
)
from edge_fm_exporters.sources.network import Network, as_classifier, output_length
from edge_fm_exporters.sources.saved_model import graph as files
from edge_fm_exporters.sources.saved_model.computation import SavedNetwork
from edge_fm_exporters.sources.saved_model.graph import SavedGraph
from edge_fm_exporters.sources.tensorflow_graph import TESTED
from edge_fm_runtime.errors import ModelError

_INPUTS = {"float32", "uint8"}
_TEACHABLE_NAME = "model.savedmodel"
_TEACHABLE_SHAPE = (224, 224, 3)


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a SavedModel for export.

    Args:
        path: a folder with a `saved_model.pb`.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it is damaged, computes what is not allowed, or is no image classifier.
    """
    graph = files.read(path)
    if graph.input.dtype not in _INPUTS or graph.input.shape is None:
        rank = " of unknown rank" if graph.input.shape is None else ""
        raise ModelError(
            f"{path} takes {graph.input.dtype}{rank} as {graph.input.name!r}, expected images of float32 or uint8"
        )
    if not graph.output.dtype.startswith("float"):
        raise ModelError(
            f"{path} answers with {graph.output.dtype} as {graph.output.name!r}, expected class probabilities of float32"
        )
    shape: Shape = graph.input.shape
    layout = input_layout(path, shape, size)  # refuse before TensorFlow is imported, which takes seconds
    if graph.output.shape is not None and None not in graph.output.shape[1:]:
        output_length(path, graph.output.shape)
    network = SavedNetwork(path, graph, (shape[0], *layout.shape[1:]))
    recipe = _recipe(path, graph, layout.spec.shape)
    return as_classifier(
        Network(
            path=path,
            input_shape=(None, *shape[1:]),
            output_shape=network.output_shape,
            run=network.run,
            convert=network.convert,
            tools=installed(TESTED),
            notes=recipe.notes,
            scale=recipe.scale,
            fit=recipe.fit,
            interpolation=recipe.interpolation,
        ),
        size,
    )


def _recipe(path: Path, graph: SavedGraph, shape: tuple[int, int, int]) -> TrainingRecipe:
    """Return what the file shows of the training: by its Keras configuration, its layers, its name."""
    try:
        config = json.loads(graph.config or "{}")
        recipe = training_recipe(config) if isinstance(config, dict) else TrainingRecipe()
    except (ValueError, RecursionError):  # a configuration is optional
        recipe = TrainingRecipe()
    if recipe.notes:
        return recipe
    if graph.input.dtype == "uint8":
        return TrainingRecipe("raw", None, ("takes pixels as uint8, so it gets them as they are",))
    if path.name == _TEACHABLE_NAME and shape == _TEACHABLE_SHAPE:
        return TEACHABLE_MACHINE_RECIPE
    return TrainingRecipe()
