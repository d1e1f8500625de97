"""Names and shapes of VSSD files, to and from own ones."""

import parity
import pytest
import torch
from archs import PICO_VSSD

from sparx_mm import VSSD as VSSDBackbone
from sparx_mm.state_dicts import VSSD, flatten_model, nest_model

FILES = [
    *[(flavour, variant) for flavour in ('cls', 'dense') for variant in 'mtsb'],
    ('dense', 'iccv_t'),
    ('dense', 'iccv_s'),
]
HEAD = {'norm.weight', 'norm.bias', 'head.weight', 'head.bias'}


def shapes(flavour, variant):
    """Shapes by released name, without the tables that are computed anew."""
    rows = parity.manifest(flavour, variant, 'vssd')
    return VSSD.drop_derived({name: tuple(shape) for name, shape, _ in rows})


@pytest.mark.parametrize('flavour, variant', FILES)
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_every_tensor_has_its_place_and_leads_back(flavour, variant, prefix):
    released = shapes(flavour, variant)
    state = {
        prefix + name: torch.empty(shape, device='meta')
        for name, shape in released.items()
        if name not in HEAD
    }
    own = VSSD.to_own(state, prefix)
    with torch.device('meta'):
        model = VSSDBackbone(parity.arch_of(flavour, variant, 'vssd')).state_dict()
    found = {name.removeprefix(prefix): value.shape for name, value in own.items()}
    assert found == {name: value.shape for name, value in model.items()}
    back = VSSD.to_released(own, prefix)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in state.items()}
    assert list(back) == list(state)


def test_a_classifier_lacks_the_output_norms_alone():
    for variant in 'mtsb':
        dense, flat = (set(shapes(flavour, variant)) for flavour in ('dense', 'cls'))
        assert flat - dense == HEAD
        assert {name.split('.')[0] for name in dense - flat} == {f'outnorm{i}' for i in range(4)}
        nested = nest_model({name: name for name in flat}, VSSD)
        assert {name for name in nested if not name.startswith('backbone.')} == {
            'neck.norm.weight',
            'neck.norm.bias',
            'head.fc.weight',
            'head.fc.bias',
        }
        assert flatten_model(nested, VSSD) == {name: name for name in flat}


def test_values_stay_bit_by_bit():
    own = VSSDBackbone(PICO_VSSD).state_dict()
    released = VSSD.to_released(own)
    # of the last stage, attention
    assert released['layers.3.blocks.0.attn.to_qkv.weight'].shape == (120, 40)
    assert released['layers.2.blocks.0.attn.in_proj.weight'].dim() == 2
    back = VSSD.to_own(released)
    assert back.keys() == own.keys()
    assert all(back[name].equal(value) for name, value in own.items())


def test_a_rotary_table_is_dropped():
    """It is for one size of map."""
    name = 'layers.0.blocks.0.attn.ropes.rotations'
    assert VSSD.drop_derived({name: 1, 'norm.bias': 2}) == {'norm.bias': 2}
    state = {f'backbone.{name}': 1, name: 2}
    assert VSSD.drop_derived(state, 'backbone.') == {name: 2}
    arch = dict(PICO_VSSD, base='tiny-iccv')
    model = torch.nn.ModuleDict(dict(backbone=VSSDBackbone(arch)))
    given = model.state_dict()
    given[f'backbone.{name}'] = torch.rand(56, 56, 6, 2)
    assert not model.load_state_dict(given, strict=True).unexpected_keys
