"""Labelling on a Ray cluster: `edge-fm label --engine ray`."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edge_fm.cli import terminal

if TYPE_CHECKING:
    from edge_fm_runtime.batch.label import LabelSummary, Model
    from edge_fm_runtime.batch.options import Options
    from edge_fm_runtime.cluster.ray_cluster import Cluster
    from edge_fm_runtime.cluster.ray_engine import ClusterProgress

_STDERR = 2


def label_on_cluster(
    cluster: "Cluster", model: "Model", inputs: Sequence[str], out: str, options: "Options"
) -> "LabelSummary":
    """Label on a Ray cluster, with progress.

    Args:
        cluster: the cluster to label on.
        model: the model, in bytes.
        inputs: inputs of `edge-fm label`, or one list of `edge-fm manifest`.
        out: a folder, or its URL.
        options: options of the run.

    Raises:
        OutputError: the output is a file.
    """
    from edge_fm_runtime.cluster import ray_engine
    from edge_fm_runtime.errors import OutputError

    if out.endswith((".csv", ".jsonl", ".parquet")) or out == "-":
        raise OutputError(
            f"with --engine ray the output is a folder of Parquet parts, or its URL, not {out!r}: give "
            "-o labels; 'edge-fm merge labels -o labels.csv' makes one file of it"
        )
    with _native_output_suppressed(), terminal.progress("labelling") as bar:

        def show(progress: "ClusterProgress") -> None:
            counts = "  ".join(f"{count:,} {status}" for status, count in sorted(progress.made.items()))
            done, total = progress.shards
            bar(*progress.inputs, f"{done:,} of {total:,} shards  {counts}")

        listener = ray_engine.Listener(lambda step, done: bar(done, done, step), show, terminal.print_note)
        run = ray_engine.ClusterRun(
            model=model, inputs=tuple(inputs), out=out, options=options, cluster=cluster
        )
        return ray_engine.label(run, listener)


@contextlib.contextmanager
def _native_output_suppressed() -> Iterator[None]:
    """Suppress the standard error of Ray's C++ code, which is in its log files too; Python's own stays."""
    try:
        is_own = sys.stderr.fileno() == _STDERR
    except (OSError, AttributeError):
        is_own = False
    if not is_own:
        yield
        return
    original, copy_fd, null_fd = sys.stderr, os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    original.flush()
    os.dup2(null_fd, _STDERR)
    sys.stderr = os.fdopen(
        copy_fd, "w", buffering=1, encoding=original.encoding, errors=original.errors, closefd=False
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = original
        os.dup2(copy_fd, _STDERR)
        os.close(copy_fd)
        os.close(null_fd)
