"""Check that a node of the cluster answers like the driver, then label shards on it.

A worker imports only this module, which does not depend on Ray: counts go to a callback.
"""

import os
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from edge_fm_runtime import __version__
from edge_fm_runtime.artifact.input_spec import PREPROCESS_VERSION
from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.batch.options import Shard
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.rows import Row, status_of
from edge_fm_runtime.batch.outputs.shards import Part, RowsDigest, Rule
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.cluster import manifest
from edge_fm_runtime.cluster.label_task import LabelTask
from edge_fm_runtime.cluster.plan import ClusterPlan, read_part
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.golden import replay

_PROBED_INPUTS = 3
"""Inputs that each node tries to reach; if it can reach none of them, the run stops."""


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Settings of a run, the same for every node.

    Attributes:
        plan: plan of the run.
        out: folder of the parts.
        timeout_s: time limit per input in seconds.
        versions: versions on the driver, see `versions`.
    """

    plan: ClusterPlan
    out: Folder
    timeout_s: float
    versions: tuple[tuple[str, str], ...]


def versions() -> tuple[tuple[str, str], ...]:
    """Return everything that a row may depend on, each with its version on this machine."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = [("edge-fm", __version__), ("preprocessing", str(PREPROCESS_VERSION)), ("Python", python)]
    for name in ("onnxruntime", "numpy"):
        found.append((name, metadata.version(name)))  # noqa: PERF401  # as the next line
    from edge_fm_runtime.image.opencv import cv2

    found.append(("OpenCV", cv2.__version__))
    return tuple(found)


def problems(settings: NodeSettings, job: Job) -> list[str]:
    """Return the reasons why this node would not answer like the driver; empty if it would.

    Args:
        settings: settings of the run.
        job: model and row options as they arrived on this node.
    """
    installed = dict(versions())
    found = [
        f"runs {name} {installed.get(name)} and the driver {version}: install the same on both"
        for name, version in settings.versions
        if installed.get(name) != version
    ]
    folder = settings.plan.working_directory
    if not os.path.isdir(folder):
        found.append(f"has no folder {folder}: give absolute paths on shared storage, or URLs")
    try:
        os.chdir(folder)
        classifier = Classifier.from_bytes(job.model, job.labels, job.language)
        different = (
            [result for result in replay(classifier) if result.stage] if classifier.passport.golden else []
        )
        if different:
            found.append(
                f"gives other answers to {len(different)} golden inputs of the model ({different[0].stage} differs): "
                "run 'edge-fm verify' there"
            )
        remote.check_access(manifest.read(settings.plan.manifest, 0, _PROBED_INPUTS))
        settings.out.names()
    except (EdgeFmError, OSError) as error:
        found.append(f"cannot label: {error}")
    return found


class Labeller:
    """Labels shards, one after another, in one contained worker process."""

    def __init__(self, settings: NodeSettings, job: Job, count: Callable[[str, int], None]) -> None:
        """Start the worker process, on a node without `problems`.

        Args:
            settings: settings of the run.
            job: model and row options for the worker process.
            count: called with a status and a number of inputs as they are finished.
        """
        os.chdir(settings.plan.working_directory)
        self._plan, self._out, self._count = settings.plan, settings.out, count
        self._task = LabelTask(job, settings.timeout_s)

    def label(self, shard: int) -> dict[str, int]:
        """Write the part of a shard unless it exists; return its counts by status.

        Raises:
            EdgeFmError: the list cannot be read, or the part cannot be written.
        """
        name = self._plan.part(shard)
        if self._out.has(name):
            return dict(read_part(self._plan, self._out, shard).by_status)
        inputs = manifest.read(self._plan.manifest, *self._plan.range_of(shard))
        rows = self._task.rows(inputs, self._count_lines)
        part = _part(self._plan, shard, rows)
        self._out.write(name, files.parquet_bytes(rows, self._plan.run_key.top, part.to_json()))
        return dict(part.by_status)

    def _count_lines(self, lines: list[bytes]) -> None:
        for status, count in Counter(map(status_of, lines)).items():
            self._count(status, count)


def _part(plan: ClusterPlan, shard: int, rows: list[Row]) -> Part:
    digest = RowsDigest()
    by_status = Counter(str(row.status) for row in digest.of(rows))
    return Part(
        plan.run_key,
        shard=Shard(shard, plan.shards),
        rows=len(rows),
        all_inputs=plan.manifest.rows,
        all_paths_sha256=plan.manifest.paths_sha256,
        rule=Rule.RANGE,
        by_status=dict(by_status),
        by_label=dict(Counter(row.ranking[0][0] for row in rows if row.ranking)),
        rows_sha256=digest.hexdigest(),
    )
