"""Names and shapes of Vim files, to and from own ones."""

import parity
import pytest
import torch
from archs import PICO_VIM

from sparx_mm import Vim
from sparx_mm.state_dicts import (
    VIM,
    CoverageError,
    find_families,
    fit,
    flatten_model,
    nest_model,
)


@pytest.mark.parametrize('variant', ['t', 's'])
def test_every_tensor_has_its_place_and_leads_back(variant):
    rows = parity.manifest('cls', variant, 'vim')
    released = {name: torch.empty(shape, device='meta') for name, shape, _ in rows}
    assert find_families(released) == {'': VIM}
    own = VIM.to_own(nest_model(released, VIM), 'backbone.')
    assert find_families(own) == {'backbone.': VIM}
    with torch.device('meta'):
        model = Vim(parity.ARCHS[variant]).state_dict()
    found = {k[9:]: v.shape for k, v in own.items() if k.startswith('backbone.')}
    assert found == {name: value.shape for name, value in model.items()}
    back = flatten_model(VIM.to_released(own, 'backbone.'), VIM)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in released.items()}


def test_values_stay_bit_by_bit():
    own = Vim(PICO_VIM).state_dict()
    back = VIM.to_own(VIM.to_released(own))
    assert back.keys() == own.keys()
    assert all(back[name].equal(value) for name, value in own.items())
    # own files are loaded as they are
    again = VIM.to_own(own)
    assert list(again) == list(own) and all(again[k] is v for k, v in own.items())


@pytest.mark.tries('a Vim file of another size')
def test_a_file_of_another_size_or_without_a_part_is_refused():
    model = Vim(PICO_VIM)
    released = VIM.to_released(model.state_dict())
    assert not fit(model.state_dict(), released, VIM).missing
    del released['norm_f.weight']
    with pytest.raises(CoverageError, match=r'norms\.last\.weight'):
        fit(model.state_dict(), released, VIM)
    other = Vim(dict(PICO_VIM, stem=dict(img_size=64)))
    with pytest.raises(CoverageError, match='pos_embed'):
        fit(other.state_dict(), VIM.to_released(model.state_dict()), VIM)
