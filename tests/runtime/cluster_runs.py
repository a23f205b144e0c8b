"""Labelling on a Ray cluster, for its tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_fm_runtime.batch import label as label_module
from edge_fm_runtime.batch.label import LabelSummary, Model
from edge_fm_runtime.batch.options import Options, RowOptions
from edge_fm_runtime.batch.outputs import shards
from edge_fm_runtime.cluster import plan, ray_engine
from edge_fm_runtime.cluster.ray_cluster import Cluster
from edge_fm_runtime.cluster.ray_engine import ClusterProgress, ClusterRun, Listener

OPTIONS = Options(row=RowOptions(top=2), timeout_s=1.0)


class RecordingListener:
    """A listener that records progress and notices."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.progress: list[ClusterProgress] = []
        self.listener = Listener(lambda *_: None, self.progress.append, self.notices.append)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run that tests vary.

    Attributes:
        size: number of inputs per shard.
        options: labelling options.
    """

    size: int = 10
    options: Options = OPTIONS


def label(
    model: Model,
    inputs: Sequence[object],
    out: object,
    settings: Settings = Settings(),
    recorder: RecordingListener | None = None,
) -> LabelSummary:
    """Label on the cluster with one worker on each of its two processors."""
    run = ClusterRun(
        model=model,
        inputs=tuple(map(str, inputs)),
        out=str(out),
        options=settings.options,
        cluster=Cluster(None, 2, settings.size),
    )
    return ray_engine.label(run, (recorder or RecordingListener()).listener)


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
