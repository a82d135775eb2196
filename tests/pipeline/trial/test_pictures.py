"""Pictures: what is on each tile, at a size that can be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import ModelConfig
from pipeline.model.vae import build_vae
from pipeline.trial import pictures

PRIORS = ("standard_normal", "laplace", "mixture", "vamp", "flow")


def _vae(latent_dim=2, prior="standard_normal", shape=(8, 8)):
    config = ModelConfig.model_validate(
        {"latent_dim": latent_dim, "network": {"name": "mlp", "hidden": [16]}, "prior": {"name": prior}}
    )
    return build_vae(config, image_shape=shape, levels=16, generator=torch.Generator().manual_seed(0))


def _open(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("L"))


@pytest.mark.parametrize(("side", "factor"), [(8, 7), (28, 2), (105, 1)])
def test_small_images_are_enlarged_by_a_whole_factor(tmp_path, side, factor):
    image = torch.arange(side * side).view(1, side, side) / (side * side - 1)
    pictures.save_png(tmp_path / "a.png", image, 1, padding=0)
    expected = np.kron((image[0].double().numpy() * 255).round(), np.ones((factor, factor)))
    assert np.abs(_open(tmp_path / "a.png") - expected).max() <= 1


def test_tiles_lie_in_rows_with_a_grey_rule_between(tmp_path):
    tiles = torch.stack([torch.full((8, 8), value) for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)])
    pictures.save_png(tmp_path / "a.png", tiles, 3)
    picture = _open(tmp_path / "a.png")
    assert picture.shape == (2 * 58 + 2, 3 * 58 + 2)
    centres = picture[30::58, 30::58]
    assert centres.tolist() == [[0, 51, 102], [153, 204, 255]]
    assert set(picture[:, 0].tolist()) == {128}


def test_samples_are_draws_and_the_seed_decides(tmp_path):
    vae = _vae()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pictures.samples(vae, tmp_path / f"{name}.png", seed=seed)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()
    # Pixels are drawn levels, k / 15 of white: never the means between them.
    tile = _open(tmp_path / "a.png")[2:58, 2:58]
    assert set(np.unique(tile).tolist()) <= {round(255 * level / 15) for level in range(16)}


def test_originals_stand_above_their_reconstructions(tmp_path):
    vae = _vae()
    x = torch.randint(16, (13, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    pictures.reconstructions(vae, x, tmp_path / "a.png", seed=0, columns=4, rows=3)
    picture = _open(tmp_path / "a.png")
    assert picture.shape == (6 * 58 + 2, 4 * 58 + 2)
    tiles = picture[2:].reshape(6, 58, -1)[:, 3:56:7, 2:].reshape(6, 8, 4, 58)[..., 3:56:7].transpose(0, 2, 1, 3)
    originals = tiles[0::2].reshape(12, 8, 8)
    assert np.array_equal(originals, (x[:12].numpy() / np.float32(15) * 255).round())
    assert np.abs(tiles[1::2].astype(float) - 127.5).max() < 60  # an untrained decoder's means are near grey


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_every_prior_and_dimension_can_be_drawn(tmp_path, prior, latent_dim):
    vae = _vae(latent_dim, prior)
    image = torch.zeros(8, 8, dtype=torch.uint8)
    pictures.samples(vae, tmp_path / "samples.png", seed=0)
    pictures.traversals(vae, image, tmp_path / "traversals.png", seed=0)
    assert _open(tmp_path / "traversals.png").shape == (latent_dim * 58 + 2, 11 * 58 + 2)
    if latent_dim == 2:
        pictures.manifold(vae, tmp_path / "manifold.png", seed=0)
        assert _open(tmp_path / "manifold.png").shape == (20 * 58 + 2, 20 * 58 + 2)


@pytest.mark.parametrize("prior", PRIORS)
def test_percentiles_have_the_prior_probability_below_them(prior):
    from pipeline.probability.distributions import sample

    vae = _vae(3, prior)
    levels = torch.tensor([0.05, 0.3, 0.5, 0.9])
    z = pictures.prior_percentiles(vae, levels, seed=0)
    draws = sample(vae.prior(), 20_000, torch.Generator().manual_seed(2))
    below = (draws[:, None] <= z).double().mean(dim=0)
    # Both sides may be estimates: of priors without an inverse distribution function the percentiles come from draws.
    error = (levels * (1 - levels)).sqrt()[:, None] * (1 / 4096 + 1 / 20_000) ** 0.5
    assert bool(((below - levels[:, None]).abs() < 5 * error).all())


def test_percentiles_of_the_standard_normal_are_exact():
    z = pictures.prior_percentiles(_vae(2), torch.tensor([0.025, 0.5, 0.975]), seed=0)
    assert z[:, 0].tolist() == pytest.approx([-1.959964, 0.0, 1.959964], abs=1e-5)


def test_manifold_runs_over_the_first_axis_to_the_right_and_the_second_upwards(tmp_path, monkeypatch):
    vae = _vae(2)
    seen = []
    decode = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z: seen.append(z) or decode(z))
    pictures.manifold(vae, tmp_path / "a.png", seed=0)
    z = seen[0].view(20, 20, 2)
    normal = torch.distributions.Normal(0.0, 1.0)
    assert torch.allclose(normal.cdf(z[..., 0]), ((torch.arange(20) + 0.5) / 20).expand(20, 20), atol=1e-6)
    assert torch.allclose(
        normal.cdf(z[..., 1]), ((torch.arange(20) + 0.5) / 20).flip(0)[:, None].expand(20, 20), atol=1e-6
    )


def test_manifold_needs_two_dimensions(tmp_path):
    with pytest.raises(ValueError, match="manifold needs latent_dim 2, got 3"):
        pictures.manifold(_vae(3), tmp_path / "a.png", seed=0)


def test_the_dimension_that_changes_the_picture_most_comes_first(tmp_path):
    vae = _vae(3)
    with torch.no_grad():
        first = next(p for p in vae.decoder.parameters() if p.dim() == 2)
        first[:, 0], first[:, 2] = 0.0, 100 * first[:, 2]
    pictures.traversals(vae, torch.zeros(8, 8, dtype=torch.uint8), tmp_path / "a.png", seed=0)
    rows = _open(tmp_path / "a.png")[2:].reshape(3, 58, -1).astype(float)
    ends = [np.abs(row[:56, 2:58] - row[:56, -58:-2]).mean() for row in rows]
    assert ends[0] > ends[1] > ends[2] == 0


@pytest.mark.parametrize(("epochs", "expected"), [(0, [0]), (1, [0]), (3, [0, 1, 2]), (30, [0, 1, 2, 5, 10, 20])])
def test_pictures_are_drawn_more_often_early(epochs, expected):
    assert sorted(pictures.epochs_to_draw(epochs)) == expected


@pytest.mark.parametrize(("count", "columns"), [(6, 3), (7, 3), (2, 5), (1, 1)])
def test_the_grid_is_that_of_torchvision(count: int, columns: int) -> None:
    from torchvision.utils import make_grid

    images = torch.rand(count, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = make_grid(images[:, None], nrow=columns, padding=2, pad_value=0.5)[0]
    if count == 1:  # make_grid leaves a single image without a frame
        expected = torch.nn.functional.pad(expected, (2, 2, 2, 2), value=0.5)
    torch.testing.assert_close(pictures.grid(images, columns, 2), expected)
