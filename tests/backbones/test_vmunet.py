"""The parts of VM-UNet and CVMH-UNet start from VMamba-S, the decoder's mirrored."""

import re

import pytest
import torch
import vmamba_files
import vmunet

from sparx_mm import VMUNetEncoder
from sparx_mm.backbones.pretrained import PretrainedVMambaInit
from sparx_mm.errors import ConfigError
from sparx_mm.layers import PatchEmbed
from sparx_mm.state_dicts import VMAMBA, CoverageError

# tensors of a layer in VMamba
OF_LAYER = 13


@pytest.fixture(scope='module')
def small():
    """Names and shapes of VMamba-S, the first release, each with a number of its own."""
    shapes = vmamba_files.shapes('cls_s_v0')
    names = vmamba_files.old_names(shapes)
    return {
        names[name]: torch.tensor(float(i)).expand(shape)
        for i, (name, shape) in enumerate(shapes.items())
    }


def build(arch):
    with torch.device('meta'):
        model = vmunet.segmentor(arch, 'MFMS')
    return model.to_empty(device='cpu')


@pytest.mark.stack
@pytest.mark.parametrize('arch', ['tiny', 'tiny-cvss'])
def test_encoder_and_decoder_start_from_vmamba_s(arch, small):
    model = build(arch)
    own = VMAMBA.to_own(small)
    for part, mirrored in ((model.backbone, False), (model.decode_head, True)):
        report = PretrainedVMambaInit('vmamba_s.pth').fit(part, small)
        # the encoder has eight layers, a stem of four tensors and three mergings of as many
        wanted = 7 * OF_LAYER if mirrored else 8 * OF_LAYER + 4 + 3 * 3
        assert len(report.weights) == wanted
        parameters = dict(part.named_parameters())
        assert str(report).startswith(f'{wanted} of {len(parameters)} tensors loaded (')
        for name, value in report.weights.items():
            source = name.replace('.mixer.scan.', '.')
            if mirrored:
                level, rest = re.fullmatch(r'levels\.(\d)\.(.*)', source).groups()
                source = f'stages.{3 - int(level)}.{rest}'
            assert value.shape == parameters[name].shape
            assert (value == own[source].flatten()[0]).all(), name
        loaded = {name for name in report.weights if 'layers' in name}
        scans = {n for n in parameters if re.search(r'layers\.\d+\.(norm1|proj|mixer)\.', n)}
        if arch == 'tiny-cvss':
            scans = {n for n in parameters if '.mixer.scan.' in n}
        assert loaded == scans


def test_it_is_an_init_cfg(small, tmp_path):
    file, dims = str(tmp_path / 'vmamba.pth'), (96, 192)
    there = re.compile(r'patch_embed|layers\.[01]\.(downsample|blocks\.0)')
    state = {f'backbone.{k}': v.clone() for k, v in small.items() if there.match(k)}
    torch.save(state, file)
    arch = dict(embed_dims=dims, depths=(1, 1))
    init_cfg = dict(type='PretrainedVMamba', checkpoint=file, prefix='backbone')
    model = VMUNetEncoder(arch, out_indices=(0,), init_cfg=init_cfg)
    model.init_weights()
    name = 'layers.1.blocks.0.self_attention.Ds'
    assert (model.stages[1].layers[0].mixer.D == small[name].flatten()[0]).all()


@pytest.mark.tries('a VM-UNet or VMamba file that does not fit')
def test_files_that_do_not_fit(small):
    model = VMUNetEncoder(dict(embed_dims=(24, 48), depths=(1, 1)), out_indices=(0,))
    with pytest.raises(CoverageError, match='nothing of this VMamba fits: .* 2x96 2x192 27x384'):
        PretrainedVMambaInit('f').fit(model, small)
    with pytest.raises(CoverageError, match="under prefix 'a.'; did you mean prefix=None"):
        PretrainedVMambaInit('f', prefix='a').fit(model, small)
    # its second release has other layers
    newer = vmamba_files.empty('cls_s')
    with pytest.raises(CoverageError, match='nothing of this VMamba fits'):
        PretrainedVMambaInit('f').fit(VMUNetEncoder('tiny'), newer)
    with pytest.raises(CoverageError, match="this is a SparX file, and type='PretrainedVMamba'"):
        layer = 'layers.0.blocks.0'
        file = {f'{layer}.{part}.weight': torch.ones(1) for part in ('pos_embed', 'norm')}
        PretrainedVMambaInit('f').fit(model, file)
    with pytest.raises(CoverageError, match='starts VMUNetEncoder and VMUNetHead, not Linear'):
        PretrainedVMambaInit('f').fit(torch.nn.Linear(1, 1), small)


def test_stems_pad_to_a_multiple_of_four():
    stem = PatchEmbed(8, pad=32)
    assert stem(torch.rand(1, 3, 33, 5)).shape == (1, 8, 16, 8)
    for pad in (6, -4, 0, 1, 'yes'):
        with pytest.raises(ConfigError, match='pad must be True, False or a multiple of 4 from 4'):
            PatchEmbed(8, pad=pad)


def test_norms_of_maps_that_nobody_reads_normed():
    arch = dict(embed_dims=(8, 16), depths=(1, 1), out_norm=dict(type='BN'))
    with pytest.raises(ConfigError, match=r"without the out_norm {'type': 'BN'} .* trunk_norm=T"):
        VMUNetEncoder(arch, out_indices=(0,))
    model = VMUNetEncoder(dict(arch, trunk_norm=True), out_indices=(0,)).eval()
    torch.nn.init.zeros_(model.norms['1'].weight)
    assert not model(torch.rand(1, 3, 32, 32))[1].any()


def test_pairs_of_layers_have_a_shortcut():
    torch.manual_seed(0)
    arch = dict(embed_dims=(16,), depths=(5,), pair_skip=True)
    model = VMUNetEncoder(arch, out_indices=(0,)).double().eval()
    first, last = model(torch.rand(1, 3, 32, 32).double())
    x = first
    layers = model.stages[0].layers
    for i in (0, 2):
        x = x + layers[i + 1](layers[i](x))
    torch.testing.assert_close(last, layers[4](x))
