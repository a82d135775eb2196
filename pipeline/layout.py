"""The folder of a trial: the names of its files and the status words in them, said once. Imports nothing.

config.yaml          the configuration, complete
result.json          means and standard errors over replicates; written last: its presence means finished
history.jsonl        a row per replicate and epoch
replicates.jsonl     a row per replicate: best epoch, test.*, variance.*, seconds
variance.jsonl, gradients.jsonl, evidence.jsonl      rows of what was measured
checkpoints/         replicate_N.pt (best weights); until the trial is finished training.pt and measured_N.json
pictures/            drawn by the first replicate
evaluations/HASH/    what `evaluate_trial` measured with other sizes
"""

from __future__ import annotations

CONFIG = "config.yaml"
RESULT = "result.json"

REPLICATES = "replicates"
HISTORY = "history"
MEASURED_TABLES = ("variance", "gradients", "evidence")
"""The tables that measuring a trained replicate fills."""
LONG_TABLES = (REPLICATES, HISTORY, *MEASURED_TABLES)
"""All tables of a trial; `rows_file` names the file of each."""

CHECKPOINTS = "checkpoints"
TRAINING = "training.pt"
"""State of the whole training, in CHECKPOINTS until the trial is finished."""
PICTURES = "pictures"
EVALUATIONS = "evaluations"

TRAINED = "trained"
"""Status of a replicate whose training is complete and whose measurement is not."""
FINISHED = "finished"
"""Status of a replicate that was trained and measured, and of a trial all of whose replicates were."""
STOPPED = "stopped"
"""Status of a replicate whose training was ended before its last epoch, by whoever ran it or by an interruption."""
DIVERGED = "diverged"
"""Status of the replicates of a trial in which a loss was not finite."""


def rows_file(table: str) -> str:
    """`history` -> `history.jsonl`: the file with the rows of one of LONG_TABLES."""
    return f"{table}.jsonl"


def best_weights_file(replicate: int) -> str:
    """The file in CHECKPOINTS with the best weights of a replicate."""
    return f"replicate_{replicate}.pt"


def measured_file(replicate: int) -> str:
    """The file in CHECKPOINTS with the measurement of a replicate, until the trial is finished."""
    return f"measured_{replicate}.json"


def samples_picture(epoch: int) -> str:
    """The file in PICTURES with the samples drawn after an epoch of training."""
    return f"samples_epoch_{epoch:04d}.png"
