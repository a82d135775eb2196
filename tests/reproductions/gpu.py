"""What needs a GPU's time: importance-weighted autoencoders, pythae's table."""

from __future__ import annotations

from tests.reproductions.lines import Line, Sweeps, mean, replicates


def iwae(sweeps: Sweeps) -> list[Line]:
    """Burda et al. (2016), table 1: the order, and the gain from K = 1 to 50, on a shortened schedule."""
    found, nll = [], {}
    parts = (
        ("iwae_vae", "VAE", "objective.num_samples", {1: 86.76, 5: 86.47, 50: 86.35}),
        ("iwae", "IWAE", "objective.num_importance_samples", {1: 86.76, 5: 85.54, 50: 84.78}),
    )
    for name, label, key, published in parts:
        if name not in sweeps:
            continue
        done = replicates(sweeps[name]).assign(nll=lambda frame: -frame["test.iwae_5000"])
        for draws, value in published.items():
            group = done[done[key] == draws]
            if not group.empty:
                nll[label, draws] = float(group["nll"].mean())
                found.append(Line(f"{label}, k = {draws}: NLL, nats", f"{value}", mean(group, "nll", 2), None))
    if {("IWAE", 1), ("IWAE", 5), ("IWAE", 50)} <= set(nll):
        gain = nll["IWAE", 1] - nll["IWAE", 50]
        ordered = nll["IWAE", 1] > nll["IWAE", 5] > nll["IWAE", 50]
        found.append(Line("IWAE: gain from k = 1 to 50, nats", "1.98", f"{gain:.2f}", ordered and 1.0 <= gain <= 3.0))
    return found


def pythae(sweeps: Sweeps) -> list[Line]:
    """pythae's table of reproductions, VAE and IWAE on binarised MNIST, within a nat of it."""
    found = []
    for name, draws, published in (("pythae_vae", 200, 89.78), ("pythae_iwae", 5000, 86.82)):
        if name in sweeps and not (done := replicates(sweeps[name])).empty:
            done = done.assign(nll=-done[f"test.iwae_{draws}"])
            ours = mean(done, "nll", 2)
            found.append(
                Line(
                    f"{name}: NLL with {draws} draws, nats",
                    f"{published}",
                    ours,
                    abs(done["nll"].mean() - published) <= 1,
                )
            )
    return found
