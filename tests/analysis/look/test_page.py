"""The code of docs/look_inside.md, run by the tools of others that it is for."""

import re

import pytest
import torch
from archs import PICO
from detection import ROOT

from sparx_mm import SparXMamba
from sparx_mm.analysis import count_complexity
from sparx_mm.compat import torchvision_stub

pytestmark = pytest.mark.stack
PAGE = (ROOT / 'docs/look_inside.md').read_text()
CAM, COUNTER = re.findall(r'^```python\n(.*?)^```', PAGE, re.M | re.S)


@pytest.fixture
def names(monkeypatch):
    """Return what the first block defines, with a small network."""
    torchvision_stub.install()
    pytest.importorskip('pytorch_grad_cam')
    monkeypatch.setitem(SparXMamba.arch_zoo, 'tiny', PICO)
    names = {}
    exec(CAM, names)
    return names


def test_class_activation_maps(names):
    """By their definition: channels weighted by the means of their gradients."""
    model, images, kept = names['model'], names['images'], {}
    hook = model.backbone.stages[2].register_forward_hook(lambda *a: kept.update(x=a[2]))
    logits = model(images)
    hook.remove()
    (grad,) = torch.autograd.grad(logits[:, 3].sum(), kept['x'])
    heat = (grad.mean((2, 3), keepdim=True) * kept['x']).sum(1).relu()
    heat = torch.nn.functional.interpolate(heat[None], (64, 96), mode='bilinear')[0]
    heat = (heat - heat.amin((1, 2), True)) / heat.amax((1, 2), True).clamp(min=1e-7)
    given = torch.from_numpy(names['heat'])
    assert given.shape == (2, 64, 96) and given.amax() > 0.9
    # it scales the small map to 0 to 1 first
    torch.testing.assert_close(given, heat.detach(), atol=0.15, rtol=0)


def test_the_counter(names):
    pytest.importorskip('fvcore')
    exec(COUNTER, names)
    counts = names['counter'].by_operator()
    norms = sum(number for name, number in counts.items() if name.endswith('_norm'))
    model, shape = names['backbone'], tuple(names['images'].shape[2:])
    plain = count_complexity(model, shape, 'plain').total().macs
    # of an image, and without the scaled shortcuts
    assert (names['total'] - norms) / 2 == pytest.approx(plain, rel=2e-3)
