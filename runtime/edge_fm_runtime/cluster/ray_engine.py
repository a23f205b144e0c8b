"""Label on a Ray cluster: Ray Data hands the missing shards to long-lived workers.

Only shard numbers and counts pass through the driver and the object store, never rows or lists of inputs. All
shard numbers are known when the run starts, so no task has to read them, the workers may take every processor
of the cluster, and nothing waits for anything else. Ray may repeat a shard after a fault: its worker then
finds the part in place, or writes the same bytes again.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_fm_runtime.batch.label import LabelSummary, Model, run_key
from edge_fm_runtime.batch.options import MAX_SHARDS, Options
from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.cluster import manifest, node, plan
from edge_fm_runtime.cluster.manifest import Manifest
from edge_fm_runtime.cluster.plan import ClusterPlan
from edge_fm_runtime.cluster.ray_cluster import Cluster, Connection, Ray, check_nodes, import_ray, last_line
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import EdgeFmError, OutputError, SourceError
from edge_fm_runtime.status import Status

_MAX_BLOCKS = 2000
"""Blocks in the memory of the driver; with more shards than this, a block has several."""


@dataclass(frozen=True, kw_only=True)
class ClusterRun:
    """A labelling run on a cluster.

    Attributes:
        model: the model.
        inputs: inputs that `manifest.write` accepts, or one list that it has written.
        out: a folder, or the URL of one.
        options: labelling options; `shard`, `fields` and `workers` are ignored.
        cluster: settings of the cluster.
    """

    model: Model
    inputs: tuple[str, ...]
    out: str
    options: Options
    cluster: Cluster

    @property
    def job(self) -> Job:
        """Model and row options for the worker processes."""
        model, options = self.model, self.options
        return Job(model.data, model.labels, model.language, options.row, options.memory_bytes)


@dataclass(frozen=True)
class ClusterProgress:
    """Progress of a run.

    Attributes:
        inputs: number of inputs done, and in total.
        shards: number of shards done, and in total.
        made: number of inputs per status that this run has labelled.
    """

    inputs: tuple[int, int]
    shards: tuple[int, int]
    made: Counter[Status]


@dataclass(frozen=True)
class Listener:
    """Callbacks of a run.

    Attributes:
        listing: called with the step before the first label, and the number of inputs so far.
        labelling: called with the progress.
        notify: called with a sentence for the user.
    """

    listing: Callable[[str, int], None]
    labelling: Callable[[ClusterProgress], None]
    notify: Callable[[str], None]


def label(run: ClusterRun, listener: Listener) -> LabelSummary:
    """Write one row for every input, in parts; an interrupted run resumes with the missing parts.

    Args:
        run: the run.
        listener: called with progress.

    Raises:
        SourceError: an input is missing, there are none, or there is no cluster at the address.
        ModelError: the model cannot be used.
        OutputError: the folder cannot be written, or has the parts of another run.
        EdgeFmError: the nodes would give different answers, or the cluster failed.
    """
    ray = import_ray()
    folder = Folder(run.out)
    folder.create()
    if run.options.fresh:
        plan.delete_run(folder)
    begun = ClusterPlan.load(folder)
    with Connection(ray, run.cluster) as connection:
        if begun is None or begun.missing(folder):
            listener.listing("joining the cluster", 0)
            connection.open()
        current = _new_plan(run, folder, listener) if begun is None else _resumed_plan(run, folder, begun)
        missing = current.missing(folder)
        if missing:
            settings = node.NodeSettings(
                plan=current, out=folder, timeout_s=run.options.timeout_s, versions=node.versions()
            )
            listener.listing("checking the nodes", current.manifest.rows)
            check_nodes(ray, settings, run.job)
            _label_shards(ray, run, settings, missing, listener)
    counts = plan.counts(current, folder)
    folder.write(plan.RECORD, current.record(counts))
    resumed = current.manifest.rows - sum(map(current.size_of, missing))
    by_status = {Status(name): count for name, count in counts.by_status.items()}
    return LabelSummary(current.manifest.rows, resumed, by_status, dict(counts.by_label))


def _given_list(run: ClusterRun) -> Manifest | None:
    """Return the list that `manifest.write` made, if it is the only input; else None."""
    if len(run.inputs) == 1 and manifest.is_parquet(run.inputs[0]):
        return manifest.find(run.inputs[0])
    return None


def _resumed_plan(run: ClusterRun, folder: Folder, begun: ClusterPlan) -> ClusterPlan:
    """Return the plan in a folder, if it is the plan of this run.

    Raises:
        OutputError: it is the plan of another run, or the list of inputs has changed.
    """
    remedy = "choose another folder with -o, or start over with --fresh"
    for difference, is_same in (
        ("another model or other options", run_key(run.model, run.options) == begun.run_key),
        ("other inputs", run.inputs == begun.inputs),
        ("shards of another size", run.cluster.shard_inputs == begun.shard_inputs),
    ):
        if not is_same:
            raise OutputError(f"{folder.name} has parts of {difference}: {remedy}")
    given = _given_list(run)
    if given is not None and given != begun.manifest:
        raise OutputError(f"{run.inputs[0]} has changed since the run in {folder.name} started: {remedy}")
    return begun


def _new_plan(run: ClusterRun, folder: Folder, listener: Listener) -> ClusterPlan:
    """List the inputs unless the user gave a list, and write the plan into the folder.

    Raises:
        SourceError: an input is missing, or there are none.
        OutputError: the list or the plan cannot be written.
    """
    inputs = _given_list(run)
    if inputs is None:
        inputs, repeated = manifest.write(run.inputs, folder.file(plan.INPUTS), listener.listing)
        if repeated:
            listener.notify(f"{repeated:,} inputs were named more than once; each has one row")
    if not inputs.rows:
        raise SourceError(f"{inputs.name} lists no inputs, so there is nothing to label: give another list")
    made = ClusterPlan(
        manifest=inputs,
        inputs=run.inputs,
        run_key=run_key(run.model, run.options),
        shard_inputs=run.cluster.shard_inputs,
        working_directory=os.getcwd(),
    )
    if made.shards > MAX_SHARDS:
        raise SourceError(
            f"{inputs.rows:,} inputs make {made.shards:,} shards, the limit is {MAX_SHARDS:,}: give a larger --shard-size"
        )
    folder.write(plan.RECORD, made.record(None))
    return made


def _label_shards(
    ray: Ray, run: ClusterRun, settings: node.NodeSettings, missing: Sequence[int], listener: Listener
) -> None:
    """Label the missing shards and report the progress.

    Raises:
        EdgeFmError: a worker refused to label, or the cluster failed.
    """
    workers = _worker_count(ray, run.cluster.workers, len(missing), listener)
    results = _start_workers(ray, run, settings, missing, workers)
    total = settings.plan.manifest.rows
    done = total - sum(map(settings.plan.size_of, missing))
    shards_done = settings.plan.shards - len(missing)
    made: Counter[Status] = Counter()
    listener.labelling(ClusterProgress((done, total), (shards_done, settings.plan.shards), made))
    try:
        for result in results.iter_rows():
            if result["refused"]:
                raise EdgeFmError(result["refused"])
            counts = json.loads(result["by_status"])
            made.update({Status(name): count for name, count in counts.items()})
            done, shards_done = done + sum(counts.values()), shards_done + 1
            listener.labelling(ClusterProgress((done, total), (shards_done, settings.plan.shards), made))
    except ray.exceptions.RayError as error:
        raise EdgeFmError(
            f"the cluster failed ({last_line(error)}). Finished parts are kept: run the same command again"
        ) from error


def _worker_count(ray: Ray, wanted: int | None, shards: int, listener: Listener) -> int:
    """Return the number of workers, at most one per processor and per shard; notify where that limits it."""
    processors = int(ray.cluster_resources().get("CPU", 0))
    if wanted is not None and wanted > processors:
        listener.notify(f"the cluster has {processors} processors, so there are {processors} workers")
    if ray.available_resources().get("CPU", 0) < 1:
        listener.notify("all processors of the cluster are in use: waiting for one")
    return max(1, min(wanted or processors, processors, shards))


def _start_workers(
    ray: Ray, run: ClusterRun, settings: node.NodeSettings, missing: Sequence[int], workers: int
) -> Any:  # noqa: ANN401  # a Ray data set
    """Return the Ray data set of the results: one row per shard, computed as it is read."""
    import ray.data as ray_data

    ray_data.DataContext.get_current().enable_progress_bars = False
    return ray_data.from_items(
        [{"shard": shard} for shard in missing], override_num_blocks=min(len(missing), _MAX_BLOCKS)
    ).map_batches(
        RayLabeller,
        batch_size=1,
        num_cpus=1,
        compute=ray_data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        fn_constructor_args=(settings, ray.put(run.job)),
    )


class RayLabeller:
    """A worker of Ray Data, from shard numbers to counts."""

    def __init__(self, settings: node.NodeSettings, job: Any) -> None:  # noqa: ANN401  # a Job, or Ray's reference to one
        import ray
        from ray.util.metrics import Counter as Metric

        metric = Metric("edge_fm_inputs", "Inputs labelled, by status.", tag_keys=("status",))
        if isinstance(job, ray.ObjectRef):
            job = ray.get(job)  # sent once to each node, and shared by its workers
        problems = node.problems(settings, job)  # the node may have joined after the check
        self._refused = "; ".join(f"node {ray.util.get_node_ip_address()} {problem}" for problem in problems)
        if not problems:
            self._labeller = node.Labeller(
                settings, job, lambda status, count: metric.inc(count, tags={"status": str(status)})
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Label one shard.

        Args:
            batch: `shard`, (1,) int64.

        Returns:
            `by_status`, JSON; `refused`, an error message if the run must stop, else empty.
        """
        counts: dict[str, int] = {}
        refused = self._refused
        if not refused:
            try:
                counts = self._labeller.label(int(batch["shard"][0]))
            except EdgeFmError as error:
                refused = str(error)
            except Exception as error:  # noqa: BLE001  # Ray's own report would not say which error it was
                refused = f"shard {batch['shard'][0]} cannot be labelled: {error!r}"
        return {"by_status": [json.dumps(counts)], "refused": [refused]}
