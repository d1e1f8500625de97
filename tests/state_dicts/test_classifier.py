"""Names of classifiers, flat and nested, there and back."""

import parity
import pytest

from sparx_mm.state_dicts import SPARX, flatten_classifier, nest_classifier


def _names(flavour, variant):
    return {name: name for name, *_ in parity.manifest(flavour, variant)}


@pytest.mark.parametrize('variant', 'tsb')
def test_released_names_round_trip(variant):
    flat = _names('cls', variant)
    nested = nest_classifier(flat, SPARX)
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
    assert flatten_classifier(nested, SPARX) == flat
    # nested already
    assert nest_classifier(nested, SPARX) == nested


def test_own_names_too():
    flat = SPARX.to_own(_names('cls', 't'))
    nested = nest_classifier(flat, SPARX)
    assert 'backbone.stem.0.weight' in nested
    assert flatten_classifier(nested, SPARX) == flat
    released = SPARX.to_released(flatten_classifier(nested, SPARX))
    assert released == _names('cls', 't')


@pytest.mark.parametrize('flavour', ['det', 'seg'])
def test_other_files_stay(flavour):
    flat = _names(flavour, 't')
    nested = {f'backbone.{name}': name for name in flat}
    for names in (flat, nested, {}):
        assert nest_classifier(names, SPARX) == names
        assert flatten_classifier(names, SPARX) == names
    # a head alone, or another classifier's
    other = {'layers.0.weight': 1, 'classifier.3.weight': 2}
    assert nest_classifier(other, SPARX) == other
    swin = {**nested, 'head.fc.weight': 1}
    assert flatten_classifier(swin, SPARX) == swin


def test_what_is_given_is_not_changed():
    flat = _names('cls', 't')
    before = dict(flat)
    nest_classifier(flat, SPARX)['neck.norm.weight'] = None
    assert flat == before
