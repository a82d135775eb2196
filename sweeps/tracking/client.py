"""Starts a W&B run as cheap as it gets: no console capture, no machine probes, files in the sweep's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.layout import WANDB
from sweeps.specification.options import TrackingConfig, WandbMode

if TYPE_CHECKING:
    import wandb

INIT_SECONDS, FINISH_SECONDS = 15.0, 10.0
SETTINGS: dict[str, Any] = {
    "console": "off",
    "silent": True,
    "disable_git": True,
    "save_code": False,
    "disable_job_creation": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    # What a kill can cost: the default keeps up to 15 seconds in memory.
    "x_transaction_log_flush_interval": 1,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
    "finish_timeout_raises": True,
}
"""Settings of the client; those that the installed version does not know are left out."""


class TrackingError(RuntimeError):
    """The W&B copy cannot be written; the message says why."""


def start_run(sweep_folder: Path, tracking: TrackingConfig, mode: WandbMode, **identity: Any) -> wandb.Run:
    """`wandb.init` for one of several runs that this process has open at the same time.

    Args:
        mode: the one that is possible, which may not be the one that `tracking` asks for.
        identity: what tells the run from others, as `wandb.init` calls it (id, name, group, config, ...).

    Raises:
        TrackingError: the folder cannot be written (the client alone would quietly write somewhere else).
    """
    import wandb

    folder = sweep_folder / WANDB
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(f"{folder} cannot be written: {error.strerror}") from None
    run = wandb.init(
        reinit="create_new",
        project=tracking.project,
        entity=tracking.entity,
        tags=list(tracking.tags),
        mode=mode,
        dir=str(sweep_folder),
        settings=wandb.Settings(**{key: SETTINGS[key] for key in SETTINGS if key in wandb.Settings.model_fields}),
        **identity,
    )
    if not Path(run.dir).resolve().is_relative_to(folder.resolve()):
        elsewhere = run.dir
        run.finish(exit_code=1)
        raise TrackingError(f"{folder} cannot be written: the W&B client fell back to {elsewhere}")
    return run
