"""The sections of a specification, one class each: names, types, bounds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from pipeline.config import Frozen
from pipeline.config.errors import text_in_yaml
from sweeps.specification.samplers import SAMPLERS

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]

Mode = Literal["max", "min"]
"""Which way a metric is optimised."""
WandbMode = Literal["offline", "online", "disabled"]
"""Runs on disk and uploaded later, on the server at once, or none."""


class Parameter(Frozen):
    """Where one key may lie: `{int: [2, 64], log: true}`, `{float: [1e-4, 1e-2]}` or `{choice: [a, b]}`."""

    int_range: tuple[int, int] | None = Field(None, alias="int")
    float_range: tuple[float, float] | None = Field(None, alias="float")
    choice: tuple[Any, ...] | None = Field(None, min_length=1)
    log: bool = False
    step: float | None = Field(None, gt=0)
    when: dict[str, Any] = Field(default_factory=dict)
    """Searched only where these keys have these values (one, or a list of them); elsewhere `base` holds."""

    @field_validator("int_range", "float_range", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, (list, tuple)) and len(value) == 2):
            raise ValueError(f"must be a list of two numbers, [low, high], got {value!r}{text_in_yaml(value)}")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name, value in self._kinds().items() if value is not None]
        if len(kinds) != 1:
            raise ValueError(f"needs exactly one of int, float, choice, got {', '.join(kinds) or 'none'}")
        if self.choice is not None and (self.log or self.step is not None):
            raise ValueError("log and step go with int or float, got choice")
        if self.log and self.step is not None:
            raise ValueError(f"step and log exclude each other, got step {self.step:g} and log true")
        if self.int_range and self.step is not None and self.step != int(self.step):
            raise ValueError(f"step of an int range must be a whole number, got {self.step:g}")
        low, high = self.int_range or self.float_range or (1, 1)
        if low > high:
            raise ValueError(f"the range is empty: its low end must not exceed its high end, got [{low}, {high}]")
        if self.log and low <= 0:
            raise ValueError(f"log needs a range above 0, got [{low}, {high}]")
        return self

    def _kinds(self) -> dict[str, Any]:
        return {"int": self.int_range, "float": self.float_range, "choice": self.choice}

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or the two ends of the range."""
        return self.choice if self.choice is not None else (self.int_range or self.float_range or ())

    def written(self) -> dict[str, Any]:
        """As in the YAML file."""
        tree = {name: list(value) for name, value in self._kinds().items() if value is not None}
        optional = {"log": self.log, "step": self.step, "when": self.when}
        return tree | {name: value for name, value in optional.items() if value}


class SearchConfig(Frozen):
    """What is searched for, and how."""

    sampler: SamplerName = "tpe"
    trials: int = Field(0, ge=0, le=100_000)
    """Suggested trials, after the factorial ones."""
    window: int = Field(8, ge=1, le=1024)
    """Trial i is suggested from exactly the results up to trial i - window: the most workers that change nothing."""
    metric: str = "validation.elbo"
    mode: Mode = "max"
    objectives: dict[str, Mode] = Field(default_factory=dict)
    """Several metrics at once, `{validation.elbo: max, seconds.training: min}`; the first takes the place of `metric`,
    which ranks trials wherever one number has to."""
    seed: int = Field(0, ge=0, lt=2**31)
    storage: str | None = None
    """Where Optuna's study lies: None: `study.journal` in the sweep's folder; else a database's URL. A password is
    written `${NAME}` and read from the environment."""

    @model_validator(mode="before")
    @classmethod
    def _first_objective(cls, tree: Any) -> Any:
        objectives = tree.get("objectives") if isinstance(tree, Mapping) else None
        if not isinstance(objectives, Mapping):
            return tree
        if not objectives and "metric" not in tree:
            raise ValueError("objectives must name a metric, or be left out, got {}")
        if not objectives:
            return tree
        metric, mode = next(iter(objectives.items()))
        if mode not in get_args(Mode):
            return tree  # said of objectives, and only once
        for key, first in (("metric", metric), ("mode", mode)):
            if tree.get(key, first) != first:
                raise ValueError(f"{key} must be left out or that of the first of objectives, got {tree[key]!r}")
        return {**tree, "metric": metric, "mode": mode}

    @property
    def modes(self) -> dict[str, Mode]:
        """What is optimised, and which way."""
        return self.objectives or {self.metric: self.mode}

    @property
    def sign(self) -> int:
        return 1 if self.mode == "max" else -1


class RefineConfig(Frozen):
    """After the search: more evidence where the curve over `by` is least certain."""

    by: str = "model.latent_dim"
    trials: int | None = Field(0, ge=0, le=100_000)
    """At most so many; 0 switches the phase off, None leaves it to the target and the budget."""
    target_standard_error: float | None = Field(None, gt=0)
    """Enough is known once the curve's standard error is below this everywhere (in units of `search.metric`)."""


class ConfirmConfig(Frozen):
    """Train the best configuration of each level of `by` again, with fresh seeds: free of the winner's curse."""

    by: str = "model.latent_dim"
    replicates: int = Field(0, ge=0, le=10_000)
    """0 switches the phase off."""


class StoppingConfig(Frozen):
    """Asynchronous successive halving of the suggested trials; factorial ones train to their end, for the curve."""

    min_epochs: int = Field(0, ge=0, le=1_000_000)
    """The first epoch at which a trial can be stopped; 0 switches early stopping off."""
    reduction_factor: float = Field(3.0, gt=1, le=100)
    """One in so many trials goes on at each rung; rungs are `min_epochs * reduction_factor ** k`."""


class Budget(Frozen):
    """What ends factorial part, search and refinement; running trials train to their end, confirmation is on top."""

    trials: int | None = Field(None, ge=1, le=1_000_000)
    hours: float | None = Field(None, gt=0, le=10 * 365 * 24)
    """Of wall time, over all starts of the sweep."""
    target: float | None = None
    """Stop once a trial's `search.metric` is at least as good as this."""


class Limits(Frozen):
    """What ends an attempt at a trial."""

    trial_minutes: float | None = Field(None, gt=0, le=365 * 24 * 60)
    """Wall time of one attempt at a trial; an attempt that takes longer hangs, and is ended."""


class Resources(Frozen):
    """What the trials run on."""

    workers: int = Field(1, ge=1, le=4096)
    """Trials that run at the same time."""
    cpus: int = Field(1, ge=1, le=1024)
    """Cores, and torch threads, of each."""
    gpus: float = Field(0, ge=0, le=64)
    """GPUs of each; 0.25 packs four trials on one."""

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"must be a whole number above 1, got {value:g}")
        return value


class TrackingConfig(Frozen):
    """Where the sweep's W&B runs go and what they carry."""

    wandb: WandbMode = "offline"
    project: str = Field("elbosweep", min_length=1)
    entity: str | None = None
    tags: tuple[str, ...] = ()
    artifacts: Literal["off", "best", "all"] = "off"
    """Checkpoints that travel with a run."""
