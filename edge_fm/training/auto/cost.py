"""Measure what a model would cost, before it is trained."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_fm.models import backbones, edge
from edge_fm.models.backbones import Backbone
from edge_fm.training.auto.candidates import Cost, ModelCandidate
from edge_fm_exporters import sources
from edge_fm_exporters.framework import import_keras
from edge_fm_exporters.graph.cleanup import clean
from edge_fm_runtime.artifact.session import INPUT

_RUNS = 20
_OPSET = 17

_BESIDE, _PER_WEIGHT = 40.0, 1.08e-3
"""kB of an int8 file beside its weights, and for each weight with its share of scales; read off exports."""


def of_backbone(backbone: Backbone, classes: int) -> Cost:
    """Return the cost of a head on a backbone."""
    head = 4e-3 * backbone.features * classes
    if backbone.name == backbones.SMALL:
        size = len(backbone.data) / 1000
    else:
        size = _PER_WEIGHT * len(backbone.data) / 4
    return Cost(
        size + head + _BESIDE, _milliseconds(backbone.data, np.zeros((1, *backbone.spec.shape), np.uint8))
    )


def of_edge(candidate: ModelCandidate, classes: int) -> Cost:
    """Return the cost of a network of the edge family, from an untrained one in float32."""
    network = edge.build(edge.WIDTHS[candidate.model], candidate.spec, classes, candidate.model)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "untrained.keras"
        network.save(path)
        proto = clean(sources.load(path).convert(_OPSET))
    import_keras().backend.clear_session()
    image = np.zeros((1, *candidate.spec.shape), np.float32)
    return Cost(
        _PER_WEIGHT * network.count_params() + _BESIDE, _milliseconds(proto.SerializeToString(), image)
    )


def _milliseconds(data: bytes, image: np.ndarray[Any, Any]) -> float:
    """Return the shortest time for one image on one thread, which other programs disturb least."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    taken = []
    for _ in range(_RUNS):  # the first is the slowest
        begun = time.perf_counter()
        session.run(None, {INPUT: image})
        taken.append(time.perf_counter() - begun)
    return 1000 * min(taken)
