"""Stochastic depth."""

import torch

from sparx_mm.layers import DropPath


def test_eval_and_zero_are_identities():
    x = torch.randn(4, 3, 2, 2)
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


def test_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(20000, 2, 1, 1)
    out = DropPath(0.25).train()(x)
    kept = out[:, 0, 0, 0]
    assert out.unique().tolist() == [0.0, torch.tensor(1 / 0.75).item()]
    assert out[:, 1, 0, 0].equal(kept)
    # three standard deviations of the mean of 20000 draws
    assert abs(kept.mean() - 1) < 3 * (0.25 / 0.75 / 20000) ** 0.5


def test_a_rate_of_one_drops_all():
    assert DropPath(1.0).train()(torch.ones(4, 3, 2, 2)).eq(0).all()
