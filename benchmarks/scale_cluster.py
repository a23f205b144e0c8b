"""Folders, Ray clusters, commands and processes for `scale.py`."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from label_folders import make_images

COMMAND = [sys.executable, "-m", "edge_fm"]
POOL = 600
"""Number of different images; the others are hard links to them."""


def linked(folder: Path, images: int, kind: str = "jpeg") -> Path:
    """Make a folder of many names for `POOL` images."""
    made = folder / f"{kind}-pool"
    if not made.exists():
        made.mkdir()
        make_images(made, kind, POOL)
    pictures = [path.read_bytes() for path in sorted(made.iterdir())]
    suffix = next(made.iterdir()).suffix
    target = folder / f"{kind}-{images}"
    for index in range(images):
        below = target / f"{index // 10_000:04}"
        path = below / f"{index:08}{suffix}"
        number = index % 10_000
        if number == 0:
            below.mkdir(parents=True)
        if number < POOL:  # file systems limit the hard links of a file
            path.write_bytes(pictures[number])
        else:
            os.link(below / f"{index - number + number % POOL:08}{suffix}", path)
    return target


@contextlib.contextmanager
def cluster(*nodes: int) -> Iterator[tuple[str, object]]:
    """Start nodes with these numbers of processors; yield the address and the cluster."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": nodes[0], "include_dashboard": False})
    try:
        for processors in nodes[1:]:
            made.add_node(num_cpus=processors)
        yield made.address, made
    finally:
        made.shutdown()


def run(*arguments: object) -> float:
    """Run a command of edge-fm and return its seconds."""
    started = time.perf_counter()
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def running(what: str) -> list[int]:
    """Return the ids of other processes whose command line contains a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if what in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]
