"""The replicates of a trial trained as one: their weights stacked, one batched kernel in the place of many small ones.

On a GPU small models leave most of the device idle, and several seeds of one architecture fill it; on a CPU, whose
kernels are large enough for one, nothing is gained. Every replicate keeps its own data order, noise and Adam moments,
so a fused one equals its solo run up to the order in which sums are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from pipeline.model.vae import VAE
from pipeline.training.objectives import Elbo, Iwae

ADAM_MOMENTS = ("exp_avg", "exp_avg_sq")


class _Step(nn.Module):
    """An objective as a module, so that `functional_call` can give it other weights."""

    def __init__(self, vae: VAE, objective: Elbo | Iwae) -> None:
        super().__init__()
        self.vae, self.objective = vae, objective

    def forward(self, x: Tensor, noise: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
        terms = self.objective(self.vae, x, noise, kl_weight=kl_weight)
        return terms.loss, torch.stack((terms.loss.detach(), terms.elbo, terms.reconstruction, terms.kl))


class Stack:
    """The weights and Adam moments of replicates as one optimiser sees them, for the steps of an epoch.

    Args:
        vaes: of one architecture.
        optimizers: their Adams, in the same order; `unstack` gives weights and moments back.
        clip: largest norm of each replicate's gradient (None: not clipped).
        half: autocast to bfloat16.
    """

    def __init__(
        self,
        vaes: Sequence[VAE],
        optimizers: Sequence[torch.optim.Adam],
        objective: Elbo | Iwae,
        *,
        clip: float | None,
        half: bool,
    ) -> None:
        self.vaes, self.optimizers, self.clip, self.half = vaes, optimizers, clip, half
        self.step = _Step(vaes[0], objective)
        self.weights, self.buffers = stack_module_state(list(vaes))
        learning_rate = optimizers[0].param_groups[0]["lr"]
        self.adam = torch.optim.Adam(self.weights.values(), lr=learning_rate, fused=True)
        for name, weight in self.weights.items():
            states = [opt.state[vae.get_parameter(name)] for vae, opt in zip(vaes, optimizers)]
            if states[0]:
                moments = {key: torch.stack([state[key] for state in states]) for key in ADAM_MOMENTS}
                self.adam.state[weight] = {"step": states[0]["step"].clone(), **moments}

    def update(
        self,
        x: Shaped[Tensor, "replicate batch height width"],
        noise: Float[Tensor, "replicate sample batch dim"],
        kl_weight: float,
    ) -> Float[Tensor, "replicate record"]:
        """One step of Adam for every replicate. Returns loss, bound, reconstruction and KL, left on the device."""

        def loss(
            weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, noise: Tensor
        ) -> tuple[Tensor, Tensor]:
            state = {f"vae.{name}": value for name, value in {**weights, **buffers}.items()}
            return functional_call(self.step, state, (x, noise, kl_weight))  # type: ignore[no-any-return]

        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.half):
            gradients, record = vmap(grad(loss, has_aux=True))(self.weights, self.buffers, x, noise)
        if self.clip is not None:
            gradients = clipped(gradients, self.clip)
        for name, weight in self.weights.items():
            weight.grad = gradients[name]
        self.adam.step()
        return record  # type: ignore[no-any-return]

    @torch.no_grad()
    def unstack(self) -> None:
        """Give every replicate its weights and moments back."""
        for name, weight in self.weights.items():
            state = self.adam.state[weight]
            for index, (vae, optimizer) in enumerate(zip(self.vaes, self.optimizers)):
                own = vae.get_parameter(name)
                own.copy_(weight[index])
                moments = {key: state[key][index].clone() for key in ADAM_MOMENTS}
                optimizer.state[own] = {"step": state["step"].clone(), **moments}


def clipped(gradients: dict[str, Tensor], limit: float) -> dict[str, Tensor]:
    """Gradients with a leading replicate axis, each replicate's norm over all weights at most `limit`."""
    squares = [gradient.flatten(1).square().sum(1) for gradient in gradients.values()]
    factor = (limit / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return {name: value * factor.reshape(-1, *[1] * (value.ndim - 1)) for name, value in gradients.items()}
