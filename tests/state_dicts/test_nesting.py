"""The weights in what a checkpoint file holds."""

import pytest
from torch import nn

from sparx_mm.state_dicts import find_weights


@pytest.mark.parametrize(
    'nest',
    [
        lambda w: w,
        lambda w: dict(state_dict=w),
        lambda w: dict(model=w, epoch=3),
        # VM-UNet's latest.pth
        lambda w: dict(epoch=3, model_state_dict=w, optimizer_state_dict=dict(state={})),
        lambda w: dict(model=dict(state_dict=w)),
        lambda w: dict(state_dict=dict(other=0), state_dict_ema=w),
        lambda w: dict(model=dict(other=0), model_ema=w, optimizer={}),
        lambda w: dict(model=w, model_ema=None),
        lambda w: dict(model=w, model_ema={}),
        lambda w: dict(ema=dict(module=w, updates=7), model=dict(other=0)),
        # mmengine's EMAHook keeps the averaged weights in state_dict
        lambda w: dict(state_dict=w, ema_state_dict=dict(other=0)),
    ],
)
@pytest.mark.parametrize('wrap', ['', 'module.', 'module._orig_mod.', '_orig_mod.module.'])
def test_find_weights(nest, wrap):
    weights = {'backbone.a': 1, 'b': 2}
    checkpoint = nest({wrap + name: value for name, value in weights.items()})
    keys = list(checkpoint)
    assert dict(find_weights(checkpoint)) == weights
    assert list(checkpoint) == keys


def test_find_weights_keeps_the_versions_of_modules():
    norm = nn.Sequential(nn.BatchNorm2d(2))
    state = nn.DataParallel(norm).state_dict()
    found = find_weights(dict(state_dict=state))
    assert found._metadata['0'] == dict(version=2)
    assert found.keys() == norm.state_dict().keys()


def test_settings_of_an_average_do_not_hide_the_weights():
    weights = nn.Linear(2, 2).state_dict()
    file = dict(model=weights, ema=dict(decay=0.9, updates=5))
    assert dict(find_weights(file)).keys() == weights.keys()
    average = dict(ema=dict(decay=0.9, module=nn.Linear(2, 2).state_dict()), model=weights)
    assert find_weights(average)['weight'] is average['ema']['module']['weight']
