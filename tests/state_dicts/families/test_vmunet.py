"""Names of VM-UNet files, to and from own ones."""

import pytest
import torch
import vmunet

from sparx_mm.state_dicts import VMUNET, find_families, flatten_model, nest_model


def released():
    """Tensors of an official file of six classes, which take no memory."""
    rows = vmunet.manifest()
    return {name: torch.empty(shape, device='meta') for name, shape, _ in rows}


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


def test_every_tensor_has_its_place_and_leads_back():
    state = released()
    assert find_families(state) == {'vmunet.': VMUNET}
    own = VMUNET.to_own(nest_model(state, VMUNET), 'backbone.')
    with torch.device('meta'):
        model = vmunet.segmentor()
    assert shapes(own) == shapes(model.state_dict())
    back = flatten_model(VMUNET.to_released(own, 'backbone.'), VMUNET)
    assert shapes(back) == shapes(state)


@pytest.mark.parametrize('arch, family', [('tiny', None), ('tiny-cvss', VMUNET)])
def test_the_family_of_own_names(arch, family):
    """VM-UNet's encoder has VMamba's names, CVMH-UNet's some of its own."""
    with torch.device('meta'):
        model = vmunet.segmentor(arch)
    assert find_families(model.backbone.state_dict()) == {'': family}
