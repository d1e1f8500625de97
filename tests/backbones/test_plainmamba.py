"""PlainMamba: what its released models are, how they start and what is asked of an arch."""

import math

import parity
import pytest
import torch
from archs import PICO_PLAINMAMBA
from torch import nn

from sparx_mm import PlainMamba
from sparx_mm.errors import ConfigError
from sparx_mm.layers import BatchNorm2d, ConvolvedLayer, LayerNorm2d
from sparx_mm.mixers import SnakeScan

# with the norm after the last layer alone
PARAMETERS = {'l1': 7_358_656, 'l2': 25_760_832, 'l3': 50_507_456}


@pytest.mark.parametrize('arch', PlainMamba.arch_zoo)
def test_parameters_and_parts(arch):
    with torch.device('meta'):
        model = PlainMamba(arch, out_indices=-1)
        whole = PlainMamba(arch)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]
    layers = {'l3': (8, 17, 26, 35)}.get(arch, (5, 11, 17, 23))
    assert whole.out_indices == layers and list(whole.norms) == [*map(str, layers[:3]), 'last']
    assert {type(layer.mixer) for layer in model.layers} == {SnakeScan}
    convolved = [i for i, layer in enumerate(model.layers) if isinstance(layer, ConvolvedLayer)]
    assert convolved == ([0] if arch == 'l1' else [])
    assert {layer.norm1.eps for layer in model.layers} == {1e-5}
    assert {norm.eps for norm in whole.norms.values()} == {1e-6}
    norms = [m for m in whole.modules() if 'norm' in type(m).__name__.lower()]
    assert {type(norm) for norm in norms} == {LayerNorm2d, BatchNorm2d}


def test_drop_paths_grow_from_layer_to_layer():
    model = PlainMamba(PICO_PLAINMAMBA, drop_path_rate=0.3, out_indices=(0, 2))
    assert [layer.drop_path.drop_prob for layer in model.layers] == pytest.approx([0, 0.1, 0.2])


def test_maps_are_those_of_their_layers():
    """In place of 23 of 24, each with its norm; the last one's has a name of its own."""
    torch.manual_seed(0)
    model = PlainMamba(PICO_PLAINMAMBA, out_indices=(1, -1)).eval()
    images = torch.randn(2, 3, 40, 72)
    x, maps = model.stem(images), []
    assert x.shape == (2, 40, 3, 5)
    for layer in model.layers:
        x = layer(x)
        maps.append(x)
    norms = [model.norms['1'], model.norms['last']]
    for out, norm, i in zip(model(images), norms, (1, 3), strict=True):
        assert out.is_contiguous()
        torch.testing.assert_close(out, norm(maps[i]), atol=1e-5, rtol=1e-5)


def test_positions_are_resized_to_any_map():
    model = PlainMamba(PICO_PLAINMAMBA).eval()
    stem, grid = model.stem, model.stem.pos_embed
    nn.init.zeros_(stem.proj.weight)
    nn.init.zeros_(stem.proj.bias)
    for size in ((48, 48), (1, 1), (17, 80)):
        found = stem(torch.rand(1, 3, *size))
        shape = [math.ceil(side / 16) for side in size]
        wanted = nn.functional.interpolate(grid, size=shape, mode='bicubic', align_corners=False)
        assert found.equal(wanted)
    # at its own size it is what was learned
    torch.testing.assert_close(stem(torch.rand(1, 3, 48, 48)), grid, atol=1e-7, rtol=0)


