"""VSSD: what its released models are, how they start and what their files give."""

import math

import parity
import pytest
import torch
from archs import PICO_VSSD
from torch import nn

from sparx_mm import VSSD
from sparx_mm.checkpoint_io import read_checkpoint
from sparx_mm.errors import ConfigError
from sparx_mm.layers import BatchNorm2d, DynamicPositionEncoding, LayerNorm2d
from sparx_mm.mixers import Attention, NonCausalSSD, RotaryNonCausalSSD
from sparx_mm.state_dicts import VSSD as KEY_MAP
from sparx_mm.state_dicts import CoverageError, fit
from sparx_mm.state_dicts.keymap import is_bn_counter

# with four output norms
PARAMETERS = {
    'micro': 13_128_636,
    'tiny': 23_758_620,
    'small': 39_563_546,
    'base': 88_055_495,
    'tiny-iccv': 27_425_280,
    'small-iccv': 49_649_856,
}
FILES = {
    'micro': 'm',
    'tiny': 't',
    'small': 's',
    'base': 'b',
    'tiny-iccv': 'iccv_t',
    'small-iccv': 'iccv_s',
}


def empty(flavour, arch):
    """Tensors of a released file that take no memory, all of them 0."""
    rows = parity.manifest(flavour, FILES[arch], 'vssd')
    kinds = {True: torch.int64, False: torch.float32}
    return {
        name: torch.zeros((), dtype=kinds[is_bn_counter(name)]).expand(shape)
        for name, shape, _ in rows
    }


@pytest.fixture(scope='module', params=FILES)
def arch(request):
    """An arch and its backbone without memory."""
    with torch.device('meta'):
        return request.param, VSSD(request.param)


def test_parameters_and_parts(arch):
    name, model = arch
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    kind = RotaryNonCausalSSD if 'iccv' in name else NonCausalSSD
    for stage, mixer in zip(model.stages, [kind, kind, kind, Attention], strict=True):
        assert {type(layer.mixer) for layer in stage.layers} == {mixer}
        for layer in stage.layers:
            assert type(layer.dpe) is type(layer.ffn_dpe) is DynamicPositionEncoding
    norms = [m for m in model.modules() if 'norm' in type(m).__name__.lower()]
    assert {type(norm) for norm in norms} == {LayerNorm2d, BatchNorm2d}
    assert {norm.eps for norm in norms} == {1e-5}


def test_biases():
    names = {name.split('.', 4)[-1] for name, _ in VSSD(PICO_VSSD).named_parameters()}
    assert {'mixer.conv.bias', 'dpe.bias', 'ffn_dpe.bias', 'ffn.fc1.bias'} <= names
    assert 'proj.bias' not in names
    for module in VSSD(PICO_VSSD).modules():
        if hasattr(module, 'out_proj'):
            assert (module.out_proj.bias is None) == isinstance(module, NonCausalSSD)


def test_initialisation():
    """Linear layers are drawn anew; convolutions, of 1x1 too, keep torch's weights."""
    torch.manual_seed(0)
    model = VSSD('micro')
    convolutions = 0
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if name.startswith('stages') and module.kernel_size == (1, 1):
            # three standard errors of a standard deviation
            error = max(3 * 0.02 / math.sqrt(2 * module.weight.numel()), 1e-3)
            assert abs(module.weight.std() - 0.02) < error, name
            assert module.bias is None or module.bias.eq(0).all(), name
        else:
            convolutions += module.kernel_size == (1, 1)
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert 0.9 * bound < module.weight.abs().max() <= bound, name
            assert module.bias is None or module.bias.any(), name
    # the stem's, and two of each downsampling
    assert convolutions == 7
    mixer = model.stages[2].layers[0].mixer
    assert mixer.D.eq(1).all()
    assert 0 <= mixer.A_log.min() and mixer.A_log.max() <= math.log(16)
    steps = nn.functional.softplus(mixer.dt_bias)
    assert 1e-3 * 0.99 <= steps.min() and steps.max() <= 0.1 * 1.01


def test_released_files_are_whole(arch):
    name, model = arch
    own = model.state_dict()
    dense = {f'backbone.{k}': v for k, v in empty('dense', name).items()}
    report = fit(own, {**dense, 'decode_head.conv.weight': torch.ones(1)}, KEY_MAP, 'backbone.')
    assert report.weights.keys() == own.keys()
    assert not report.missing and not report.reshaped and not report.unused
    if 'iccv' in name:
        # no classifier's names are known
        return
    report = fit(own, empty('cls', name), KEY_MAP, archs=VSSD.arch_zoo)
    norms = {k for k in own if k.startswith('norms.')}
    assert set(report.missing) == norms and len(norms) == 8
    assert report.weights.keys() == own.keys() - norms and not report.reshaped
    assert set(report.unused) == {'norm.weight', 'norm.bias', 'head.weight', 'head.bias'}


