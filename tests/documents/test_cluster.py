"""The cluster guide and its files: everything parses, and every command line in them is one that exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.config import read_yaml
from sweeps.cli.main import app
from sweeps.specification.reading import find, load
from sweeps.specification.spec import Resources
from sweeps.storage.storage import Storage

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "cluster.md"
FILES = sorted((DOCS / "cluster").iterdir())
OPERATORS = {"&&", "||", ";", "&", "|"}


def command_lines(path: Path) -> Iterator[list[str]]:
    """The words of every `elbosweep COMMAND ...` in a file; in the guide, those that are set as code."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix == ".yaml":
        pieces = [value for tree in yaml.safe_load_all(text) for value in strings(tree)]
    elif path.suffix == ".md":
        pieces = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]
        pieces += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    else:
        pieces = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for piece in pieces:
        for found in re.finditer(r"(?<![\w./-])elbosweep [a-z].*", piece):
            # A quotation mark that was opened before the command ends with it.
            line = found[0].rstrip("'\"") if found[0].count('"') % 2 or found[0].count("'") % 2 else found[0]
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            yield from split(list(words))


def strings(tree: Any) -> Iterator[str]:
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        if isinstance(value, str):
            yield value
        else:
            yield from strings(value)


def split(words: list[str]) -> Iterator[list[str]]:
    """A line of several commands: those that are ours."""
    command: list[str] = []
    for word in [*words, ";"]:
        if word in OPERATORS:
            if command[:1] == ["elbosweep"]:
                yield command
            command = []
        else:
            command.append(word)


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


LINES = [(path.name, line) for path in (GUIDE, *FILES) for line in command_lines(path)]


def test_the_commands_are_found() -> None:
    assert {name for name, _ in LINES} == {"cluster.md", "kuberay.yaml", "slurm.sh"}
    assert len(LINES) >= 9
    assert {line[1] for _, line in LINES} == {"run", "resume"}


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}: {' '.join(line)}" for name, line in LINES])
def test_every_command_line_parses_with_the_real_command_line(name: str, line: list[str]) -> None:
    """Nothing is raised: each flag, specification and storage is accepted."""
    context = commands()[line[1]].make_context(line[1], line[2:])
    if line[1] == "run":
        load(find(context.params["spec"]))
    if context.params["storage"] is not None:
        Storage.parse(context.params["storage"])


def test_a_flag_that_does_not_exist_is_found() -> None:
    with pytest.raises(Exception, match="No such option: --adress"):
        commands()["run"].make_context("run", ["course", "--adress", "auto"])


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", GUIDE.read_text())
    assert {f"cluster/{path.name}" for path in FILES} == set(links)


def test_values_in_the_text_are_those_of_the_code() -> None:
    (tree,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.S)
    assert Resources.model_validate(yaml.safe_load(tree)["resources"]).workers == 8


def test_ray_up_is_valid_for_ray_itself() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    tree = read_yaml(DOCS / "cluster" / "ray-up.yaml")
    types = tree["available_node_types"]
    assert tree["head_node_type"] in types
    assert types["head"]["resources"]["CPU"] == 0
    prepared = prepare_config(tree)
    validate_config(prepared)
    assert prepared["max_workers"] >= types["gpu"]["max_workers"]
    for command in (*tree["head_start_ray_commands"], *tree["worker_start_ray_commands"]):
        ray_start(shlex.split(command))


def test_slurm_is_valid_for_bash() -> None:
    path = DOCS / "cluster" / "slurm.sh"
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text()
    options = re.findall(r"^#SBATCH (\S+)$", text, re.M)
    assert len(options) == text.count("#SBATCH")
    assert all(re.fullmatch(r"--[a-z-]+=\S+", option) for option in options)
    assert text.index("#SBATCH") < text.index("set -euo pipefail"), "Slurm stops reading at the first command"
    starts = re.findall(
        r"ray start .*?(?=&$)",
        text.replace("\\\n", " ").replace("$PORT", "6379").replace("$SLURM_CPUS_PER_TASK", "16"),
        re.M,
    )
    assert len(starts) == 2
    for command in starts:
        ray_start(shlex.split(command))


def test_kuberay_is_a_job_with_a_cluster_of_its_own() -> None:
    job, policy = yaml.safe_load_all((DOCS / "cluster" / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    for group in (head, *workers):
        ray_start(["ray", "start", *(f"--{key}={value}" for key, value in group["rayStartParams"].items())])
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "elbosweep-storage"}}], "no key in the file itself"
        assert container["resources"]["limits"] == container["resources"]["requests"]
    for group in workers:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    shell, flag, script = shlex.split(job["spec"]["entrypoint"])
    assert (shell, flag) == ("sh", "-c")
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_the_image_installs_what_the_lock_says() -> None:
    text = (DOCS / "cluster" / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert {line.split()[0] for line in steps} == {"FROM", "RUN", "WORKDIR", "COPY"}
    assert "-r requirements.lock" in text
    assert (DOCS.parent / "requirements.lock").is_file()


def ray_start(words: list[str]) -> None:
    """`ray start` with these options is one that Ray's own command line takes."""
    from ray.scripts.scripts import cli

    if words[:2] == ["ray", "stop"]:
        return
    assert words[:2] == ["ray", "start"]
    cli.commands["start"].make_context("start", words[2:])