def test_a_file_of_another_grid(tmp_path, capsys):
    source = PlainMamba(PICO_PLAINMAMBA)
    torch.save(source.key_map.to_released(source.state_dict(), ''), tmp_path / 'file.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))
    model = PlainMamba(dict(PICO_PLAINMAMBA, stem=dict(width=16, grid=5)), init_cfg=init)
    model.init_weights()
    assert 'resized: stem.pos_embed' in capsys.readouterr().out
    wanted = nn.functional.interpolate(
        source.stem.pos_embed, size=(5, 5), mode='bicubic', align_corners=False
    )
    assert model.stem.pos_embed.equal(wanted)
    assert model.layers[3].proj.weight.equal(source.layers[3].proj.weight)


def test_initialisation():
    torch.manual_seed(0)
    model = PlainMamba('l1')
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.kernel_size == (1, 1):
            # three standard errors of a standard deviation
            error = max(3 * 0.02 / math.sqrt(2 * module.weight.numel()), 1e-3)
            assert abs(module.weight.std() - 0.02) < error, name
            assert module.bias.eq(0).all(), name
        else:
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert 0.9 * bound < module.weight.abs().max() <= bound, name
    assert 0.019 < model.stem.pos_embed.std() < 0.021


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(arch='l4'), "arch 'l4' of PlainMamba is unknown; use one of ['l1', 'l2', 'l3']"),
        (dict(arch=dict(base='l1', depths=3)), "arch keys ['depths'] are unknown; allowed are"),
        (dict(arch=dict(embed_dims=8)), "arch keys ['num_layers'] are missing; give them, or"),
        (dict(arch=dict(base='l1', embed_dims=(8, 16))), "'embed_dims' of PlainMamba must be"),
        (dict(arch=dict(base='l1', num_layers=0)), "'num_layers' of PlainMamba must be an int"),
        (dict(arch=dict(base='l1', mixer=None)), "arch key 'mixer' must be a config, a dict"),
        *(
            (dict(arch=dict(base='l1', convolved_layers=(one,))), 'numbers of layers, from 0 to 23')
            for one in (24, -1, 1.0, [1])
        ),
        (dict(arch=dict(base='l1', stem=dict(width=0))), 'width of the stem must be an int from 1'),
        (dict(arch=dict(base='l1', mixer=dict(d_state=0))), 'd_state must be an int from 1, got 0'),
        (dict(arch=dict(base='l1', mixer=dict(dt_rank=0))), "int from 1 or 'auto', got 0"),
        (dict(arch=dict(base='l1', stem=dict(grid=0))), 'grid of the stem must be an int from 1'),
        (dict(out_indices=(5, 24)), 'ascending, distinct and in [-24, 24)'),
        (dict(frozen_stages=25), 'frozen_stages must be an int in [-1, 24], got 25'),
        (dict(drop_path_rate=1), 'drop_path_rate must be in [0, 1), got 1'),
        (dict(in_channels=0), 'in_channels must be an int from 1, got 0'),
    ],
)
def test_mistakes(options, text):
    with torch.device('meta'), pytest.raises(ConfigError) as error:
        PlainMamba(**options)
    assert text in str(error.value) and '\n' not in str(error.value)


def test_a_norm_of_ones_own():
    model = PlainMamba(PICO_PLAINMAMBA, norm_cfg=dict(type='GN', num_groups=2))
    kinds = [type(module).__name__ for module in model.modules()]
    # of the stem's two convolutions, and after the first layer
    assert kinds.count('GroupNorm') == 3 and 'BatchNorm2d' not in kinds


def test_released_weights_start_a_segmentor():
    """The maps before the last have norms that no classifier has."""
    state = parity.released_state('cls', 'l1', 'plainmamba')
    file = {f'backbone.{k}': v for k, v in state.items() if not k.startswith('head')}
    with torch.device('meta'):
        model = PlainMamba('l1')
    found = model.load_state_dict({k[9:]: v for k, v in file.items()}, strict=False, assign=True)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == {
        f'norms.{i}.{leaf}' for i in (5, 11, 17) for leaf in ('weight', 'bias')
    }


def test_a_norm_cfg_of_convolved_layers_alone():
    stem = dict(PICO_PLAINMAMBA['stem'], norm_cfg=dict(type='BN'))
    arch = dict(PICO_PLAINMAMBA, stem=stem, convolved_layers=(0,))
    model = PlainMamba(arch, norm_cfg=dict(type='GN', num_groups=2))
    assert isinstance(model.stem.entry[1], BatchNorm2d)
    assert isinstance(model.layers[0].conv_norm, nn.GroupNorm)
    with pytest.raises(ConfigError, match='no part of this PlainMamba takes a norm_cfg'):
        PlainMamba(dict(arch, convolved_layers=()), norm_cfg=dict(type='GN', num_groups=2))


def test_a_norm_cfg_of_ffns_too():
    arch = dict(PICO_PLAINMAMBA, ffn=dict(type='EFFN'))
    model = PlainMamba(arch, norm_cfg=dict(type='GN', num_groups=2))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    own = PlainMamba(
        dict(arch, ffn=dict(type='EFFN', norm_cfg=dict(type='BN'))), norm_cfg=dict(type='LN2d')
    )
    assert isinstance(own.layers[0].ffn.fc1[1], nn.BatchNorm2d)
