"""Ray Data drives: it hands the missing shards to workers that it keeps alive, and brings back their counts.

No rows and no lists of inputs pass through the driver or the object store, only shards' numbers and counts. The shards' numbers are
there when the run begins: no task has to read them, so the workers may take every processor of the cluster and nothing
waits for another. What Ray has to know of faults is little: a shard that is done again finds its part there, or puts the same bytes.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_fm_runtime.batch.label import LabelSummary, Model, run_key
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.cluster import manifest, node, plan
from edge_fm_runtime.cluster.plan import ClusterPlan
from edge_fm_runtime.cluster.ray_cluster import Cluster, Connection, Ray, check_nodes, last_line, library
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import EdgeFmError, OutputError, SourceError
from edge_fm_runtime.status import Status

_MOST_BLOCKS = 2000
"""Blocks that the driver holds; beyond, a block has several shards, so that its memory stays flat."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        inputs: done, of how many.
        shards: done, of how many.
        made: how many of each status this run has made.
    """

    inputs: tuple[int, int]
    shards: tuple[int, int]
    made: Counter[Status]


@dataclass(frozen=True)
class Listener:
    """Who is told.

    Attributes:
        listing: what is done before the first label, and how many inputs are known so far.
        labelling: how far the run is.
        note: a sentence that the user should read.
    """

    listing: Callable[[str, int], None]
    labelling: Callable[[Progress], None]
    note: Callable[[str], None]


def label(
    model: Model, inputs: Sequence[str], out: str, options: Options, cluster: Cluster, listener: Listener
) -> LabelSummary:
    """Write one row for every input, in parts; a run that was stopped goes on with the parts that are missing.

    Args:
        model: what answers.
        inputs: what `manifest.write` understands, or one list that it has written.
        out: a folder, or the URL of one.
        options: how; its shard, fields and workers are not looked at.
        cluster: where.
        listener: told of progress.

    Raises:
        SourceError: an input is not there, or there are none, or there is no cluster at the address.
        ModelError: the model cannot be used.
        OutputError: the folder cannot be written, or holds another run.
        EdgeFmError: the nodes would not answer alike, or the cluster gave up.
    """
    ray = library()
    folder = Folder(out)
    folder.make()
    if options.fresh:
        plan.forget(folder)
    begun = ClusterPlan.of(folder)
    with Connection(ray, cluster) as connection:
        if begun is None or begun.missing(folder):
            listener.listing("joining the cluster", 0)
            connection.open()
        current = _planned(begun, model, inputs, folder, options, cluster, listener)
        missing = current.missing(folder)
        if missing:
            job = Job(model.data, model.labels, model.language, options.row, options.memory_bytes)
            work = node.Work(current, folder, options.timeout_s, node.versions())
            listener.listing("checking the nodes", current.manifest.rows)
            check_nodes(ray, work, job)
            _label(ray, work, job, missing, cluster, listener)
    counts = plan.counts(current, folder)
    folder.write(plan.RECORD, current.record(counts))
    resumed = current.manifest.rows - sum(_size(current, shard) for shard in missing)
    by_status = {Status(name): count for name, count in counts.by_status.items()}
    return LabelSummary(current.manifest.rows, resumed, by_status, dict(counts.by_label))


def _planned(
    begun: ClusterPlan | None,
    model: Model,
    inputs: Sequence[str],
    folder: Folder,
    options: Options,
    cluster: Cluster,
    listener: Listener,
) -> ClusterPlan:
    """Return the plan that was begun in the folder, if it is the one that is asked for, or a new one, written there."""
    terms = run_key(model, options)
    if begun is not None:
        asked = (terms, tuple(inputs), cluster.shard_inputs)
        for what, is_same in zip(
            ("another model or other options", "other inputs", "shards of another size"),
            (a == b for a, b in zip(asked, (begun.terms, begun.inputs, begun.shard_inputs), strict=True)),
            strict=True,
        ):
            if not is_same:
                raise OutputError(
                    f"{folder.name} holds parts of {what}: choose another folder with -o, or start over with --fresh"
                )
    given = manifest.find(inputs[0]) if len(inputs) == 1 and manifest.is_parquet(inputs[0]) else None
    if begun is not None:
        if given is not None and given != begun.manifest:
            raise OutputError(
                f"{inputs[0]} has changed since {folder.name} was begun: choose another folder with -o, or start over with --fresh"
            )
        return begun
    if given is None:
        name = folder.file(plan.INPUTS)
        given, doubled = manifest.write(inputs, name, listener.listing)
        if doubled:
            listener.note(f"{doubled:,} inputs were named more than once; each has one row")
    if not given.rows:
        raise SourceError(f"{given.name} lists no inputs: nothing to label")
    made = ClusterPlan(given, tuple(inputs), terms, cluster.shard_inputs, os.getcwd())
    folder.write(plan.RECORD, made.record(None))
    return made


def _size(current: ClusterPlan, shard: int) -> int:
    start, stop = current.range_of(shard)
    return stop - start


def _label(
    ray: Ray,
    work: node.Work,
    job: Job,
    missing: Sequence[int],
    cluster: Cluster,
    listener: Listener,
) -> None:
    """Have the missing shards labelled.

    Raises:
        EdgeFmError: a worker refused, or the cluster gave up.
    """
    import ray.data as ray_data

    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    processors = int(ray.cluster_resources().get("CPU", 0))
    workers = max(1, min(cluster.workers or processors, processors, len(missing)))
    if cluster.workers is not None and cluster.workers > processors:
        listener.note(f"the cluster has {processors} processors, so there are {processors} workers")
    if ray.available_resources().get("CPU", 0) < 1:
        listener.note("all processors of the cluster are taken by others: waiting for one")
    current = work.plan
    shards = ray_data.from_items(
        [{"shard": shard} for shard in missing], override_num_blocks=min(len(missing), _MOST_BLOCKS)
    ).map_batches(
        RayLabeller,
        batch_size=1,
        num_cpus=1,
        compute=ray_data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        fn_constructor_args=(work, ray.put(job)),
    )
    total = current.manifest.rows
    done = total - sum(_size(current, shard) for shard in missing)
    shards_done = current.shards - len(missing)
    made: Counter[Status] = Counter()
    listener.labelling(Progress((done, total), (shards_done, current.shards), made))
    try:
        for row in shards.iter_rows():
            if row["refused"]:
                raise EdgeFmError(row["refused"])
            counts = json.loads(row["by_status"])
            made.update({Status(name): count for name, count in counts.items()})
            done, shards_done = done + sum(counts.values()), shards_done + 1
            listener.labelling(Progress((done, total), (shards_done, current.shards), made))
    except ray.exceptions.RayError as error:
        raise EdgeFmError(
            f"the cluster gave up ({last_line(error)}). What was done so far is kept: run the same command again"
        ) from error


class RayLabeller:
    """A worker that Ray Data keeps: shards' numbers in, counts out."""

    def __init__(self, work: node.Work, job: Any) -> None:  # noqa: ANN401  # the job, or Ray's reference to it
        import ray
        from ray.util.metrics import Counter as Metric

        metric = Metric("edge_fm_inputs", "Inputs labelled, by status.", tag_keys=("status",))
        if isinstance(job, ray.ObjectRef):
            job = ray.get(job)  # shipped once to each node; its workers share it
        found = node.problems(work, job)  # of a node that came later
        self._refused = "; ".join(f"node {ray.util.get_node_ip_address()} {problem}" for problem in found)
        if not found:
            self._labeller = node.Labeller(
                work, job, lambda status, count: metric.inc(count, tags={"status": str(status)})
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Label one shard.

        Args:
            batch: `shard`, (1,) int64.

        Returns:
            `by_status`, JSON; `refused`, a sentence if the run must stop.
        """
        counts: dict[str, int] = {}
        refused = self._refused
        if not refused:
            try:
                counts = self._labeller.label(int(batch["shard"][0]))
            except EdgeFmError as error:
                refused = str(error)
            except Exception as error:  # noqa: BLE001  # Ray would bring back that there was an error, and not which
                refused = f"shard {batch['shard'][0]} cannot be done: {error!r}"
        return {"by_status": [json.dumps(counts)], "refused": [refused]}
