"""Vim: what its released classifiers compute, and what a backbone without maps keeps of one."""

import parity
import pytest
import torch
from archs import PICO_VIM
from mmengine.registry import MODELS, init_default_scope
from torch.nn import functional as F

from sparx_mm import Vim
from sparx_mm.errors import ConfigError
from sparx_mm.layers import RMSNorm2d
from sparx_mm.mixers import BidirectionalMamba
from sparx_mm.state_dicts import VIM, flatten_model

# the references were stored in float32; that rounding is below 1e-6
TOLERANCES = {torch.float64: 5e-6, torch.float32: 1e-4}
# number of parameters with the head
PARAMETERS = {'tiny': 7_148_008, 'small': 25_796_584}
SIZE = (32, 48)
# (variant, height, width, kind), and those with more of the same layers and tokens
GOLDENS = [
    ('t', 64, 96, 'cls'),
    ('t', 64, 96, 'faint_cls'),
    pytest.param('t', 224, 224, 'cls', marks=pytest.mark.faults),
    pytest.param('s', 224, 224, 'cls', marks=pytest.mark.faults),
]


def small(**kwargs):
    torch.manual_seed(0)
    return Vim(PICO_VIM, **kwargs)


def images(batch=2):
    return torch.rand(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize('variant, height, width, kind', GOLDENS)
@torch.no_grad()
def test_logits_and_inner_values(variant, height, width, kind):
    state = parity.released_state('cls', variant, 'vim', faint=kind == 'faint_cls')
    tokens = height * width // 256 + 1
    # of an image of 224x224
    rows = [
        (name, [1, tokens, shape[2]] if name == 'pos_embed' else shape)
        for name, shape, _ in parity.manifest('cls', variant, 'vim')
    ]
    rules = parity.RULES['vim']
    state = {k: torch.as_tensor(v) for k, v in rules.make_state(rows, kind != 'cls').items()}
    head = state.pop('head.weight'), state.pop('head.bias')
    model = Vim(dict(base=parity.ARCHS[variant], stem=dict(img_size=(height, width)))).eval()
    model.load_state_dict(state, strict=True)
    expected = parity.golden(f'{kind}_{variant}_{height}x{width}', 'vim')
    inner = {}
    model.layers[0].mixer.register_forward_hook(
        lambda module, given, out: inner.update(layer0_hidden=out)
    )
    model.norms['last'].register_forward_hook(lambda module, given, out: inner.update(tokens=out))
    image = parity.image(variant, height, width, 'vim')
    for dtype, tolerance in TOLERANCES.items():
        (token,) = model.to(dtype)(image.to(dtype))
        logits = F.linear(token, *(t.to(dtype) for t in head))
        assert (logits - expected['logits']).abs().max() < tolerance, dtype
        for name in expected.keys() & inner.keys():
            # (B, C, L, 1) -> (B, L, C)
            given = inner[name].squeeze(3).transpose(1, 2)
            assert (given - expected[name]).abs().max() < tolerance, (name, dtype)


@pytest.mark.parametrize('arch', Vim.arch_zoo)
def test_parameters_and_parts(arch):
    with torch.device('meta'):
        model = Vim(arch)
    head = 1000 * (model.num_features + 1)
    assert sum(p.numel() for p in model.parameters()) + head == PARAMETERS[arch]
    for layer in model.layers:
        assert type(layer.mixer) is BidirectionalMamba and layer.ffn is None
        assert type(layer.norm1) is RMSNorm2d and layer.norm1.eps == 1e-5
    with torch.device('meta'):
        (token,) = model(torch.empty(2, 3, 224, 224))
    assert token.shape == (2, model.num_features)


def test_every_parameter_is_trained():
    model = small()
    x = images().requires_grad_()
    (token,) = model.train()(x)
    (token * torch.randn_like(token)).sum().backward()
    assert x.grad.any()
    for name, param in model.named_parameters():
        assert param.grad.isfinite().all() and param.grad.any(), name


def test_checkpointed_activations_change_nothing():
    gradients = []
    for with_cp in (False, True):
        model = small(drop_path_rate=0.4, with_cp=with_cp).train()
        torch.manual_seed(2)
        model(images())[0].square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*gradients))


def test_depths_of_parameters_and_frozen_layers():
    model = small(frozen_stages=2)
    depths = {name: model.get_layer_depth(name) for name, _ in model.named_parameters()}
    assert {depth for depth, _ in depths.values()} == set(range(6))
    assert set(depths.values()) == {(depth, 6) for depth in range(6)}
    for name, param in model.named_parameters():
        assert param.requires_grad == (depths[name][0] > 2), name


def test_tokens_of_several_layers():
    whole = small(out_indices=(1, -1)).eval()
    tokens = whole(images())
    part = small(out_indices=1).eval()
    missing, _ = part.load_state_dict(whole.state_dict(), strict=False)
    assert not missing and len(part.layers) == 2
    assert part(images())[0].equal(tokens[0]) and tokens[0].shape == (2, 24)


def test_autocast():
    model = small().eval()
    (wanted,) = model(images())
    with torch.autocast('cpu', torch.bfloat16):
        (given,) = model(images())
    # 8 bits through a few products
    assert (given - wanted).abs().max() < 0.03 * wanted.abs().max()


def test_a_classifier_reads_a_released_file_as_it_is():
    pytest.importorskip('mmpretrain')
    init_default_scope('mmpretrain')
    head = dict(type='LinearClsHead', num_classes=5, in_channels=24)
    torch.manual_seed(0)
    models = [
        MODELS.build(
            dict(type='ImageClassifier', backbone=dict(type='Vim', arch=PICO_VIM), head=head)
        ).eval()
        for _ in range(2)
    ]
    released = flatten_model(VIM.to_released(models[0].state_dict(), 'backbone.'), VIM)
    assert {'head.weight', 'cls_token', 'layers.3.mixer.A_b_log'} <= released.keys()
    models[1].load_state_dict(released)
    wanted, given = (model(images(), mode='tensor') for model in models)
    assert given.equal(wanted) and given.shape == (2, 5)
    assert all(a.equal(b) for a, b in zip(*(model.parameters() for model in models)))


@pytest.mark.parametrize(
    'arch, size, message',
    [
        (dict(stem=dict(img_size=100)), None, 'img_size must be a multiple of patch_size=16'),
        (dict(mixer=dict(d_conv=0)), None, 'd_conv must be an int from 1, got 0'),
        ({}, (64, 64), 'the position embedding is of images of 32x48, got 64x64'),
    ],
)
def test_mistakes_are_named(arch, size, message):
    with pytest.raises(ConfigError, match=message):
        Vim(dict(PICO_VIM, **arch))(torch.rand(1, 3, *size))


def test_all_of_it_in_16_bits():
    model = small().eval()
    wanted = model(images())[0]
    given = model.to(torch.bfloat16)(images().to(torch.bfloat16))[0]
    assert given.dtype == torch.bfloat16
    # eight bits of mantissa, through four layers
    assert (given - wanted).abs().max() < 0.05 * wanted.abs().max()
