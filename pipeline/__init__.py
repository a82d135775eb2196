"""The science and the training of one trial. An import path of before the rooms says where its module went."""

import sys
from collections.abc import Sequence

MOVED = {
    "pipeline.annealing": "from pipeline.evaluation import annealing",
    "pipeline.block_estimates": "from pipeline.variance import blocks",
    "pipeline.block_moments": "from pipeline.variance import moments",
    "pipeline.calibration_evidence": "from pipeline.calibration import evidence",
    "pipeline.calibration_gradients": "from pipeline.calibration import gradients",
    "pipeline.calibration_kl": "from pipeline.calibration import kl_estimators (or schemes, latent_space)",
    "pipeline.calibration_rows": "from pipeline.calibration import rows",
    "pipeline.checkpoints": "from pipeline.trial import checkpoints",
    "pipeline.costs": "from pipeline.variance import costs",
    "pipeline.data.ImageData": "from pipeline.data.images import ImageData",
    "pipeline.data.histogram_floor": "from pipeline.data.images import histogram_floor",
    "pipeline.data.load": "from pipeline.data.images import load",
    "pipeline.data.quantise": "from pipeline.data.images import quantise",
    "pipeline.distributions": "from pipeline.probability import distributions (or pipeline.model: posteriors, priors)",
    "pipeline.downloads": "from pipeline.data import downloads",
    "pipeline.draws": "from pipeline.model import draws",
    "pipeline.estimators": "from pipeline.probability import kl (or bounds, diagnostics)",
    "pipeline.evidence": "from pipeline.evaluation import evidence",
    "pipeline.fused": "from pipeline.training import fused",
    "pipeline.gradients": "from pipeline.variance import gradients",
    "pipeline.ladder": "from pipeline.evaluation import ladder",
    "pipeline.latent_space": "from pipeline.evaluation import latent_space",
    "pipeline.likelihoods": "from pipeline.model import likelihoods",
    "pipeline.linear_gaussian": "from pipeline.model import linear_gaussian",
    "pipeline.local_posterior": "from pipeline.evaluation import gaps",
    "pipeline.measurement": "from pipeline.trial import measure",
    "pipeline.messages": "from pipeline.config import errors",
    "pipeline.networks": "from pipeline.model import networks",
    "pipeline.objectives": "from pipeline.training import objectives",
    "pipeline.options": "from pipeline.config import options",
    "pipeline.pictures": "from pipeline.trial import pictures",
    "pipeline.precision": "from pipeline.training import precision",
    "pipeline.predicted_variance": "from pipeline.probability import predicted_variance",
    "pipeline.prior_study": "from pipeline.evaluation import prior_study",
    "pipeline.sampling": "from pipeline.probability import sampling",
    "pipeline.trained": "from pipeline.trial import load_vae",
    "pipeline.training.Training": "from pipeline.training.loop import Training",
    "pipeline.training.TrainingDiverged": "from pipeline.training.replicate import TrainingDiverged",
    "pipeline.trial_folder": "from pipeline.trial import folder",
    "pipeline.vae": "from pipeline.model import vae",
}
"""Each old name (a module, or what was imported from a module that is a folder now), with its new import."""


class MovedModules:
    """Asked for a module that nothing else finds: an old name is an error that gives the new one."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name in MOVED:
            # Without `name=`: `from pipeline import trained` would swallow an error that names the module it asks for.
            raise ModuleNotFoundError(f"{name} has moved: {MOVED[name]}")


if MovedModules not in sys.meta_path:
    sys.meta_path.append(MovedModules)
