"""The released models' outputs and gradients, from the released layout."""

import json
import re

import deterministic
import parity
import pytest
import torch

from sparx_mm.state_dicts import SPARX

GOLDENS = sorted(
    re.fullmatch(r'golden_(det|seg)_(.)_(\d+)x(\d+)', path.stem).groups()
    for pattern in ('golden_det_*', 'golden_seg_*')
    for path in parity.DATA.glob(pattern)
)
# the reference was stored in float32; its own rounding is below 1e-6
TOLERANCES = {torch.float64: 5e-6, torch.float32: 1e-4}


def test_every_golden_is_there():
    assert len(GOLDENS) == 7
    assert {g[:2] for g in GOLDENS} == {(f, v) for f in ('det', 'seg') for v in 'tsb'}


@pytest.mark.parametrize('flavour, variant, height, width', GOLDENS)
def test_outputs(flavour, variant, height, width):
    model = parity.reference_model(flavour, variant)
    expected = parity.golden(f'{flavour}_{variant}_{height}x{width}')
    image = parity.image(variant, int(height), int(width))
    for dtype, tolerance in TOLERANCES.items():
        with torch.no_grad():
            outs = model.to(dtype)(image.to(dtype))
        assert len(outs) == len(expected) == 4
        for i, out in enumerate(outs):
            difference = (out - expected[f'out{i}']).abs().max()
            assert difference < tolerance, (dtype, i)


@pytest.fixture(scope='module')
def gradients():
    """Loss and gradients of the detection flavour, by released name."""
    model = parity.reference_model('det', 't', norm_eval=True).double()
    model.train()
    image = parity.image('t', 64, 64).double().requires_grad_()
    loss = sum(
        (out * torch.from_numpy(deterministic.make_cotangent(i, out.shape))).mean()
        for i, out in enumerate(model(image))
    )
    loss.backward()
    named = {name: p.grad for name, p in model.named_parameters()}
    return loss.detach(), dict(SPARX.to_released(named), input=image.grad)


def test_gradients(gradients):
    loss, grads = gradients
    expected = parity.golden('grad_t_64x64')
    assert torch.allclose(loss, expected.pop('loss').double(), rtol=1e-6)
    assert len(expected) == 19
    for name, grad in expected.items():
        difference = (grads[name] - grad).abs().max()
        assert difference < 1e-5 * grad.abs().max(), name


def test_gradient_norms(gradients):
    _, grads = gradients
    expected = json.loads((parity.DATA / 'grad_norms_t_64x64.json').read_text())
    assert set(expected) == set(grads) - {'input'}
    for name, norm in expected.items():
        # a bias before a batch-statistics-free norm can have a gradient of
        # exactly zero, so the floor is absolute
        assert abs(grads[name].norm().item() - norm) <= 1e-5 * norm + 1e-9, name
