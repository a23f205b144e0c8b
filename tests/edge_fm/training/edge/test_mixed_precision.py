"""Training in bfloat16."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.models import edge, runs
from edge_fm.training.edge import loop
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.classifier import Classifier
from tests.conftest import RunCli
from tests.edge_fm.pictures import small


@pytest.mark.train
@pytest.mark.slow
def test_a_training_in_bfloat16_ends_in_a_float32_model(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in bfloat16 saves a float32 network, and later networks are float32."""
    monkeypatch.setitem(edge.WIDTHS, "edge-nano", edge.Width(16, 16, 16))
    part, images = small(), datasets.load("wardrobe").test.images[:100]
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    seen: list[str] = []
    fit = loop.train

    def watching(job: loop.TrainingJob, *rest: Any) -> list[dict[str, float]]:
        seen.extend(layer.compute_dtype for layer in job.model.layers if layer.weights)
        return fit(job, *rest)

    monkeypatch.setattr(loop, "train", watching)
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    result = cli(
        "train", "wardrobe", "--model", "edge-nano", "--set", "bf16=true", "--epochs", "1", "-o", run
    )
    assert result.is_written, result.err
    assert seen.count("bfloat16") == len(seen) - 1  # the answers are of float32
    assert json.loads((run / runs.RECORD).read_text())["settings"]["bf16"] is True
    keras = import_keras()
    assert keras.config.dtype_policy().name == "float32"
    network = keras.saving.load_model(run / runs.MODEL, compile=False)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert cli("export", run, "-o", model).is_written
    theirs = Classifier.load(model).raw_probabilities(images)
    assert np.abs(theirs - loop.probabilities(network, images)).max() < 1e-5
