"""A Ray cluster in a process of its own: a head that runs no trials and nodes of one CPU each, all on this machine.

Prints the address, then obeys lines on its standard input: `add` a node, `lose` the newest one as a machine that dies.
Ends with its input.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import Program

HEALTH = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
"""A lost node is noticed in seconds; Ray's default is a quarter of a minute."""
LONGEST_FOLDER = 20
"""Characters of the folder for temporary files below which Ray's sockets stay below the system's limit (107)."""


class Nodes:
    """The cluster as a test sees it."""

    def __init__(self, program: Program, count: int) -> None:
        self.program, self.count = program, count
        self.address = self._answer("gave no address")

    def _answer(self, otherwise: str) -> str:
        assert self.program.process.stdout is not None
        line = self.program.process.stdout.readline().strip()
        if not line:
            self.program.process.wait(timeout=60)
            raise self.program.failed(f"the cluster {otherwise}")
        return line

    def _say(self, command: str) -> None:
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(f"{command}\n")
        self.program.process.stdin.flush()
        assert self._answer(f"did not {command} a node") == "done"

    def lose(self) -> None:
        """Take the newest node away as a machine that dies."""
        self._say("lose")
        self.count -= 1

    def fill(self, count: int) -> None:
        """As many nodes as there were at the start."""
        for _ in range(count - self.count):
            self._say("add")
            self.count += 1


@contextmanager
def running(nodes: int) -> Iterator[Nodes]:
    """A cluster with so many nodes, gone at the end."""
    command = [sys.executable, str(Path(__file__)), str(nodes)]
    environment = {**os.environ, **HEALTH}
    with Program(command, environment=environment, folder=Path("/"), answers=True, obeys=True) as program:
        try:
            yield Nodes(program, nodes)
            if program.process.poll() is not None:
                raise program.failed("the cluster was not left running")
        finally:
            program.process.communicate(timeout=60)  # the end of its input: it shuts its nodes down


@contextmanager
def ray_folder() -> Iterator[None]:
    """Ray's folder for this process and for all that it starts: empty, and gone at the end.

    `Cluster` notes its address in Ray's default folder, wherever its own is, and does not create that. So the default
    itself is moved. It stays clear of the machine's Ray too, whose `address="auto"` would find this cluster otherwise.
    """
    short = len(tempfile.gettempdir()) <= LONGEST_FOLDER
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir=None if short else "/tmp", ignore_cleanup_errors=True
    ) as folder:
        os.environ["RAY_TMPDIR"] = folder
        (Path(folder) / "ray").mkdir()
        yield


def main(nodes: int) -> None:
    # What Ray and its processes print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from ray.cluster_utils import Cluster

    with ray_folder():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
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
