"""One trial, from a configuration to a folder of results: run it, measure it again, load its models."""

from pipeline.trial.run import TrialResult, evaluate_trial, run_trial
from pipeline.trial.trained import load_vae

__all__ = ["TrialResult", "evaluate_trial", "load_vae", "run_trial"]
