"""The plan of a run on a cluster, written into its output folder before the first label.

    OUT/_manifest.json                             the plan; at the end of the run, the counts
    OUT/_inputs.parquet                            the list of inputs, unless the user gave one
    OUT/part-00001-of-00100-3f9c2a71d0b4.parquet   rows of one shard; the name ends in the id of the run

There is no other bookkeeping: a part exists or not, and its name says to which run it belongs.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from edge_fm_runtime.batch.options import MAX_SHARDS, Shard
from edge_fm_runtime.batch.outputs.journal import RunKey
from edge_fm_runtime.batch.outputs.shards import Part
from edge_fm_runtime.cluster.manifest import Manifest
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.untrusted import bounded_json
from edge_fm_runtime.untrusted.typed_json import read, require

RECORD = "_manifest.json"
INPUTS = "_inputs.parquet"
_PREFIX = "part-"
_PART = re.compile(r"part-\d{5,}-of-\d{5,}-[0-9a-f]{12}\.parquet")
_THREADS = 16
"""Parts whose metadata is read at the same time."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """Plan of a run.

    Attributes:
        manifest: the list of inputs.
        inputs: inputs as the user named them.
        run_key: everything that rows depend on besides their inputs.
        shard_inputs: number of inputs per shard; the last shard may have fewer.
        working_directory: the folder to which relative paths refer, also when the run is resumed from another
            folder.
    """

    manifest: Manifest
    inputs: tuple[str, ...]
    run_key: RunKey
    shard_inputs: int
    working_directory: str

    @property
    def shards(self) -> int:
        """Number of shards; they are numbered from 1."""
        return math.ceil(self.manifest.rows / self.shard_inputs)

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits, unique to the model, options, inputs and shard size."""
        about = [asdict(self.run_key), self.manifest.rows, self.manifest.paths_sha256, self.shard_inputs]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]

    def range_of(self, shard: int) -> tuple[int, int]:
        """Return the rows of a shard in the list of inputs: the first, and the one after the last."""
        start = (shard - 1) * self.shard_inputs
        return start, min(start + self.shard_inputs, self.manifest.rows)

    def size_of(self, shard: int) -> int:
        """Return the number of inputs of a shard."""
        start, stop = self.range_of(shard)
        return stop - start

    def part(self, shard: int) -> str:
        """Return the file name of the part for a shard."""
        digits = max(5, len(str(self.shards)))
        return f"{_PREFIX}{shard:0{digits}}-of-{self.shards:0{digits}}-{self.run_id}.parquet"

    def missing(self, folder: Folder) -> list[int]:
        """Return the shards that have no part yet.

        Raises:
            OutputError: the folder cannot be listed.
        """
        names = set(folder.names())
        return [shard for shard in range(1, self.shards + 1) if self.part(shard) not in names]

    def record(self, counts: "Counts | None") -> bytes:
        """Return the content of `_manifest.json`; without counts, the run is not complete."""
        values = {
            "edge_fm_run": 1,
            "complete": counts is not None,
            "run": self.run_id,
            "inputs": list(self.inputs),
            "here": self.working_directory,
            "list": asdict(self.manifest),
            "terms": asdict(self.run_key),
            "model_sha256": self.run_key.model_sha256,
            "preprocessing_version": self.run_key.recipe_version,
            "shard_inputs": self.shard_inputs,
            "shards": self.shards,
            "by_status": dict(sorted(counts.by_status.items())) if counts else None,
            "by_label": dict(sorted(counts.by_label.items())) if counts else None,
        }
        return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, folder: Folder) -> "ClusterPlan | None":
        """Return the plan in a folder, None if there is none.

        Raises:
            OutputError: the plan cannot be read, or the folder has parts but no plan.
        """
        data = folder.read(RECORD)
        if data is None:
            if any(name.startswith(_PREFIX) for name in folder.names()):
                raise OutputError(
                    f"{folder.name} has parts but no {RECORD} for them: choose another folder with -o"
                )
            return None
        try:
            values = bounded_json.loads(data)
            plan = cls(
                manifest=read(Manifest, values["list"], "list"),
                inputs=read(tuple[str, ...], values["inputs"], "inputs"),
                run_key=read(RunKey, values["terms"], "terms"),
                shard_inputs=read(int, values["shard_inputs"], "shard_inputs"),
                working_directory=read(str, values["here"], "here"),
            )
            require(plan.shard_inputs >= 1, f"shards of {plan.shard_inputs} inputs")
            require(plan.manifest.rows >= 0, f"a list of {plan.manifest.rows} inputs")
            require(plan.shards <= MAX_SHARDS, f"{plan.shards} shards, the limit is {MAX_SHARDS:,}")
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{folder.file(RECORD)} is not the plan of a run ({error!r:.200}): choose another folder with -o"
            ) from error
        return plan


@dataclass(frozen=True)
class Counts:
    """Numbers of rows.

    Attributes:
        by_status: number of rows per status.
        by_label: number of rows per label.
    """

    by_status: Mapping[str, int]
    by_label: Mapping[str, int]


def counts(plan: ClusterPlan, folder: Folder) -> Counts:
    """Return the sums of the counts in all parts.

    Raises:
        SourceError: a part is missing, or belongs to another run.
    """
    by_status: Counter[str] = Counter()
    by_label: Counter[str] = Counter()

    def read(shard: int) -> Part:
        return read_part(plan, folder, shard)

    with ThreadPoolExecutor(_THREADS) as threads:
        for part in threads.map(read, range(1, plan.shards + 1)):
            by_status.update(part.by_status)
            by_label.update(part.by_label)
    return Counts(by_status, by_label)


def read_part(plan: ClusterPlan, folder: Folder, shard: int) -> Part:
    """Return the metadata of a part.

    Raises:
        SourceError: the part is missing, or belongs to another run.
    """
    name = folder.file(plan.part(shard))
    part = Part.of(name)
    if (part.terms, part.shard, part.all_paths_sha256) != (
        plan.run_key,
        Shard(shard, plan.shards),
        plan.manifest.paths_sha256,
    ):
        raise SourceError(f"{name} belongs to another run: delete it, and run the same command again")
    return part


def delete_run(folder: Folder) -> None:
    """Delete the files of a run from a folder, and nothing else.

    Raises:
        OutputError: a file cannot be deleted, or the folder has parts or a plan of another program.
    """
    if ClusterPlan.load(folder) is None:
        return
    for name in folder.names():
        if name == INPUTS or _PART.fullmatch(name):
            folder.delete(name)
    folder.delete(RECORD)  # last: parts without it cannot be attributed to a run


def complete_parts(name: str) -> Sequence[str]:
    """Return the paths or URLs of the parts in a folder, in order.

    Raises:
        SourceError: the folder has no run, or one that is not complete.
    """
    folder = Folder(name)
    plan = ClusterPlan.load(folder)
    if plan is None:
        raise SourceError(
            f"{name} has no {RECORD}: it is no output of 'edge-fm label --engine ray'. Give the folder of such a run"
        )
    missing = plan.missing(folder)
    if missing:
        first = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")  # noqa: PLR2004
        raise SourceError(
            f"{len(missing)} of {plan.shards} shards have no part yet ({first}): run the same 'edge-fm label' again"
        )
    return [folder.file(plan.part(shard)) for shard in range(1, plan.shards + 1)]
