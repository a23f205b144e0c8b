"""ONNX as a source: foreign `.onnx` files, from PyTorch, tf2onnx, Keras, sklearn-onnx and others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fm_exporters.framework import installed
from edge_fm_exporters.sources import onnx_graph
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_exporters.sources.input_layout import InputLayout, input_layout
from edge_fm_exporters.sources.network import Network, as_classifier
from edge_fm_exporters.sources.onnx_graph import ModelProto
from edge_fm_exporters.sources.onnx_metadata import ForeignMetadata, read_metadata
from edge_fm_exporters.sources.onnx_outputs import class_output
from edge_fm_exporters.sources.onnx_session import Answer, ForeignSession, first_line
from edge_fm_runtime.artifact import onnx_file
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.artifact.passport import KEY
from edge_fm_runtime.errors import ExportError, ModelError

_TESTED = {"onnx": "1.23.2", "onnxruntime": "1.31.1"}
_PREFIX = "foreign/"
_FREE = "N"
_NEWEST_OPSET = 18
"""The newest operator set that an export asks for."""

_OLDEST_OPSET = 13
"""The oldest operator set that what an export adds to a graph needs."""

_MAX_NUMBERS = 2**28
"""Numbers of the largest tensor that a graph may compute for an image: 1 GiB of float32."""

_CLOSE = 1e-4

_RANDOM = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)


def load(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
    """Read a foreign ONNX model for export.

    Args:
        path: an `.onnx` file.
        size: height and width of its images, where the network leaves them open.

    Raises:
        ModelError: it is damaged, unsafe, made by edge-fm, quantised, or no image classifier.
    """
    model, metadata = _read(path)
    names = onnx_graph.without_zip_maps(model) or metadata.names
    precision = onnx_graph.as_float32(model)
    session = ForeignSession(path, model.SerializeToString())
    layout = input_layout(path, session.shape, size or _open_size(session, metadata))
    answer = class_output(
        path, model.graph.input[0].name, session.probe(_noise(layout, session, session.batch or 3))
    )
    graph = _classifier_graph(path, model, session, layout, answer)
    network = Network(
        path=path,
        input_shape=layout.shape,
        output_shape=(None, *answer.values.shape[1:]),
        run=lambda batch: session.rows(batch, answer.name),
        convert=lambda opset: _convert(path, graph, opset),
        tools=installed(_TESTED),
        names=names if len(names) == answer.classes else (),
        notes=tuple(_notes(graph, precision, names, answer)),
        scale="raw" if session.takes_pixels else metadata.scale,
        fit=metadata.fit,
    )
    return as_classifier(network, size)


def _read(path: Path) -> tuple[ModelProto, ForeignMetadata]:
    """Return a checked model with its constants as initialisers, and what its metadata say.

    Raises:
        ModelError: it cannot be used.
    """
    import onnx

    data = read_model(path)
    try:
        metadata = onnx_file.parse(data).metadata
    except ModelError as error:
        hint = ""
        if path.with_name(f"{path.name}.data").exists():
            hint = "; in PyTorch, export it with torch.onnx.export(..., external_data=False)"
        raise ModelError(f"{path} cannot be exported: {error}{hint}") from error
    if KEY in metadata:
        raise ModelError(
            f"{path} has been exported by edge-fm already: use it as it is, such as with edge-fm verify {path}"
        )
    try:
        model = onnx.load_model_from_string(data)
        claimed = max(
            (onnx_graph.product(tensor.dims) for tensor in onnx_graph.constant_tensors(model)), default=0
        )
        largest = onnx_graph.largest_computed(model)
    except Exception as error:  # protobuf and onnx raise whatever they meet
        raise ModelError(
            f"{path} is no whole ONNX model ({first_line(error)}): copy or export it again"
        ) from error
    if claimed > 2 * len(data) or largest > _MAX_NUMBERS:
        raise ModelError(
            f"{path} has a tensor of {max(claimed, largest):,} numbers, expected at most {_MAX_NUMBERS:,} and no more than "
            "the file holds: export it again, or export a smaller network"
        )
    onnx_graph.hold_constants(model)
    _check_operators(path, model)
    return model, read_metadata(metadata)


def _check_operators(path: Path, model: ModelProto) -> None:
    """Refuse what is not a plain float network as it is used: control flow, training, quantised operators.

    Raises:
        ModelError: there is some.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        kind = f"{node.op_type:.80}"
        if node.domain not in {"", "ai.onnx", "ai.onnx.ml"}:
            raise ModelError(
                f"{path} uses {kind} of {node.domain:.80}, an operator of onnxruntime's own, as its optimised or quantised "
                "files have: give the file that this one was made from"
            )
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(
                f"{path} has graphs inside its {kind}, expected a network without loops and conditions: export it again "
                "from a network that computes the same way for every image"
            )
        if node.op_type in _RANDOM:
            raise ModelError(
                f"{path} draws random numbers (it has {kind}), so that it answers otherwise each time: export it again for "
                "inference"
            )
        if onnx_graph.is_quantizer(node, constants):
            raise ModelError(
                f"{path} is quantised already (it has {kind}): give the float model that it was made from, with --int8 and "
                "--data DATA for an int8 file"
            )
        if onnx_graph.is_training(node, constants):
            raise ModelError(
                f"{path} was exported in training mode (its {kind} still trains): export it again for inference; in PyTorch, "
                "call model.eval() before"
            )


