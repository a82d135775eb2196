"""A Ray cluster in a process of its own: a head that runs no trials and nodes of one CPU each, all on this machine.

Prints the address, then obeys lines on its standard input: `add` a node, `lose` the newest one as a machine that dies.
Ends with its input.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEALTH = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
"""A lost node is noticed in seconds; Ray's default is a quarter of a minute."""


class Nodes:
    """The cluster as a test sees it."""

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self.process, self.count = process, count
        self.address = self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the cluster did not start"
        return line

    def _say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        assert self._answer() == "done"

    def lose(self) -> None:
        self._say("lose")
        self.count -= 1

    def fill(self, count: int) -> None:
        """As many nodes as there were at the start."""
        for _ in range(count - self.count):
            self._say("add")
            self.count += 1


@contextmanager
def running(nodes: int) -> Iterator[Nodes]:
    command = [sys.executable, str(Path(__file__)), str(nodes)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **HEALTH},
        cwd="/",
    )
    try:
        yield Nodes(process, nodes)
        assert process.poll() is None, "the cluster was left running"
    finally:
        process.communicate(timeout=60)


def main(nodes: int) -> None:
    # What Ray and its processes print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        added = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        cluster.wait_for_nodes()
        print(cluster.address, file=answers)
        for line in sys.stdin:
            if line.strip() == "add":
                added.append(cluster.add_node(num_cpus=1))
                cluster.wait_for_nodes()
            else:
                cluster.remove_node(added.pop(), allow_graceful=False)
            print("done", file=answers)
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
