"""mmcv's own fusion of convolutions with the batch norms after them."""

import copy

import pytest
import torch
from archs import PICO, PICO_SWIN
from torch.nn import BatchNorm2d

from sparx_mm import SparXMamba, SparXSwin

pytestmark = pytest.mark.stack


@pytest.mark.parametrize('family,arch', [(SparXMamba, PICO), (SparXSwin, PICO_SWIN)])
def test_batch_norms_are_folded_into_convolutions(family, arch):
    from mmcv.cnn import fuse_conv_bn

    torch.manual_seed(0)
    backbone = family(arch).eval().double()
    norms = [module for module in backbone.modules() if isinstance(module, BatchNorm2d)]
    for norm in norms:
        for tensor in (norm.running_var, norm.weight.data):
            tensor.uniform_(0.5, 2)
        norm.running_mean.normal_()
        norm.bias.data.normal_()
    fused = fuse_conv_bn(copy.deepcopy(backbone))
    assert norms and not any(isinstance(module, BatchNorm2d) for module in fused.modules())
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    for wanted, given in zip(backbone(images), fused(images)):
        torch.testing.assert_close(given, wanted)
