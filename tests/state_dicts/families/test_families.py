"""The families and prefixes of the backbones in a file."""

import parity
import pytest
import vmamba_files
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from torch import nn

from sparx_mm import VSSD as VSSDBackbone
from sparx_mm import GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.state_dicts import (
    FAMILIES,
    GROUPMAMBA,
    PLAINMAMBA,
    SPARX,
    SWIN,
    VMAMBA,
    VSSD,
    find_families,
    find_prefixes,
)

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
    # of a mixer that has its own, a layer has the second one alone
    for norm in ('norm1', 'norm2'):
        names = ['head.weight', f'backbone.stages.0.layers.0.{norm}.weight']
        assert find_families(names) == {'backbone.': None}
        assert find_prefixes(names) == ['backbone.']


VSSD_FILES = sorted(
    path.stem.removeprefix('manifest_') for path in (parity.DATA / 'vssd').glob('manifest_*')
)


@pytest.mark.parametrize('file', VSSD_FILES)
def test_vssd_files(file):
    """Dense ones have VMamba's names of output norms."""
    flavour, variant = file.split('_', 1)
    released = [key for key, _, _ in parity.manifest(flavour, variant, 'vssd')]
    assert find_families(released) == {'': VSSD}
    own = VSSD.to_own({f'backbone.{name}': None for name in released}, 'backbone.')
    assert find_families(own) == {'backbone.': VSSD}


def test_a_family_is_not_taken_for_one_whose_marks_it_has():
    """Own names: SparX has position encodings, VMamba biases in such a stem."""
    iccv = list(VSSDBackbone(dict(PICO_VSSD, base='tiny-iccv')).state_dict())
    assert 'stem.0.bias' in iccv and 'stages.0.layers.0.dpe.weight' in iccv
    assert find_families(iccv) == {'': VSSD}
    assert find_families(VMamba(PICO_VMAMBA).state_dict()) == {'': VMAMBA}
    # without what marks it, it is a backbone of no particular family
    plain = VSSDBackbone(dict(PICO_VSSD, ffn_dpe=False)).state_dict()
    assert find_families(plain) == {'': None}


def test_each_mark_is_of_one_family():
    files = [
        (SPARX, [key for key, _, _ in parity.manifest('det', 's')]),
        (SPARX, list(SparXMamba(PICO).state_dict())),
        (SPARX, list(SparXSwin(PICO_SWIN).state_dict())),
        *((VMAMBA, list(vmamba_files.shapes(file))) for file in vmamba_files.FILES),
        *(
            (VSSD, [key for key, _, _ in parity.manifest(*file.split('_', 1), 'vssd')])
            for file in VSSD_FILES
        ),
        (GROUPMAMBA, [key for key, _, _ in parity.manifest('cls', 't', 'groupmamba')]),
        (GROUPMAMBA, list(GroupMamba(PICO_GROUPMAMBA).state_dict())),
        *(
            (PLAINMAMBA, [key for key, _, _ in parity.manifest(flavour, 'l1', 'plainmamba')])
            for flavour in ('cls', 'seg')
        ),
        (PLAINMAMBA, list(PlainMamba(PICO_PLAINMAMBA).state_dict())),
        (SWIN, [SWIN_TABLE]),
    ]
    for owner, names in files:
        # an earlier family's mark may be a part that a later one has too
        others = FAMILIES[FAMILIES.index(owner) :] if owner in FAMILIES else FAMILIES
        for family in (*others, SWIN):
            marked = {family.marked_prefix(name) for name in names} - {None}
            assert marked == ({''} if family is owner else set()), (owner, family)


def test_two_families_in_a_file():
    layer = 'layers.0.blocks.0.norm.weight'
    names = ['a.patch_embed.5.weight', 'b.patch_embed.1.weight', f'c.{SWIN_TABLE}']
    # marks count beside layers of the same backbone alone
    assert find_families(names) == {'c.': SWIN}
    names += [f'a.{layer}', f'b.{layer}']
    assert find_families(names) == {'a.': VMAMBA, 'b.': SPARX, 'c.': SWIN}
    assert find_prefixes(names) == ['a.', 'b.']
    assert find_families(nn.Linear(1, 1).state_dict()) == {}
    # timm's ConvNeXt, and heads
    names = ['stem.0.bias', 'stages.0.blocks.0.conv_dw.weight', 'decode_head.classifier.norm.bias']
    assert find_families(names) == {}
