"""Names and shapes of PlainMamba files, to and from own ones."""

import parity
import pytest
import torch
from archs import PICO_PLAINMAMBA

from sparx_mm import PlainMamba, SparXMamba
from sparx_mm.state_dicts import (
    PLAINMAMBA,
    CoverageError,
    find_families,
    fit,
    nest_model,
    resize_tables,
)

FILES = [(flavour, variant) for flavour in ('cls', 'seg') for variant in ('l1', 'l2', 'l3')]


def zeros(flavour, variant, prefix='backbone.'):
    """Tensors of a released file that take no memory."""
    rows = parity.manifest(flavour, variant, 'plainmamba')
    return {
        name if name.startswith('head.') else prefix + name: torch.zeros(()).expand(shape)
        for name, shape, _ in rows
    }


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize('flavour, variant', FILES)
def test_every_tensor_has_its_place_and_leads_back(flavour, variant):
    released = zeros(flavour, variant)
    assert find_families(released) == {'backbone.': PLAINMAMBA}
    own = PLAINMAMBA.to_own(released, 'backbone.')
    assert find_families(own) == {'backbone.': PLAINMAMBA}
    assert shapes(PLAINMAMBA.to_released(own, 'backbone.')) == shapes(released)
    with torch.device('meta'):
        model = PlainMamba(variant, out_indices=-1 if flavour == 'cls' else None).state_dict()
    found = {k.removeprefix('backbone.'): v for k, v in own.items() if k.startswith('backbone.')}
    assert shapes(found) == shapes(model)


def test_classifiers_have_mmpretrains_names():
    """With the prefix that the files have, and without one."""
    released = zeros('cls', 'l1')
    assert nest_model(released, PLAINMAMBA) == released
    assert nest_model(zeros('cls', 'l1', ''), PLAINMAMBA).keys() == released.keys()


def test_a_segmentor_starts_from_a_classifier():
    with torch.device('meta'):
        own = PlainMamba('l2').state_dict()
    own = {name: torch.empty(value.shape) for name, value in own.items()}
    report = fit(own, zeros('cls', 'l2'), PLAINMAMBA, 'backbone.', PlainMamba.arch_zoo)
    assert len(report.missing) == 6 and all(n.startswith('norms.') for n in report.missing)
    assert report.weights.keys() == own.keys() - report.missing and not report.reshaped
    # layers behind the last map are not built
    model = PlainMamba(PICO_PLAINMAMBA, out_indices=(1,)).state_dict()
    report = fit(model, PlainMamba(PICO_PLAINMAMBA).state_dict(), PLAINMAMBA)
    assert report.weights.keys() == model.keys()


@pytest.mark.tries('a PlainMamba file')
def test_other_files_are_named():
    with torch.device('meta'):
        model = PlainMamba('l1').state_dict()
    for name, other in (('l2', zeros('seg', 'l2')), ('l3', zeros('cls', 'l3'))):
        with pytest.raises(CoverageError) as error:
            fit(model, other, PLAINMAMBA, 'backbone.', PlainMamba.arch_zoo)
        assert str(error.value) == f"this is a '{name}' file, the model is 'l1'"
    with pytest.raises(CoverageError, match='has layers and channels 24x192, the model 4x40'):
        fit(PlainMamba(PICO_PLAINMAMBA).state_dict(), zeros('cls', 'l1'), PLAINMAMBA, 'backbone.')
    with pytest.raises(CoverageError, match='this is a PlainMamba file, the model is SparX'):
        fit(SparXMamba('tiny').state_dict(), zeros('cls', 'l1'), SparXMamba.key_map, 'backbone.')


@pytest.mark.tries('a PlainMamba file')
def test_a_file_without_a_tensor_is_refused():
    model = PlainMamba(PICO_PLAINMAMBA).state_dict()
    released = PLAINMAMBA.to_released(model)
    del released['layers.2.mamba.direction_Bs']
    with pytest.raises(CoverageError, match=r'lacks layers\.2\.mixer\.direction_Bs'):
        fit(model, released, PLAINMAMBA)
    # of more layers, if those behind the model's last one would be left out
    deeper = PlainMamba(dict(PICO_PLAINMAMBA, num_layers=5)).state_dict()
    with pytest.raises(CoverageError, match='has layers and channels 5x40, the model 4x40'):
        fit(model, deeper, PLAINMAMBA)
    # a convolution after the first layer that the model does not have
    other = PlainMamba(dict(PICO_PLAINMAMBA, convolved_layers=())).state_dict()
    with pytest.raises(CoverageError, match=r'no place for layers\.0\.conv'):
        fit(other, model, PLAINMAMBA)


def test_values_stay_bit_by_bit():
    own = PlainMamba(PICO_PLAINMAMBA).state_dict()
    released = PLAINMAMBA.to_released(own)
    assert released['pos_embed'].shape == (1, 9, 40)
    assert released['pos_embed'][0, 5].equal(own['stem.pos_embed'][0, :, 1, 2])
    assert released['layers.1.mamba.dt_proj.bias'].shape == (80,)
    assert released['layers.1.mamba.x_proj.weight'].shape == (11, 80)
    back = PLAINMAMBA.to_own(released)
    assert back.keys() == own.keys()
    assert all(back[name].equal(value) for name, value in own.items())
    # own files are loaded as they are
    again = PLAINMAMBA.to_own(own)
    assert list(again) == list(own) and all(again[k] is v for k, v in own.items())


def test_grids_that_cannot_be_resized_stay():
    """Of other channels, or none."""
    own = {'stem.pos_embed': torch.rand(1, 4, 3, 3)}
    for value in (torch.rand(1, 5, 2, 2), torch.rand(1, 9, 4), None):
        assert resize_tables({'stem.pos_embed': value}, own)['stem.pos_embed'] is value
    resized = resize_tables({'stem.pos_embed': torch.rand(1, 4, 2, 5)}, own)
    assert resized['stem.pos_embed'].shape == (1, 4, 3, 3)
