"""Kill processes and nodes of a three-node cluster at random moments, for `scale.py`."""

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from scale_cluster import COMMAND, linked, run, running


class Havoc:
    """A cluster of three nodes with random kills.

    Attributes:
        ended: number of kills by kind of process.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.ended: Counter[str] = Counter()
        self._chance = random.Random(0)  # noqa: S311  # random moments, no secrets
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(3)]

    def close(self) -> None:
        """Stop the cluster."""
        self._cluster.shutdown()

    def label(self, folder: Path, out: Path) -> int:
        """Label during kills; restart the driver until it completes; return the number of drivers."""
        command = [*COMMAND, "label", str(folder), "-o", str(out), "--engine", "ray", "--shard-size", "500"]
        command += ["--address", self._cluster.address]
        drivers = 0
        while True:
            driver = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
            )
            drivers += 1
            while driver.poll() is None:
                time.sleep(self._chance.uniform(0.5, 3))
                if driver.poll() is None and any(out.glob("part-*")):
                    self._kill_something(driver)
                    print(f"{dict(self.ended)}; {len(list(out.glob('part-*')))} parts", flush=True)
            if driver.returncode == 0:
                return drivers
            if driver.returncode != -signal.SIGKILL:
                output = driver.stderr.read().decode() if driver.stderr else ""
                raise SystemExit(f"exit code {driver.returncode}: {output}")

    def _kill_something(self, driver: "subprocess.Popen[bytes]") -> None:
        what = self._chance.choices(("worker", "Ray worker", "node", "driver"), (4, 4, 2, 1))[0]
        if what == "driver":
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
        elif what == "node":
            chosen = self._nodes.pop(self._chance.randrange(len(self._nodes)))
            self._cluster.remove_node(chosen, allow_graceful=False)
            self._nodes.append(self._cluster.add_node(num_cpus=1))
        else:
            pids = running(
                "edge_fm_runtime.batch.workers.fork_server" if what == "worker" else "ray::MapWorker"
            )
            if not pids:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)
        self.ended[what] += 1


def kills(images: int, wanted: int, drivers: int) -> None:
    """Label with kills until there were enough, and compare the rows with an undisturbed local run."""
    with tempfile.TemporaryDirectory() as name, contextlib.closing(Havoc()) as havoc:
        work = Path(name)
        folder = linked(work, images, "png")
        run("label", folder, "-o", work / "local.csv")
        rounds, ended = 0, havoc.ended
        while ended.total() - ended["driver"] < wanted or ended["driver"] < drivers:
            rounds += 1
            started = havoc.label(folder, work / f"out-{rounds}")
            run("merge", work / f"out-{rounds}", "-o", work / "merged.csv")
            same = (work / "merged.csv").read_bytes() == (work / "local.csv").read_bytes()
            print(
                f"run {rounds}: {started} drivers, rows {'the same' if same else 'NOT THE SAME'}", flush=True
            )
            if not same:
                raise SystemExit(1)
        print(
            f"{rounds} runs of {images:,} inputs, {dict(ended)} ended: one row for each input, none differs"
        )
