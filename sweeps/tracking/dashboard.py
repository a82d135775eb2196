"""Looking at a sweep in W&B: its terminal dashboard without an account, a workspace and a report as code with one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.config import ConfigError
from sweeps.layout import WANDB
from sweeps.specification.metrics import QUANTITIES
from sweeps.tracking import offline, online

if TYPE_CHECKING:
    from wandb_workspaces import workspaces
    from wandb_workspaces.reports import v2 as reports

PICTURES = ("pictures/samples_final", "pictures/reconstructions", "pictures/manifold")


@dataclass(frozen=True)
class View:
    """The sweep that a dashboard shows."""

    sweep_id: str
    """Group of its runs: `sweeps.tracking.trial_runs.sweep_id`."""
    project: str
    entity: str
    varied: tuple[str, ...] = ("model.latent_dim", "objective.num_samples")
    """Dotted keys of the configuration that the sweep varies."""
    description: str = ""


def leet_command(sweep_folder: Path) -> list[str]:
    """The command that opens W&B's terminal dashboard on a sweep's runs.

    Raises:
        ConfigError: there are no runs.
    """
    if not offline.run_files(sweep_folder):
        raise ConfigError(f"{sweep_folder}: holds no W&B run (was the sweep run with `tracking.wandb: disabled`?)")
    return [*offline.wandb_command(), "leet", str(sweep_folder / WANDB)]


def open_leet(sweep_folder: Path) -> NoReturn:
    """Replace this process by the terminal dashboard. It reads files and makes no connection."""
    command = leet_command(sweep_folder)
    os.execve(command[0], command, {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"})


def workspace(view: View) -> workspaces.Workspace:
    """The sweep as a W&B workspace: bound against D, variance against L, curves, search, pictures. Needs no server."""
    with _extra():
        from wandb_workspaces import workspaces as ws

        sections = [
            ws.Section(name=title, panels=panels, is_open=True) for title, panels in _sections(view.varied).items()
        ]
        return ws.Workspace(
            entity=view.entity,
            project=view.project,
            name=view.sweep_id,
            sections=sections,
            settings=ws.WorkspaceSettings(x_axis="epoch"),
            runset_settings=ws.RunsetSettings(filters=[ws.Metric("Group") == view.sweep_id]),
        )


def report(view: View) -> reports.Report:
    """The same panels as a W&B report. Its set of runs is looked up on the server."""
    with _extra():
        from wandb_workspaces import expr
        from wandb_workspaces.reports import v2 as wr

        runs = wr.Runset(
            entity=view.entity,
            project=view.project,
            filters=[expr.Metric("Group") == view.sweep_id],
            name=view.sweep_id,
        )
        blocks: list[Any] = [wr.P(view.description)] if view.description else []
        for title, panels in _sections(view.varied).items():
            blocks += [wr.H2(title), wr.PanelGrid(runsets=[runs], panels=panels)]
        return wr.Report(
            project=view.project,
            entity=view.entity,
            title=view.sweep_id,
            description=view.description,
            blocks=blocks,
        )


def publish(view: View) -> list[str]:
    """Save workspace and report on the server. Returns their addresses.

    Raises:
        ConfigError: the extra is not installed, there is no key, or no server answers.
    """
    board = workspace(view)
    if reason := online.problem():
        raise ConfigError(f"the dashboard was built and not saved: {reason}")
    with _extra():
        page = report(view)
        board.save()
        page.save()
    return [board.url, page.url]


def _sections(varied: tuple[str, ...]) -> dict[str, list[Any]]:
    """Title -> panels. The names are those of the configuration and of the tables."""
    from wandb_workspaces.reports import v2 as wr

    def scatter(key: str, metric: str, **options: Any) -> Any:
        return wr.ScatterPlot(title=f"{metric} by {key}", x=wr.Config(key), y=wr.SummaryMetric(metric), **options)

    curves = [
        wr.LinePlot(title=quantity, x="epoch", y=[f"validation.{quantity}", f"train.{quantity}"])
        for quantity in QUANTITIES
    ]
    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), display_name=key) for key in varied]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric("validation.elbo")))
    return {
        "Bound against latent dimension": [
            scatter("model.latent_dim", f"test.{name}", log_x=True) for name in QUANTITIES
        ],
        "Monte Carlo variance against L": [
            scatter("objective.num_samples", "variance.k1_ratio", log_x=True, log_y=True),
            wr.WeavePanelSummaryTable(table_name="variance"),
        ],
        "Training": curves,
        "Search": [wr.ParallelCoordinatesPlot(title="what was tried", columns=columns)],
        "Pictures": [wr.MediaBrowser(title="samples and reconstructions", media_keys=list(PICTURES))],
    }


@contextmanager
def _extra() -> Iterator[None]:
    """wandb-workspaces is optional; its import warns about its own use of pydantic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import wandb_workspaces  # noqa: F401
        except ImportError:
            raise ConfigError(
                "a W&B workspace needs the package wandb-workspaces (pip install wandb-workspaces); "
                "`elbosweep dashboard` without it opens the terminal dashboard"
            ) from None
        yield
