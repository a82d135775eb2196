from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from child_environment import ROOT, child_environment
from wandb_server import KEY, serving

from pipeline.config import ConfigError
from sweeps.tracking import dashboard
from sweeps.tracking.dashboard import View, leet_command

VIEW = View("demo-0a1b2c", "vae", "lab", varied=("model.latent_dim", "training.learning_rate"), description="A sweep.")


@pytest.fixture
def extra() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("wandb_workspaces", reason="the optional package wandb-workspaces is not installed")


def test_terminal_dashboard_opens_the_folder_of_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no W&B run"):
        leet_command(tmp_path)
    record = tmp_path / "wandb" / "offline-run-20260101_000000-demo-0000" / "run-demo-0000.wandb"
    record.parent.mkdir(parents=True)
    record.write_bytes(b"")
    command = leet_command(tmp_path)
    assert command[-2:] == ["leet", str(tmp_path / "wandb")]
    assert os.access(command[0], os.X_OK)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(ConfigError, match="pip install wandb-workspaces"):
        dashboard.workspace(VIEW)


def specification() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = dashboard.workspace(VIEW)._to_model()
        content: dict[str, Any] = json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
    return content


@pytest.mark.usefixtures("extra")
def test_workspace_is_built_without_a_server_and_shows_the_sweep_only() -> None:
    view = specification()
    section = view["spec"]["section"]
    sections = {part["name"]: part["panels"] for part in section["panelBankConfig"]["sections"]}
    assert list(sections) == [
        "Bound against latent dimension",
        "Monte Carlo variance against L",
        "Training",
        "Search",
        "Pictures",
    ]
    bound = sections["Bound against latent dimension"][0]["config"]
    assert (bound["xAxis"], bound["yAxis"]) == ("config:model.value.latent_dim", "summary:test.elbo")
    variance = sections["Monte Carlo variance against L"][0]["config"]
    assert variance["xAxis"] == "config:objective.value.num_samples"
    assert (variance["xAxisLogScale"], variance["yAxisLogScale"]) == (True, True)
    assert sections["Training"][0]["config"]["metrics"] == ["validation.elbo", "train.elbo"]
    columns = [column["accessor"] for column in sections["Search"][0]["config"]["columns"]]
    assert columns == [
        "config:model.value.latent_dim",
        "config:training.value.learning_rate",
        "summary:validation.elbo",
    ]
    (filters,) = section["runSets"][0]["filters"]["filters"]
    assert (filters["key"]["name"], filters["value"]) == ("group", "demo-0a1b2c")


@pytest.mark.usefixtures("extra")
def test_nothing_is_saved_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="built and not saved: there is no W&B key"):
        dashboard.publish(VIEW)


@pytest.mark.usefixtures("extra")
def test_workspace_and_report_are_saved_online(tmp_path: Path) -> None:
    script = (
        "from sweeps.tracking.dashboard import publish\n"
        "from tests.sweeps.tracking.test_dashboard import VIEW\n"
        "print(*publish(VIEW), sep='\\n')"
    )
    with serving() as server:
        environ = {name: value for name, value in child_environment().items() if not name.startswith("WANDB_")}
        environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    saved = [request for request in server.requests if request.operation.lower().startswith("upsertview")]
    views = [json.loads(request.body)["variables"] for request in saved]
    assert [view["type"] for view in views] == ["project-view", "runs"]
    assert "demo-0a1b2c" in views[1]["spec"]
    assert len(done.stdout.split()) == 2
    assert KEY not in done.stdout + done.stderr
