"""The families and prefixes of the backbones in a file."""

import parity
import pytest
import vmamba_files
from archs import PICO, PICO_SWIN
from torch import nn

from sparx_mm import SparXMamba, SparXSwin
from sparx_mm.state_dicts import FAMILIES, SPARX, SWIN, VMAMBA, find_families, find_prefixes

SWIN_TABLE = 'layers.0.blocks.0.attn.relative_position_bias_table'


def test_find_prefixes():
    released = [key for key, _, _ in parity.manifest('det', 't')]
    own = list(SPARX.to_own(dict.fromkeys(released)))
    for names in (released, own):
        assert find_prefixes(names) == ['']
        nested = [f'{p}{n}' for p in ('backbone.', 'a.b.') for n in names]
        assert find_prefixes(nested) == ['backbone.', 'a.b.']
    # Swin's and ResNet's names are alike
    assert (
        find_prefixes(
            [
                'layers.0.blocks.0.attn.qkv.weight',
                'backbone.stem.0.weight',
                'stages.0.blocks.0.mlp.fc1.weight',
            ]
        )
        == []
    )


@pytest.mark.parametrize('flavour', ['cls', 'det', 'seg'])
@pytest.mark.parametrize('variant', 'tsb')
def test_sparx_files(flavour, variant):
    released = [key for key, _, _ in parity.manifest(flavour, variant)]
    assert find_families(released) == {'': SPARX}
    assert find_families(SPARX.to_own(dict.fromkeys(released))) == {'': SPARX}


@pytest.mark.parametrize('file', vmamba_files.FILES)
def test_vmamba_files(file):
    released = list(vmamba_files.shapes(file))
    assert find_families(released) == {'': VMAMBA}
    nested = [f'backbone.{name}' for name in vmamba_files.old_names(released)]
    assert find_families(nested) == {'backbone.': VMAMBA}


def test_own_names_are_found_without_a_mark():
    names = ['head.weight', 'backbone.stages.0.layers.0.norm1.weight']
    assert find_families(names) == {'backbone.': None}
    assert find_prefixes(names) == ['backbone.']


def test_each_mark_is_of_one_family():
    files = [
        (SPARX, [key for key, _, _ in parity.manifest('det', 's')]),
        (SPARX, list(SparXMamba(PICO).state_dict())),
        (SPARX, list(SparXSwin(PICO_SWIN).state_dict())),
        *((VMAMBA, list(vmamba_files.shapes(file))) for file in vmamba_files.FILES),
        (SWIN, [SWIN_TABLE]),
    ]
    for owner, names in files:
        for family in (*FAMILIES, SWIN):
            marked = {family.marked_prefix(name) for name in names} - {None}
            assert marked == ({''} if family is owner else set()), (owner, family)


def test_two_families_in_a_file():
    layer = 'layers.0.blocks.0.norm.weight'
    names = ['a.patch_embed.5.weight', 'b.patch_embed.1.weight', f'c.{SWIN_TABLE}']
    # marks count beside layers of the same backbone alone
    assert find_families(names) == {'c.': SWIN}
    names += [f'a.{layer}', f'b.{layer}']
    assert find_families(names) == {'a.': VMAMBA, 'b.': SPARX, 'c.': SWIN}
    assert find_prefixes(names) == ['b.', 'a.']
    assert find_families(nn.Linear(1, 1).state_dict()) == {}
    # timm's ConvNeXt, and heads
    names = ['stem.0.bias', 'stages.0.blocks.0.conv_dw.weight', 'decode_head.classifier.norm.bias']
    assert find_families(names) == {}
