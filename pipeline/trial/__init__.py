"""One trial, from a configuration to a folder of results: run it, measure it again, load its models."""

from pipeline.trial.remeasure import evaluate_trial
from pipeline.trial.result import TrialResult
from pipeline.trial.run import run_trial
from pipeline.trial.trained import load_vae

__all__ = ["TrialResult", "evaluate_trial", "load_vae", "run_trial"]
