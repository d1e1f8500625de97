"""Names of whole models, flat and nested, there and back."""

import parity
import pytest

from sparx_mm.state_dicts import SPARX, flatten_model, nest_model


def _names(flavour, variant):
    return {name: name for name, *_ in parity.manifest(flavour, variant)}


@pytest.mark.parametrize('variant', 'tsb')
def test_released_names_round_trip(variant):
    flat = _names('cls', variant)
    nested = nest_model(flat, SPARX)
    assert list(nested.values()) == list(flat)
    tops = {name.split('.')[0] for name in nested}
    assert tops == {'backbone', 'neck', 'head'}
    assert {name for name in nested if not name.startswith('backbone.')} == {
        'neck.norm.weight',
        'neck.norm.bias',
        'head.fc.weight',
        'head.fc.bias',
    }
    assert nested['neck.norm.weight'] == 'classifier.0.weight'
    assert nested['head.fc.bias'] == 'classifier.3.bias'
    assert flatten_model(nested, SPARX) == flat
    # nested already
    assert nest_model(nested, SPARX) == nested


def test_own_names_too():
    flat = SPARX.to_own(_names('cls', 't'))
    nested = nest_model(flat, SPARX)
    assert 'backbone.stem.0.weight' in nested
    assert flatten_model(nested, SPARX) == flat
    released = SPARX.to_released(flatten_model(nested, SPARX))
    assert released == _names('cls', 't')


@pytest.mark.parametrize('flavour', ['det', 'seg'])
def test_other_files_stay(flavour):
    flat = _names(flavour, 't')
    nested = {f'backbone.{name}': name for name in flat}
    for names in (flat, nested, {}):
        assert nest_model(names, SPARX) == names
        assert flatten_model(names, SPARX) == names
    # a head alone, or another classifier's
    other = {'layers.0.weight': 1, 'classifier.3.weight': 2}
    assert nest_model(other, SPARX) == other
    swin = {**nested, 'head.fc.weight': 1}
    assert flatten_model(swin, SPARX) == swin


def test_what_is_given_is_not_changed():
    flat = _names('cls', 't')
    before = dict(flat)
    nest_model(flat, SPARX)['neck.norm.weight'] = None
    assert flat == before
