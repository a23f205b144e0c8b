"""Join or start a Ray cluster, and check that its nodes answer like this machine."""

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
"""The module `ray`, which is imported on use."""

_CONNECT_S = 20.0
"""Time limit in seconds for a cluster to answer at its address."""

_CHECK_S = 300.0
"""Time limit in seconds for a node to load its libraries and be checked."""


@dataclass(frozen=True)
class Cluster:
    """Settings of a cluster.

    Attributes:
        address: address of a running Ray cluster; None starts one on this machine for the time of the run.
        workers: number of worker processes; None for one per processor of the cluster.
        shard_inputs: number of inputs per part.
    """

    address: str | None = None
    workers: int | None = None
    shard_inputs: int = manifest.GROUP


class Connection(contextlib.AbstractContextManager["Connection"]):
    """A connection to a cluster, which is joined or started by `open`."""

    def __init__(self, ray: Ray, cluster: Cluster) -> None:
        self._ray, self._cluster, self._is_open = ray, cluster, False

    def open(self) -> None:
        """Join the cluster, or start one.

        Raises:
            SourceError: there is no cluster at the address.
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
            _check_address(address)
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


def _check_address(address: str) -> None:
    """Check within seconds that a cluster answers at HOST:PORT; Ray itself would try for minutes.

    Raises:
        OSError: nothing listens at the address.
        subprocess.SubprocessError: the server is not a Ray cluster.
    """
    host, separator, port = address.rpartition(":")
    if not separator or "://" in address or not port.isdecimal():
        return
    socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    subprocess.run(command, timeout=_CONNECT_S, check=True, capture_output=True)  # noqa: S603  # Ray's own command


def import_ray() -> Ray:
    """Import Ray and return the module.

    Raises:
        SourceError: Ray is not installed.
    """
    # No usage reports unless the user has turned them on.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SourceError(f"--engine ray needs Ray ({error}): run pip install 'edge-fm[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised anyway
    return ray


def last_line(error: BaseException) -> str:
    """Return the last line of an error message; the first lines of Ray's are about Ray itself."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def check_nodes(ray: Ray, settings: node.NodeSettings, job: Job) -> None:
    """Check on every node with processors that it would answer like this machine.

    Raises:
        EdgeFmError: a node would give other answers, or did not respond.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [found for found in ray.nodes() if found["Alive"] and found["Resources"].get("CPU")]
    if not nodes:
        raise EdgeFmError("the cluster has no processors to label with: add a node")
    job_reference = ray.put(job)
    check = ray.remote(node.problems)
    checks = {}
    for found in nodes:
        # The check reserves no processor, so that a busy node runs it too.
        affinity = NodeAffinitySchedulingStrategy(found["NodeID"], soft=False)
        checks[found["NodeManagerAddress"], found["NodeID"]] = check.options(
            num_cpus=0, scheduling_strategy=affinity
        ).remote(settings, job_reference)
    problems = []
    for (address, name), result in checks.items():
        try:
            node_problems = ray.get(result, timeout=_CHECK_S)
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            continue  # the node has left; its successor is checked by its first worker
        except ray.exceptions.GetTimeoutError:
            node_problems = [f"did not answer within {_CHECK_S:g} s: check that it is not overloaded"]
        except (ray.exceptions.RayError, ImportError) as error:
            node_problems = [f"cannot run edge-fm: install 'edge-fm[ray]' there ({last_line(error)})"]
        problems += [f"node {address} ({name[:8]}) {problem}" for problem in node_problems]
    if problems:
        raise EdgeFmError("; ".join(problems))