def test_other_archs_are_named(arch):
    name, model = arch
    for other in FILES:
        if other != name:
            with pytest.raises(CoverageError) as error:
                fit(model.state_dict(), empty('dense', other), KEY_MAP, archs=VSSD.arch_zoo)
            assert str(error.value) == f"this is a '{other}' file, the model is '{name}'"


@pytest.mark.tries('an ImageNet file of VSSD')
@pytest.mark.parametrize(
    'file, key',
    [
        ('vssd_micro_best.pth', 'model'),
        ('vssd_tiny_best_ema.pth', 'model_ema'),
        ('vssd_tiny_e300_with_mesa.pth', 'model_ema'),
        ('vssd_micro_best_copy.pth', 'model_ema'),
    ],
)
def test_a_files_name_tells_which_weights_it_was_published_for(tmp_path, file, key):
    models = {key: VSSD(PICO_VSSD).state_dict() for key in ('model', 'model_ema')}
    content = {k: KEY_MAP.to_released(v) for k, v in models.items()}
    torch.save(dict(content, optimizer=dict(state={}), epoch=299), tmp_path / file)
    read = read_checkpoint(str(tmp_path / file))
    assert read['epoch'] == 299
    model = VSSD(PICO_VSSD, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / file)))
    model.init_weights()
    for found in (KEY_MAP.to_own(read['state_dict']), model.state_dict()):
        assert all(found[name].equal(value) for name, value in models[key].items())


def test_average_alone_is_taken_whatever_the_file_is_called(tmp_path):
    path = tmp_path / 'vssd_micro_best.pth'
    torch.save(dict(model_ema=VSSD(PICO_VSSD).state_dict()), path)
    assert read_checkpoint(str(path))['state_dict']


def test_half_precision_keeps_sums_that_do_not_fit():
    """The sum over positions is normed before it has 16 bits."""
    torch.manual_seed(0)
    mixer = NonCausalSSD(8, 2, d_state=4).eval()
    nn.init.constant_(mixer.dt_bias, 40.0)
    x = 30 * torch.rand(1, mixer.in_channels, 64, 64)
    with torch.no_grad():
        wanted = mixer(x)
        found = mixer.half()(x.half())
    assert found.isfinite().all() and found.dtype == torch.float16
    assert (found.float() - wanted).abs().max() < 0.02 * wanted.abs().max()


def test_definition_of_the_mixer():
    """Position by position and head by head, in float64."""
    torch.manual_seed(0)
    mixer = NonCausalSSD(4, 2, d_state=3).double().eval()
    for parameter in (mixer.D, mixer.A_log, mixer.dt_bias):
        nn.init.normal_(parameter)
    x = torch.randn(1, mixer.in_channels, 3, 2, dtype=torch.double)
    z, u, dt = x.split([8, 14, 2], dim=1)
    u = nn.functional.silu(
        nn.functional.conv2d(u, mixer.conv.weight, mixer.conv.bias, padding=1, groups=14)
    ).flatten(2)[0]
    weights = nn.functional.softplus(dt.flatten(2)[0] + mixer.dt_bias[:, None])
    weights = weights * mixer.A_log.exp()[:, None]
    y = torch.zeros(8, 6, dtype=torch.double)
    for head in range(2):
        own = u[4 * head : 4 * head + 4]
        state = sum(weights[head, i] * torch.outer(own[:, i], u[8:11, i]) for i in range(6))
        for i in range(6):
            y[4 * head : 4 * head + 4, i] = state @ u[11:14, i] + mixer.D[head] * own[:, i]
    y = mixer.norm(y.view(1, 8, 3, 2)) * z
    torch.testing.assert_close(mixer(x), mixer.out_proj(y))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(ssm_ratio=0), 'ssm_ratio must leave a channel to scan, got 0 of 8 channels'),
        (dict(d_state=0), 'd_state must be an int from 1, got 0'),
    ],
)
@pytest.mark.parametrize('mixer', [NonCausalSSD, RotaryNonCausalSSD])
def test_mixers_without_channels_or_states(mixer, options, message):
    with pytest.raises(ConfigError, match=message):
        mixer(8, 4, **options)
