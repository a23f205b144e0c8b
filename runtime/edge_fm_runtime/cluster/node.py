"""What happens on a node of the cluster: check that it answers as the others would, then label shards.

This module is all that a worker imports; it knows nothing of Ray but the counter that it is given.
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
from edge_fm_runtime.batch.outputs.shards import Part, Rule
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.cluster import manifest
from edge_fm_runtime.cluster.label_task import LabelTask
from edge_fm_runtime.cluster.plan import ClusterPlan, read_part
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import EdgeFmError
from edge_fm_runtime.golden import replay

_PROBED = 3
"""Inputs that each node tries to reach: where none can be, none of the rest will be."""


@dataclass(frozen=True)
class Work:
    """What every node is told.

    Attributes:
        plan: what the run will do.
        out: where parts go.
        timeout_s: how long one input may take, in seconds.
        versions: what the driver runs.
    """

    plan: ClusterPlan
    out: Folder
    timeout_s: float
    versions: tuple[tuple[str, str], ...]


def versions() -> tuple[tuple[str, str], ...]:
    """Return what a row may depend on, each with its version here."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = [("edge-fm", __version__), ("recipe", str(PREPROCESS_VERSION)), ("Python", python)]
    for name in ("onnxruntime", "numpy"):
        found.append((name, metadata.version(name)))  # noqa: PERF401  # as the next line
    from edge_fm_runtime.image.opencv import cv2

    found.append(("OpenCV", cv2.__version__))
    return tuple(found)


def problems(work: Work, job: Job) -> list[str]:
    """Return why this node would not answer as the driver would; empty if it would.

    Args:
        work: what it is told.
        job: with the model as it arrived here.
    """
    here = dict(versions())
    found = [
        f"runs {name} {here.get(name)} and the driver {version}: install the same on both"
        for name, version in work.versions
        if here.get(name) != version
    ]
    if not os.path.isdir(work.plan.here):
        found.append(f"has no folder {work.plan.here}: give absolute paths on shared storage, or URLs")
    try:
        os.chdir(work.plan.here)
        classifier = Classifier.from_bytes(job.model, job.labels, job.language)
        different = (
            [result for result in replay(classifier) if result.stage] if classifier.passport.golden else []
        )
        if different:
            found.append(
                f"answers {len(different)} of the model's golden inputs otherwise (the first in {different[0].stage}): "
                "run 'edge-fm verify' there"
            )
        remote.check_access(manifest.read(work.plan.manifest, 0, _PROBED))
        work.out.names()
    except (EdgeFmError, OSError) as error:
        found.append(f"cannot do its part: {error}")
    return found


class Labeller:
    """Labels shards, one after another, with one contained worker process."""

    def __init__(self, work: Work, job: Job, count: Callable[[str, int], None]) -> None:
        """Prepare; the node has no `problems`.

        Args:
            work: what to do.
            job: what the worker process is for.
            count: told of inputs as they are done: a status and how many.
        """
        os.chdir(work.plan.here)
        self._work, self._count = work, count
        self._piece = LabelTask(job, work.timeout_s)

    def label(self, shard: int) -> dict[str, int]:
        """Put a shard's part in place, if it is not there; return its counts by status.

        Raises:
            EdgeFmError: the list cannot be read, or the part cannot be written.
        """
        plan, out = self._work.plan, self._work.out
        name = plan.part(shard)
        if out.has(name):
            return dict(read_part(plan, out, shard).by_status)
        inputs = manifest.read(plan.manifest, *plan.range_of(shard))
        rows = self._piece.rows(inputs, self._counted)
        part = _part(plan, shard, rows)
        out.write(name, files.parquet_bytes(rows, plan.terms.top, part.to_json()))
        return dict(part.by_status)

    def _counted(self, lines: list[bytes]) -> None:
        for status, count in Counter(map(status_of, lines)).items():
            self._count(status, count)


def _part(plan: ClusterPlan, shard: int, rows: list[Row]) -> Part:
    by_status = Counter(str(row.status) for row in rows)
    by_label = Counter(row.ranking[0][0] for row in rows if row.ranking)
    manifest = plan.manifest
    return Part(
        plan.terms,
        Shard(shard, plan.shards),
        len(rows),
        manifest.rows,
        manifest.paths_sha256,
        Rule.RANGE,
        dict(by_status),
        dict(by_label),
    )
