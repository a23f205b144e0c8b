"""A Ray cluster to label on, for the tests of it."""

from collections.abc import Sequence
from pathlib import Path

from edge_fm_runtime.batch import label as label_module
from edge_fm_runtime.batch.label import LabelSummary, Model
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import shards
from edge_fm_runtime.cluster import plan, ray_engine
from edge_fm_runtime.cluster.ray_cluster import Cluster
from edge_fm_runtime.cluster.ray_engine import Listener, Progress

OPTIONS = Options(row=RowOptions(top=2), timeout_s=1.0)


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.progress: list[Progress] = []
        self.listener = Listener(lambda *_: None, self.progress.append, self.notes.append)


def label(
    model: Model,
    inputs: Sequence[object],
    out: object,
    size: int = 10,
    options: Options = OPTIONS,
    told: Told | None = None,
) -> LabelSummary:
    """Label on the cluster, with as many workers as it has processors."""
    listener = (told or Told()).listener
    return ray_engine.label(
        model, list(map(str, inputs)), str(out), options, Cluster(None, 2, size), listener
    )


def merged(out: object, tmp_path: Path) -> bytes:
    """Return the bytes of the merged file."""
    target = tmp_path / "merged.csv"
    shards.merge(list(plan.complete_parts(str(out))), target)
    return target.read_bytes()


def locally(model: Model, inputs: Sequence[object], tmp_path: Path) -> bytes:
    """Return the bytes of a local run over the same inputs."""
    target = tmp_path / "local.csv"
    label_module.label(model, list(map(str, inputs)), target, OPTIONS, lambda *_: None)
    return target.read_bytes()