def _open_size(session: ForeignSession, metadata: ForeignMetadata) -> tuple[int, int] | None:
    """Return the size that the metadata give, if the input leaves it open."""
    return metadata.size if None in session.shape[1:] else None


def _noise(layout: InputLayout, session: ForeignSession, count: int) -> NDArray[np.float32]:
    """Return noise in the input's shape: whole pixels if it takes those, else in [0, 1]."""
    images = np.random.default_rng(0).random((count, *layout.spec.shape), np.float32)
    return layout.arrange(np.rint(images * 255) if session.takes_pixels else images)


def _classifier_graph(
    path: Path, model: ModelProto, session: ForeignSession, layout: InputLayout, answer: Answer
) -> ModelProto:
    """Return the graph with a float32 input and one output, its batch axis free if that can be done."""
    graph = onnx_graph.copy(model)
    onnx_graph.keep_output(graph, answer.name)
    onnx_graph.with_float_input(graph)
    lengths = layout.shape[1:], answer.values.shape[1:]
    freed = onnx_graph.copy(graph)
    if session.batch is not None:
        onnx_graph.free_batch(freed, session.batch)
    onnx_graph.set_shapes(freed, _FREE, *lengths)
    if _answers_alike(path, freed, session, layout, answer):
        return freed
    onnx_graph.set_shapes(graph, session.batch or 1, *lengths)
    return graph


def _answers_alike(
    path: Path, graph: ModelProto, session: ForeignSession, layout: InputLayout, answer: Answer
) -> bool:
    """Return whether a graph answers for one image and for three as its source does."""
    images = _noise(layout, session, 3)
    expected = session.rows(images, answer.name)
    try:
        own = ForeignSession(path, graph.SerializeToString())
        found = [own.rows(images[:count], answer.name) for count in (1, 3)]
    except ModelError:
        return False
    return all(
        rows.shape == expected[: len(rows)].shape
        and np.allclose(rows, expected[: len(rows)], rtol=_CLOSE, atol=_CLOSE)
        for rows in found
    )


def _convert(path: Path, graph: ModelProto, opset: int) -> ModelProto:
    """Return a graph in the wanted operator set, else the next that it can be converted to, or its own.

    Raises:
        ExportError: its own is too old.
    """
    from onnx import compose

    own = onnx_graph.opset_version(graph)
    versions = range(opset, max(opset, min(own, _NEWEST_OPSET)) + 1)
    tried = (onnx_graph.with_opset(graph, version) for version in versions)
    converted = next((model for model in tried if model is not None), None)
    if converted is None and own < _OLDEST_OPSET:
        raise ExportError(
            f"{path} uses operator set {own}, which onnx cannot convert to {opset}: export it again with the program that "
            f"made it, with operator set {opset}"
        )
    converted = onnx_graph.copy(graph) if converted is None else converted
    onnx_graph.set_ir_version(converted)
    return compose.add_prefix(converted, _PREFIX)


def _notes(graph: ModelProto, precision: str, names: tuple[str, ...], answer: Answer) -> Iterator[str]:
    """Yield what was changed or left alone, each a line for the user."""
    if precision:
        yield f"computes in {precision}; it was converted to float32"
    own = onnx_graph.opset_version(graph)
    if own > _NEWEST_OPSET and onnx_graph.with_opset(graph, _NEWEST_OPSET) is None:
        yield f"uses operator set {own}, which cannot be lowered to {_NEWEST_OPSET}; the file keeps it"
    batch = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    if batch:
        yield f"computes with exactly {batch} image{'s' * (batch > 1)} at a time; the file keeps that"
    if names and len(names) != answer.classes:
        yield f"names {len(names)} classes and has {answer.classes} outputs; its names were not used"
