"""A model runs on shapes alone and is afterwards what it was."""

import os

import pytest
import torch
from detection import ROOT
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.analysis import count_complexity, load_model
from sparx_mm.analysis.complexity.shape_run import run_on_shapes
from sparx_mm.errors import UserError
from sparx_mm.run import load_config

pytestmark = pytest.mark.stack
CONFIG = str(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py')


def attributes(model):
    """Return the attributes and numbers of hooks of every module."""
    return {
        name: (set(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    }


def test_boxes_and_an_untouched_model():
    options = {'model.test_cfg.rpn.max_per_img': 70}
    model, _ = load_model(CONFIG, options)
    before = attributes(model)
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    boxes = run_on_shapes(model, (64, 96))
    assert boxes == {'roi_head.bbox_roi_extractor': 70, 'roi_head.mask_roi_extractor': 70}
    count_complexity(model, (64, 96))
    assert attributes(model) == before
    after = model.state_dict()
    assert all(after[name].equal(value) for name, value in tensors.items())


def test_a_cascade():
    """Its second stage refines the boxes, which have no values here."""
    box_head = load_config(CONFIG).model.roi_head.bbox_head
    box_head.reg_class_agnostic = True
    options = {
        'model.type': 'CascadeRCNN',
        'model.roi_head.type': 'CascadeRoIHead',
        'model.roi_head.num_stages': 2,
        'model.roi_head.stage_loss_weights': [1, 0.5],
        'model.roi_head.bbox_head': [box_head, box_head],
        'model.roi_head.mask_head': None,
        'model.roi_head.mask_roi_extractor': None,
        'model.train_cfg': None,
    }
    model, _ = load_model(CONFIG, options)
    extractor = 'roi_head.bbox_roi_extractor'
    assert run_on_shapes(model, (64, 96)) == {f'{extractor}.0': 1000, f'{extractor}.1': 1000}


def test_modules_with_two_names():
    """They and what they share have their tensors back."""
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(2), nn.Linear(8, 8), shared, shared)
    model[2].weight = shared.weight
    tensors = list(model.parameters())
    assert run_on_shapes(model, (2, 4)) == {}
    after = list(model.parameters())
    assert len(after) == len(tensors) == 5
    assert all(a is b for a, b in zip(after, tensors))
    assert model[2].weight is model[4].weight


@pytest.mark.parametrize('kernels', ['reference', 'triton'])
def test_the_kernels_asked_for_do_not_matter(monkeypatch, kernels):
    model = SparXMamba('tiny')
    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)
    counted = count_complexity(model, (64, 64))
    monkeypatch.setenv('SPARX_MM_KERNELS', kernels)
    assert count_complexity(model, (64, 64)) == counted
    assert os.environ['SPARX_MM_KERNELS'] == kernels


class Decides(nn.Conv2d):
    def forward(self, x):
        x = super().forward(x)
        return x if x.mean() > 0 else -x


def test_a_model_that_decides_by_data():
    """It is counted on the CPU, as torch counts its convolution."""
    model = Decides(3, 8, 1)
    counted = count_complexity(model, (9, 7), 'plain')
    assert counted.total().macs == 9 * 7 * 3 * 8
    assert 'ran on the CPU on an image of noise' in counted.rules
    assert not model._forward_hooks
    assert torch.is_grad_enabled()


def test_a_model_that_does_not_run_at_all():
    model = nn.Sequential(Decides(3, 8, 1), nn.Conv2d(7, 8, 1))
    before = attributes(model)
    with pytest.raises(UserError) as caught:
        count_complexity(model, (9, 7))
    message = str(caught.value)
    assert message.startswith('Sequential does not run on the shape of an image alone, 9x7: ')
    assert '; nor does it run on the CPU: Given groups=1' in message
    assert attributes(model) == before


@pytest.mark.parametrize(
    'name,offsets', [('DeformConv2dPack', 18), ('ModulatedDeformConv2dPack', 27)]
)
def test_deformable_convolutions(name, offsets):
    """By hand: the convolution that makes the offsets, and the one that they move."""
    ops = pytest.importorskip('mmcv.ops')
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False),
        getattr(ops, name)(8, 12, 3, padding=1, groups=2, bias=False),
    )
    counted = count_complexity(model, (16, 20), 'plain')
    assert counted.total('0').macs == 320 * 3 * 8
    assert counted.total('1').macs == 320 * (8 * 9 * offsets + 12 * 4 * 9)


class Attends(nn.Linear):
    def forward(self, x):
        # (B, 3, H, W) -> (B, H*W, 3) -> (B, H*W, out)
        x = super().forward(x.flatten(2).transpose(1, 2))
        x = nn.functional.scaled_dot_product_attention(x, x, x)
        return x if x.mean() > 0 else -x


def test_attention_on_the_cpu():
    """Which torch's counter misses there: two products of 63 positions with themselves."""
    counted = count_complexity(Attends(3, 16, bias=False), (9, 7), 'plain')
    assert counted.total().macs == 63 * 3 * 16 + 2 * 63 * 63 * 16


def test_weights_that_are_not_finite():
    """As those of mmdet's detectors before init_weights."""
    model = Decides(3, 8, 1)
    model.weight.data[0] = torch.nan
    count_complexity(model, (4, 4))
    assert model.weight[0].isnan().all()
