"""Backbones say what their maps are, by timm's names."""

import pytest
import torch
from archs import (
    PICO,
    PICO_GROUPMAMBA,
    PICO_PLAINMAMBA,
    PICO_SWIN,
    PICO_VMAMBA,
    PICO_VMUNET,
    PICO_VSSD,
)

from sparx_mm import (
    VSSD,
    GroupMamba,
    PlainMamba,
    PlainMambaAdapter,
    SparXMamba,
    SparXSwin,
    VMamba,
    VMUNetEncoder,
)
from sparx_mm.state_dicts.image_channels import adapt_image_channels


@pytest.mark.parametrize(
    'family,arch',
    [
        (SparXMamba, PICO),
        (SparXSwin, PICO_SWIN),
        (VMamba, PICO_VMAMBA),
        (VSSD, PICO_VSSD),
        (GroupMamba, PICO_GROUPMAMBA),
        (PlainMamba, PICO_PLAINMAMBA),
        (PlainMambaAdapter, PICO_PLAINMAMBA),
        (VMUNetEncoder, PICO_VMUNET),
    ],
)
@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 2), -1])
def test_it_is_what_the_maps_are(family, arch, out_indices):
    model = family(arch, out_indices=out_indices).eval()
    maps = model(torch.rand(1, 3, 64, 64))
    info = model.feature_info
    assert info.channels() == [m.shape[1] for m in maps]
    assert info.reduction() == [64 // m.shape[2] for m in maps]
    assert model.num_features == maps[-1].shape[1]
    made = []
    for name in info.module_name():
        model.get_submodule(name).register_forward_hook(lambda _, __, out: made.append(out))
    model(torch.rand(1, 3, 64, 64))
    assert [m.shape for m in made] == [m.shape for m in maps]


@pytest.mark.parametrize(
    'family, arch, reductions',
    [
        (SparXMamba, dict(PICO, stem=dict(type='PlainStem')), [16, 32, 64, 128]),
        (VMUNetEncoder, dict(PICO_VMUNET, stem=dict(type='PlainStem')), [16, 32, 64, 128, 128]),
        (PlainMamba, dict(PICO_PLAINMAMBA, stem=dict(type='ConvStem')), [4] * 4),
    ],
)
def test_another_stem_shrinks_images_otherwise(family, arch, reductions):
    model = family(arch).eval()
    sides = [m.shape[2] for m in model(torch.rand(1, 3, 128, 128))]
    assert model.feature_info.reduction() == [128 // side for side in sides] == reductions


def test_timms_own_answers_alike():
    timm = pytest.importorskip('timm')
    theirs = timm.create_model('resnet18', features_only=True, out_indices=(1, 2, 3)).feature_info
    ours = SparXMamba(PICO, out_indices=(1, 2, 3)).feature_info
    for method in ('channels', 'reduction', 'module_name'):
        for idx in (None, 1, (0, 2)):
            found, wanted = (getattr(info, method)(idx) for info in (ours, theirs))
            assert type(found) is type(wanted)
            assert isinstance(wanted, (int, str)) or len(found) == len(wanted)
    assert {'num_chs', 'reduction', 'module'} <= set(ours[0]) and set(ours[0]) <= set(theirs[0])
    assert ours.out_indices == tuple(theirs.out_indices)


@pytest.mark.parametrize('channels', [1, 2, 4, 6])
def test_stems_are_adapted_by_timms_rule(channels):
    timm = pytest.importorskip('timm')
    weight = torch.randn(5, 3, 4, 4)
    wanted = timm.models.adapt_input_conv(channels, weight)
    torch.testing.assert_close(adapt_image_channels(weight, channels), wanted)


def test_set_grad_checkpointing():
    model = SparXMamba(PICO).train()
    images = torch.rand(2, 3, 32, 32)

    def kept():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()), lambda t: t
        ):
            model(images)
        return sum(sizes)

    before = kept()
    model.set_grad_checkpointing()
    assert kept() < before / 2
    model.set_grad_checkpointing(False)
    assert kept() == before
