"""Layer-wise learning rates, beside the other rules of the constructor."""

import re
from importlib import import_module

import pytest
import torch
from archs import PICO
from detection import ROOT
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from torch import nn

from sparx_mm import (
    VSSD,
    GroupMamba,
    PlainMambaAdapter,
    SparXMamba,
    SparXSwin,
    Vim,
    VMamba,
    VMUNetEncoder,
)
from sparx_mm.engine import LayerDecayOptimWrapperConstructor
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
LR, DECAY = 1e-3, 0.05
FAMILIES = (
    SparXMamba,
    SparXSwin,
    VMamba,
    VSSD,
    GroupMamba,
    PlainMambaAdapter,
    VMUNetEncoder,
    Vim,
)
TYPE = 'LayerDecayOptimWrapperConstructor'


class Detector(nn.Module):
    """A backbone that knows its depths, and a head."""

    def __init__(self, backbone=None):
        super().__init__()
        self.backbone = backbone or SparXMamba(PICO)
        self.head = nn.Sequential(nn.Conv2d(40, 8, 1), nn.BatchNorm2d(8))


def settings(model, constructor=TYPE, optimizer=None, **paramwise_cfg):
    """Rate and decay of each parameter, as the optimizer has them."""
    optimizer = optimizer or dict(type='AdamW', lr=LR, weight_decay=DECAY)
    wrapper = build_optim_wrapper(
        model, dict(constructor=constructor, optimizer=optimizer, paramwise_cfg=paramwise_cfg)
    )
    found = {
        parameter: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    return {
        name: found[parameter] for name, parameter in model.named_parameters() if parameter in found
    }


def test_rates_fall_towards_the_stem():
    found = settings(Detector(), layer_decay_rate=0.5)
    # 8 layers, the stem below them and the output norms above
    exponents = {
        'backbone.stem.0.weight': 9,
        'backbone.stages.0.layers.0.norm1.weight': 8,
        'backbone.downsamples.0.0.weight': 7,
        'backbone.stages.1.layers.1.mixer.A_log': 6,
        'backbone.stages.2.layers.2.proj.q.1.weight': 3,
        'backbone.stages.3.layers.1.skip1.bias': 1,
        'backbone.norms.3.bias': 0,
        'head.0.weight': 0,
        'head.1.bias': 0,
    }
    for name, exponent in exponents.items():
        assert found[name] == (LR / 2**exponent, DECAY), name
    assert len(found) == len(list(Detector().parameters()))
    assert {rate for rate, _ in found.values()} == {LR / 2**e for e in range(10)}


def test_the_other_rules_hold():
    rules = dict(
        norm_decay_mult=0.0,
        bias_lr_mult=3.0,
        bias_decay_mult=0.5,
        custom_keys={'A_log': dict(lr_mult=10.0, decay_mult=0.0), 'head': dict(lr_mult=4.0)},
    )
    model = Detector()
    plain = settings(model, 'DefaultOptimWrapperConstructor', **rules)
    found = settings(model, layer_decay_rate=0.5, **rules)
    assert len({(rate, decay) for rate, decay in plain.values()}) > 4
    for name, (rate, decay) in plain.items():
        depth, num_depths = model.backbone.get_layer_depth(name, 'backbone.')
        scale = 0.5 ** (num_depths - 1 - depth)
        assert found[name] == (rate * scale, decay), name


@pytest.mark.parametrize(
    'rules',
    [
        dict(),
        dict(norm_decay_mult=0.0),
        dict(layer_decay_rate=1.0),
        dict(layer_decay_rate=1, custom_keys=dict(A_log=dict(lr_mult=2.0))),
    ],
)
def test_a_rate_of_one_is_mmengines_constructor(rules):
    # nor does the model need to know depths
    model = Detector(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    plain = settings(model, 'DefaultOptimWrapperConstructor', **rules)
    assert settings(model, **rules) == plain


def test_any_module_that_has_the_method_is_asked():

    class Branch(BaseModule):
        def __init__(self):
            super().__init__()
            self.low, self.high = nn.Linear(2, 2), nn.Linear(2, 2)

        def get_layer_depth(self, param_name, prefix=''):
            assert param_name.startswith(prefix)
            return int(param_name[len(prefix) :].startswith('high')), 2

    class Whole(Branch):
        """Decides for the branch inside it, too."""

        def __init__(self):
            super().__init__()
            self.inner = Branch()

    model = nn.ModuleDict(dict(teacher=Branch(), student=nn.ModuleList([Branch()]), whole=Whole()))
    found = settings(model, layer_decay_rate=0.1)
    for name, (rate, _) in found.items():
        above = 'high' in name and 'inner' not in name
        assert rate == (LR if above else LR * 0.1), name
    # the backbone as the model
    found = settings(SparXMamba(PICO), layer_decay_rate=0.5)
    assert found['stem.0.weight'] == (LR / 2**9, DECAY)


def test_frozen_parameters_are_left_out():
    model = Detector(SparXMamba(PICO, frozen_stages=1))
    found = settings(model, layer_decay_rate=0.5)
    assert set(found) == {
        name for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    assert len(found) < len(list(model.parameters()))


def test_a_step_moves_each_layer_by_its_rate():
    model = Detector()
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor=TYPE,
            optimizer=dict(type='SGD', lr=1.0),
            paramwise_cfg=dict(layer_decay_rate=0.5),
        ),
    )
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    wrapper.step()
    for name, exponent in (
        ('backbone.stem.0.weight', 9),
        ('head.0.weight', 0),
        ('backbone.stages.3.layers.0.mixer.D', 2),
    ):
        moved = before[name] - model.get_parameter(name)
        torch.testing.assert_close(moved, torch.full_like(moved, 0.5**exponent))


def test_a_model_that_knows_no_depths():
    model = Detector(nn.Conv2d(3, 40, 1))
    with pytest.raises(UserError, match='no module of Detector has get_lay'):
        settings(model, layer_decay_rate=0.9)


@pytest.mark.parametrize('rate', [0, -0.5, 1.1, float('nan'), '0.9', None])
def test_wrong_rates(rate):
    with pytest.raises(UserError, match=r'in \(0, 1\], got '):
        settings(Detector(), layer_decay_rate=rate)


def test_a_misspelt_option():
    with pytest.raises(UserError, match="no option 'layer_decay'; it has"):
        settings(Detector(), layer_decay=0.9)


def test_an_optimizer_without_a_rate():
    with pytest.raises(UserError, match='set optimizer.lr'):
        settings(Detector(), optimizer=dict(type='AdamW'), layer_decay_rate=0.9)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_a_scope_finds_it_without_a_prefix(scope):
    registry = import_module(f'{scope}.registry').OPTIM_WRAPPER_CONSTRUCTORS
    assert registry.get(TYPE) is LayerDecayOptimWrapperConstructor


def test_a_model_that_asks_its_backbone():
    """As mmpretrain's classifiers do, by the name alone."""

    class Classifier(Detector):
        def get_layer_depth(self, param_name):
            return self.backbone.get_layer_depth(param_name, 'backbone.')

    wanted = settings(Detector(), layer_decay_rate=0.5)
    assert settings(Classifier(), layer_decay_rate=0.5) == wanted


@pytest.mark.parametrize('mult, wanted', [(0.0, 0.0), (0.5, 0.5 * DECAY), (None, DECAY)])
def test_rms_norms_decay_as_norms(mult, wanted):
    model = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4), nn.LayerNorm(4))
    options = {} if mult is None else dict(norm_decay_mult=mult)
    found = settings(model, **options)
    assert found['0.weight'][1] == DECAY
    assert found['1.weight'][1] == found['2.weight'][1] == wanted
    # a rule for the name is that for a norm's too
    custom = {'1.weight': dict(decay_mult=2.0)}
    assert settings(model, custom_keys=custom, **options)['1.weight'][1] == 2 * DECAY


def test_what_the_schedules_do_not_decay():
    cfg = Config.fromfile(ROOT / 'configs/_base_/schedules/adamw.py').optim_wrapper
    page = (ROOT / 'docs/other_tasks.md').read_text()
    (block,) = re.findall(r'```python\n(optim_wrapper = dict\(\n    _delete_.*?)```', page, re.S)
    rules = {}
    exec(block, rules)
    keys = rules['optim_wrapper']['paramwise_cfg']['custom_keys']
    assert keys == cfg.paramwise_cfg.custom_keys.to_dict()
    spared = re.compile(r'(A_log|\.D|\.gamma|pos_embed|class_token|level_embed)$')
    for family in FAMILIES:
        with torch.device('meta'):
            model = family()
        norms = {
            f'{path}.{key}'
            for path, module in model.named_modules()
            if 'Norm' in type(module).__name__
            for key, _ in module.named_parameters(recurse=False)
        }
        found = settings(model, optimizer=cfg.optimizer, **cfg.paramwise_cfg)
        none = {key for key, (_, decay) in found.items() if decay == 0}
        assert norms <= none, family
        assert {key for key in found if spared.search(key)} <= none, family
        # all other matrices do
        assert len(none) < len(found) and any('proj' in key for key in found.keys() - none)
