"""What a run on a cluster will do, written into its output folder before the first label.

    OUT/_manifest.json                          what the run is of; at its end, the counts
    OUT/_inputs.parquet                         the list of inputs, unless one was given
    OUT/part-00001-of-00100-3f9c2a71d0b4.parquet   one shard's rows; the last part of the name is the run's

A part is there or not, and its name says of which run it is: that is all the bookkeeping that there is.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from edge_fm_runtime.batch.options import Shard
from edge_fm_runtime.batch.outputs.journal import RunKey
from edge_fm_runtime.batch.outputs.shards import Part
from edge_fm_runtime.cluster.manifest import Manifest
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError

RECORD = "_manifest.json"
INPUTS = "_inputs.parquet"
_PREFIX = "part-"
_PART = re.compile(r"part-\d{5,}-of-\d{5,}-[0-9a-f]{12}\.parquet")
_AT_ONCE = 16


@dataclass(frozen=True)
class ClusterPlan:
    """What a run will do.

    Attributes:
        manifest: the list of inputs.
        inputs: as the user named them.
        terms: what rows depend on besides their inputs.
        shard_inputs: how many inputs each shard has; the last may have fewer.
        here: the folder that relative paths are relative to, wherever the run is gone on with.
    """

    manifest: Manifest
    inputs: tuple[str, ...]
    terms: RunKey
    shard_inputs: int
    here: str

    @property
    def shards(self) -> int:
        """How many shards there are, numbered from 1."""
        return math.ceil(self.manifest.rows / self.shard_inputs)

    @property
    def run(self) -> str:
        """Twelve hexadecimal digits that no other model, options, inputs or division share."""
        about = [asdict(self.terms), self.manifest.rows, self.manifest.paths_sha256, self.shard_inputs]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]

    def range_of(self, shard: int) -> tuple[int, int]:
        """Return the places of a shard's inputs in the list: the first, and the one after the last."""
        start = (shard - 1) * self.shard_inputs
        return start, min(start + self.shard_inputs, self.manifest.rows)

    def part(self, shard: int) -> str:
        """Return the file name of a shard's rows."""
        digits = max(5, len(str(self.shards)))
        return f"{_PREFIX}{shard:0{digits}}-of-{self.shards:0{digits}}-{self.run}.parquet"

    def missing(self, folder: Folder) -> list[int]:
        """Return the shards that have no part yet.

        Raises:
            OutputError: the folder cannot be listed.
        """
        there = set(folder.names())
        return [shard for shard in range(1, self.shards + 1) if self.part(shard) not in there]

    def record(self, counts: "Counts | None") -> bytes:
        """Return what `_manifest.json` holds; without counts, the run is not complete."""
        said = {
            "edge_fm_run": 1,
            "complete": counts is not None,
            "run": self.run,
            "inputs": list(self.inputs),
            "here": self.here,
            "list": asdict(self.manifest),
            "terms": asdict(self.terms),
            "model_sha256": self.terms.model_sha256,
            "recipe_version": self.terms.recipe_version,
            "shard_inputs": self.shard_inputs,
            "shards": self.shards,
            "by_status": dict(sorted(counts.by_status.items())) if counts else None,
            "by_label": dict(sorted(counts.by_label.items())) if counts else None,
        }
        return json.dumps(said, indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def of(cls, folder: Folder) -> "ClusterPlan | None":
        """Return what was begun in a folder, None if nothing was.

        Raises:
            OutputError: the record cannot be read, or there are parts without one.
        """
        data = folder.read(RECORD)
        if data is None:
            if any(name.startswith(_PREFIX) for name in folder.names()):
                raise OutputError(
                    f"{folder.name} holds parts but no {RECORD} that says of what: choose another folder with -o"
                )
            return None
        try:
            said = json.loads(data)
            return cls(
                Manifest(**said["list"]),
                tuple(said["inputs"]),
                RunKey(**said["terms"]),
                int(said["shard_inputs"]),
                str(said["here"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{folder.file(RECORD)} is no record of a run ({error!r}): choose another folder with -o"
            ) from error


@dataclass(frozen=True)
class Counts:
    """How many rows of each kind."""

    by_status: Mapping[str, int]
    by_label: Mapping[str, int]


def counts(plan: ClusterPlan, folder: Folder) -> Counts:
    """Return what all parts together say of themselves.

    Raises:
        SourceError: a part is not there, or is not of this run.
    """
    by_status: Counter[str] = Counter()
    by_label: Counter[str] = Counter()

    def of(shard: int) -> Part:
        return read_part(plan, folder, shard)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for part in threads.map(of, range(1, plan.shards + 1)):
            by_status.update(part.by_status)
            by_label.update(part.by_label)
    return Counts(by_status, by_label)


def read_part(plan: ClusterPlan, folder: Folder, shard: int) -> Part:
    """Return what a part says of itself.

    Raises:
        SourceError: it is not there, or is not of this run.
    """
    name = folder.file(plan.part(shard))
    part = Part.of(name)
    if (part.terms, part.shard, part.all_paths_sha256) != (
        plan.terms,
        Shard(shard, plan.shards),
        plan.manifest.paths_sha256,
    ):
        raise SourceError(f"{name} is not of this run: delete it, and label again")
    return part


def forget(folder: Folder) -> None:
    """Delete what a run has left in a folder; nothing else in it is touched.

    Raises:
        OutputError: something cannot be deleted, or the folder holds somebody else's parts or record.
    """
    if ClusterPlan.of(folder) is None:
        return
    for name in folder.names():
        if name == INPUTS or _PART.fullmatch(name):
            folder.delete(name)
    folder.delete(RECORD)  # last: without it nothing says whose the parts are


def complete_parts(name: str) -> Sequence[str]:
    """Return the paths or URLs of the parts in a folder, in order.

    Raises:
        SourceError: it holds no run, or one that is not complete.
    """
    folder = Folder(name)
    plan = ClusterPlan.of(folder)
    if plan is None:
        raise SourceError(f"{name} holds no {RECORD}: it is no output of 'edge-fm label --engine ray'")
    missing = plan.missing(folder)
    if missing:
        first = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")  # noqa: PLR2004
        raise SourceError(
            f"{len(missing)} of {plan.shards} shards have no part yet ({first}): run the same 'edge-fm label' again"
        )
    return [folder.file(plan.part(shard)) for shard in range(1, plan.shards + 1)]
