"""What the published Swins share with SparX-Swin."""

import pytest
import torch
from plain_swin import mm_names, to_original

from sparx_mm import SparXSwin
from sparx_mm.state_dicts import SWIN, CoverageError, fit

SWINS = dict(
    tiny=((2, 2, 6, 2), (96, 192, 384, 768)),
    small=((2, 2, 18, 2), (96, 192, 384, 768)),
    base=((2, 2, 18, 2), (128, 256, 512, 1024)),
)


def published(variant):
    """Tensors of the right shapes that need no memory."""
    shapes = mm_names(*SWINS[variant], head_dim=32, window=7)
    weights = {k: torch.zeros(()).expand(v) for k, v in shapes.items()}
    return {k: v for k, v in to_original(weights).items() if not k.startswith('norm')}


def parameters(arch):
    return dict(SparXSwin(arch).named_parameters())


@pytest.mark.parametrize('variant', ['tiny', 'small'])
def test_the_first_stages_of_tiny(variant):
    own = parameters('tiny')
    report = fit(own, published(variant), SWIN, in_parts=True)
    parts = ('stem.', 'downsamples.0.', 'stages.0.', 'stages.1.')
    # the last layer of the second stage is a ganglion
    assert set(report.weights) == {
        k for k in own if k.startswith(parts) and not k.startswith('stages.1.layers.1.proj.')
    }
    # patch, two merged maps; four layers with 3 and 6 heads, without one qkv
    stem = 3 * 16 * 96 + 3 * 96
    merging = 384 * 192 + 2 * 384
    stages = sum(2 * (12 * c * c + 13 * c + 169 * c // 32) for c in (96, 192))
    qkv = 192 * 3 * 192 + 3 * 192
    count = stem + merging + stages - qkv
    assert sum(v.numel() for v in report.weights.values()) == count
    assert f'({count / 1e6:.2f} of ' in str(report)
    assert 'stem 4/4, downsamples 3/9, stages.0 26/26, stages.1 24/' in str(report)
    assert 'stages.2 0/' in str(report) and 'stages.3 0/' in str(report)


def test_base_shares_nothing():
    """Position tables of as many heads do not count."""
    with pytest.raises(CoverageError) as error:
        fit(parameters('base'), published('base'), SWIN, in_parts=True)
    assert str(error.value) == (
        'nothing of this plain Swin fits: it has layers and channels 2x128 '
        '2x256 18x512 2x1024 by stage, the model 2x120 2x240 27x396 3x616; '
        'give the file of another, or start without one'
    )
