"""Names and shapes of GroupMamba files, to and from own ones."""

import parity
import pytest
import torch
from archs import PICO_GROUPMAMBA

from sparx_mm import GroupMamba
from sparx_mm.state_dicts import (
    GROUPMAMBA,
    CoverageError,
    find_families,
    fit,
    flatten_model,
    nest_model,
)

FILES = [(flavour, variant) for flavour in ('cls', 'dense') for variant in 'tsb']


def empty(flavour, variant):
    """Tensors of a released file that take no memory."""
    rows = parity.manifest(flavour, variant, 'groupmamba')
    return {name: torch.empty(shape, device='meta') for name, shape, _ in rows}


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize('flavour, variant', FILES)
def test_every_tensor_has_its_place_and_leads_back(flavour, variant):
    released = empty(flavour, variant)
    assert find_families(released) == {'': GROUPMAMBA}
    if flavour == 'cls':
        own = nest_model(released, GROUPMAMBA)
        own = GROUPMAMBA.to_own(own, 'backbone.')
        back = GROUPMAMBA.to_released(own, 'backbone.')
        back = flatten_model(back, GROUPMAMBA)
    else:
        own = GROUPMAMBA.to_own({f'backbone.{k}': v for k, v in released.items()}, 'backbone.')
        back = GROUPMAMBA.to_released(own, 'backbone.')
        back = {name.removeprefix('backbone.'): value for name, value in back.items()}
    assert find_families(own) == {'backbone.': GROUPMAMBA}
    with torch.device('meta'):
        model = GroupMamba(parity.arch_of(flavour, variant, 'groupmamba')).state_dict()
    found = {k[9:]: v for k, v in own.items() if k.startswith('backbone.')}
    assert shapes(found) == shapes(model)
    assert shapes(back) == shapes(released)


def test_a_dense_backbone_starts_from_a_classifier():
    """Nothing is missing: the last norm is the classifier's after its class block."""
    with torch.device('meta'):
        own = GroupMamba('tiny').state_dict()
    report = fit({k: torch.empty(v.shape) for k, v in own.items()}, zeros('cls', 't'), GROUPMAMBA)
    assert report.weights.keys() == own.keys()
    assert not report.missing and not report.reshaped and len(report.unused) == 65
    tops = {name.split('.')[0] for name in report.unused}
    assert tops == {'post_network', 'head', 'dist_head'}


def zeros(flavour, variant):
    rows = parity.manifest(flavour, variant, 'groupmamba')
    return {name: torch.zeros(()).expand(shape) for name, shape, _ in rows}


def test_values_stay_bit_by_bit():
    own = GroupMamba(PICO_GROUPMAMBA).state_dict()
    released = GROUPMAMBA.to_released(own)
    block = 'block3.1.attn.mamba_g'
    # of 32 channels, 8 in a group
    assert released[f'{block}2.in_proj.weight'].shape == (16, 8)
    assert released[f'{block}4.x_proj_weight'].shape == (1, 3, 8)
    assert released[f'{block}1.dt_projs_bias'].shape == (1, 8)
    layer = own['stages.2.layers.1.mixer.in_proj.weight']
    assert released[f'{block}2.in_proj.weight'].equal(layer[16:32, :, 0, 0])
    back = GROUPMAMBA.to_own(released)
    assert back.keys() == own.keys()
    assert all(back[name].equal(value) for name, value in own.items())
    # own files are loaded as they are
    again = GROUPMAMBA.to_own(own)
    assert list(again) == list(own) and all(again[k] is v for k, v in own.items())


@pytest.mark.tries('a GroupMamba file')
def test_a_file_without_a_group_is_refused():
    model = GroupMamba(PICO_GROUPMAMBA)
    released = GROUPMAMBA.to_released(model.state_dict())
    del released['block1.0.attn.mamba_g3.out_proj.weight']
    with pytest.raises(CoverageError, match=r'lacks stages\.0\.layers\.0\.mixer\.out_proj'):
        fit(model.state_dict(), released, GROUPMAMBA)


@pytest.mark.tries('a GroupMamba file')
@pytest.mark.parametrize('rows', [{3: (4, 5)}, {2: (3, 4), 3: (5, 4)}])
def test_groups_of_other_shapes_are_not_joined(rows):
    """Those of the second are as many rows as they should be."""
    model = GroupMamba(PICO_GROUPMAMBA)
    released = GROUPMAMBA.to_released(model.state_dict())
    for group, shape in rows.items():
        name = f'block1.0.attn.mamba_g{group}.out_proj.weight'
        assert released[name].shape == (4, 4)
        released[name] = torch.zeros(shape)
    with pytest.raises(CoverageError, match=r'lacks stages\.0\.layers\.0\.mixer\.out_proj'):
        fit(model.state_dict(), released, GROUPMAMBA)


def test_trunk_norms_are_required():
    own = GroupMamba(PICO_GROUPMAMBA).state_dict()
    for i, wanted in enumerate((True, True, True, False)):
        assert GROUPMAMBA.is_required(f'norms.{i}.weight') == wanted
    # so a backbone without them refuses a file that has them
    model = GroupMamba(dict(PICO_GROUPMAMBA, out_norm=None))
    with pytest.raises(CoverageError, match='no place for norms'):
        fit(model.state_dict(), own, GROUPMAMBA)


def test_other_archs_are_named():
    with torch.device('meta'):
        model = GroupMamba('small').state_dict()
    with pytest.raises(CoverageError) as error:
        fit(model, zeros('cls', 't'), GROUPMAMBA, archs=GroupMamba.arch_zoo)
    assert str(error.value) == "this is a 'tiny' file, the model is 'small'"
