"""The Ray cluster: joined or started, and asked whether its nodes would answer as this machine does."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from edge_fm_runtime.batch.workers.protocol import Job
from edge_fm_runtime.cluster import manifest, node
from edge_fm_runtime.errors import EdgeFmError, SourceError

Ray = Any
"""The module `ray`; it is imported where it is used, and its types with it."""

_ASK_S = 20.0
"""How long a cluster may take to say that it is there."""

_CHECK_S = 300.0
"""How long nodes may take to load their libraries and be checked."""


@dataclass(frozen=True)
class Cluster:
    """Where to label.

    Attributes:
        address: of a running Ray cluster; None for one that is started here and ends with the run.
        workers: how many processes, None for one on each processor of the cluster.
        shard_inputs: how many inputs a part has.
    """

    address: str | None = None
    workers: int | None = None
    shard_inputs: int = manifest.GROUP


class Connection(contextlib.AbstractContextManager["Connection"]):
    """A cluster, joined or started when it is needed."""

    def __init__(self, ray: Ray, cluster: Cluster) -> None:
        self._ray, self._cluster, self._is_open = ray, cluster, False

    def open(self) -> None:
        """Join or start it.

        Raises:
            SourceError: there is none at the address.
        """
        from edge_fm_runtime.posix import usable_cores

        address = self._cluster.address or os.environ.get("RAY_ADDRESS")
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is None:
            if not self._ray.is_initialized():
                workers = self._cluster.workers or usable_cores()
                self._ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
                self._is_open = True
            return
        try:
            _ask(address)
            self._ray.init(address=address, **quiet)
            self._is_open = True
        except (ConnectionError, RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            raise SourceError(
                f"there is no Ray cluster at {address} ({last_line(error)}): start one with 'ray start --head', "
                "or leave out --address to use this machine alone"
            ) from None

    def __exit__(self, *_: object) -> None:
        if self._is_open:
            self._ray.shutdown()


def _ask(address: str) -> None:
    """Find out within seconds whether a cluster answers at HOST:PORT; Ray itself tries for minutes.

    Raises:
        OSError: nothing listens there.
        subprocess.SubprocessError: it is no cluster.
    """
    host, separator, port = address.rpartition(":")
    if not separator or "://" in address or not port.isdecimal():
        return
    socket.create_connection((host, int(port)), timeout=_ASK_S).close()
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    subprocess.run(command, timeout=_ASK_S, check=True, capture_output=True)  # noqa: S603  # Ray's own


def library() -> Ray:
    """Return Ray.

    Raises:
        SourceError: it is not installed.
    """
    # Nothing is sent anywhere unless the user wants it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SourceError(f"--engine ray needs Ray ({error}): run pip install 'edge-fm[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what matters is raised
    return ray


def last_line(error: BaseException) -> str:
    """Return the last line of what an error says; Ray's first ones are about Ray."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def check_nodes(ray: Ray, work: node.Work, job: Job) -> None:
    """Have every node that can label say what would keep it from answering as this machine does.

    Raises:
        EdgeFmError: a node would not, or did not answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [found for found in ray.nodes() if found["Alive"] and found["Resources"].get("CPU")]
    if not nodes:
        raise EdgeFmError("the cluster has no processors to label with: add a node")
    job_reference = ray.put(job)
    check = ray.remote(node.problems)
    asked = {}
    for found in nodes:
        # No processor is asked for, so a busy node answers too.
        where = NodeAffinitySchedulingStrategy(found["NodeID"], soft=False)
        asked[found["NodeManagerAddress"], found["NodeID"]] = check.options(
            num_cpus=0, scheduling_strategy=where
        ).remote(work, job_reference)
    said = []
    for (address, name), answer in asked.items():
        try:
            found_there = ray.get(answer, timeout=_CHECK_S)
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            continue  # it has left since; one that comes later is asked by its first worker
        except ray.exceptions.GetTimeoutError:
            found_there = [f"did not answer within {_CHECK_S:g} s"]
        except (ray.exceptions.RayError, ImportError) as error:
            found_there = [f"cannot run edge-fm: install 'edge-fm[ray]' there ({last_line(error)})"]
        said += [f"node {address} ({name[:8]}) {problem}" for problem in found_there]
    if said:
        raise EdgeFmError("; ".join(said))
