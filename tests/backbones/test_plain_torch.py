"""Backbones as other people's programs use them: in 16 bits, and traced."""

import warnings

import pytest
import torch
from archs import PICO, PICO_SWIN, PICO_VMAMBA, PICO_VSSD

from sparx_mm import VSSD, SparXMamba, SparXSwin, VMamba

NETWORKS = [
    (SparXMamba, PICO),
    (SparXMamba, dict(PICO, mixer=dict(type='BiSSM'))),
    (SparXSwin, PICO_SWIN),
    (VMamba, PICO_VMAMBA),
    (VSSD, PICO_VSSD),
    (VSSD, dict(PICO_VSSD, base='tiny-iccv')),
]


@pytest.mark.parametrize('network,arch', NETWORKS)
@pytest.mark.parametrize('dtype,tolerance', [(torch.float16, 0.01), (torch.bfloat16, 0.1)])
def test_half(network, arch, dtype, tolerance):
    """The roundings of parameters and activations, relative to maps of unit variance."""
    torch.manual_seed(0)
    model = network(arch).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = model(x)
        found = model.to(dtype)(x.to(dtype))
    for a, b in zip(found, wanted):
        assert a.dtype == dtype
        assert (a.float() - b).abs().mean() < tolerance * b.std()


@pytest.mark.parametrize('network,arch', [NETWORKS[0], NETWORKS[2], *NETWORKS[4:]])
@pytest.mark.parametrize('size', [(64, 64), (33, 64)])
def test_a_traced_network_at_other_sizes(network, arch, size):
    torch.manual_seed(0)
    model = network(arch).eval()
    with warnings.catch_warnings(), torch.no_grad():
        # of what is the same at every size
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        traced = torch.jit.trace(model, torch.rand(1, 3, *size))
        for other in ((96, 48), (50, 70), (33, 47), (128, 64)):
            x = torch.rand(2, 3, *other)
            for found, wanted in zip(traced(x), model(x)):
                torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
