"""PlainMamba with its adapter: the released detectors' maps, and what a backbone promises."""

import deterministic
import parity
import pytest
import torch
from archs import PICO_PLAINMAMBA
from finite_differences import gradient_error
from mmengine.registry import MODELS
from torch import nn

from sparx_mm import PlainMamba, PlainMambaAdapter
from sparx_mm.adapters import DeformableAttention, Injector
from sparx_mm.analysis import count_complexity
from sparx_mm.errors import ConfigError

# the references were stored in float32; that rounding is below 1e-6
TOLERANCES = {torch.float64: 5e-6, torch.float32: 1e-4}


def build(arch=PICO_PLAINMAMBA, **options):
    """A small backbone whose attention depends on what it reads, as after some training."""
    torch.manual_seed(0)
    model = PlainMambaAdapter(arch, norm_eval=True, **options)
    for module in model.modules():
        if isinstance(module, Injector):
            nn.init.normal_(module.gamma)
        if isinstance(module, DeformableAttention):
            for layer in (module.sampling_offsets, module.attention_weights):
                nn.init.normal_(layer.weight, std=0.1)
    return model


def images(*shape):
    torch.manual_seed(1)
    return torch.rand(shape or (2, 3, 64, 96))


def train_step(model, x):
    outs = model.train()(x)
    torch.manual_seed(2)
    sum((out * torch.randn_like(out)).mean() for out in outs).backward()
    return outs


@pytest.mark.slow
def test_it_is_the_released_network():
    with torch.device('meta'):
        model = PlainMambaAdapter('l1')
    assert sum(p.numel() for p in model.parameters()) == 9_796_464
    assert sum(p.numel() for p in model.adapter.parameters()) == 2_438_192
    state = parity.released_state('adapter', 'l1', 'plainmamba')
    model.load_state_dict(state, strict=True, assign=True)
    x = torch.from_numpy(deterministic.make_input('plainmamba_adapter_l1', 32, 64))
    expected = parity.golden('adapter_l1_32x64', 'plainmamba')
    for dtype, tolerance in TOLERANCES.items():
        with torch.no_grad():
            outs = model.eval().to(dtype)(x.to(dtype))
        for i, (out, wanted) in enumerate(zip(outs, expected.values(), strict=True)):
            assert out.shape == expected[f'out{i}'].shape
            assert (out - expected[f'out{i}']).abs().max() < tolerance, (dtype, i)


@pytest.mark.slow
@pytest.mark.parametrize('arch, heads', [('l1', 6), ('l2', 6), ('l3', 8)])
def test_sizes_and_heads(arch, heads):
    with torch.device('meta'):
        model = PlainMambaAdapter(dict(base=arch, num_layers=4), out_indices=(1, -1))
        outs = model(torch.empty(1, 3, 65, 96))
    dim = model.num_features
    assert [tuple(out.shape) for out in outs] == [(1, dim, 9, 12), (1, dim, 3, 3)]
    assert model.adapter.injectors[0].attn.num_heads == heads
    assert model.feature_info.channels() == [dim, dim]
    assert model.feature_info.reduction() == [8, 32]


def test_at_first_the_layers_compute_what_they_did():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='PlainMambaAdapter', arch=PICO_PLAINMAMBA)).eval()
    alone = PlainMamba(dict(PICO_PLAINMAMBA, out_norm=None), out_indices=-1).eval()
    alone.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith('adapter.')}
    )
    seen = []
    model.layers[-1].register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        model(images())
        (expected,) = alone(images())
    assert seen[0].equal(expected)


def test_no_images():
    model = build().train()
    outs = model(images(0, 3, 64, 64))
    dim = model.num_features
    assert [tuple(out.shape) for out in outs] == [
        (0, dim, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)
    ]
    sum(out.sum() for out in outs).backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('size', [(1, 1), (33, 47), (64, 65)])
def test_any_size_is_padded_and_cut(size):
    model = build().eval()
    x = images(1, 3, *size)
    height, width = ((side + 31) // 32 * 32 for side in size)
    padded = torch.zeros(1, 3, height, width)
    padded[..., : size[0], : size[1]] = x
    with torch.no_grad():
        outs, whole = model(x), model(padded)
    for out, wanted, stride in zip(outs, whole, (4, 8, 16, 32), strict=True):
        rows, columns = (-(-side // stride) for side in size)
        assert out.shape[2:] == (rows, columns)
        assert out.is_contiguous()
        torch.testing.assert_close(out, wanted[..., :rows, :columns])


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 2, 3)])
def test_every_parameter_is_trained(out_indices):
    model = build(out_indices=out_indices)
    outs = train_step(model, images(1, 3, 64, 72))
    assert len(outs) == len(out_indices)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.slow
@pytest.mark.parametrize('tokens', [False, True])
def test_gradients_of_one_image(tokens):
    """By finite differences, with batch statistics and without kinks near a small step."""
    model = build().double()
    model.norm_eval = False
    for part in (model.stem.entry, model.stem.convs, *model.adapter.prior.children()):
        for name, module in part.named_children():
            if isinstance(module, nn.ReLU):
                part.add_module(name, nn.Softplus())
    model.adapter.prior.stem.add_module('9', nn.AvgPool2d(3, 2, 1))
    model.train()
    x = images(1, 3, 68, 72).double()
    assert gradient_error(lambda: model(x), model, tokens) < 1e-5


def test_checkpointing_changes_nothing():
    plain, checkpointed = (build(drop_path_rate=0.3, with_cp=with_cp) for with_cp in (False, True))
    checkpointed.load_state_dict(plain.state_dict())
    outs = []
    for model in (plain, checkpointed):
        # batch statistics, which a second run must not count again
        model.norm_eval = False
        torch.manual_seed(3)
        outs.append(train_step(model, images()))
    for one, other in zip(*outs):
        assert one.equal(other)
    for (name, one), other in zip(plain.named_parameters(), checkpointed.parameters()):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
    for (name, one), other in zip(plain.named_buffers(), checkpointed.buffers()):
        assert one.equal(other), name
    plain.set_grad_checkpointing()
    assert plain.with_cp and plain.adapter.with_cp


def test_batch_norms_of_a_new_adapter_stay_in_eval_mode():
    norms = [module for module in build().modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)


def test_frozen_layers_and_depths():
    model = build(frozen_stages=2).train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in trained if name.startswith(('stem.', 'layers.0.', 'layers.1.'))]
    assert {name.split('.')[0] for name in trained} == {'layers', 'adapter'}
    assert not model.stem.training and model.adapter.training
    depths = {name: model.get_layer_depth(name) for name, _ in model.named_parameters()}
    last = len(model.layers) + 1
    assert depths['stem.proj.weight'] == (0, last + 1)
    assert depths['layers.3.proj.weight'] == (4, last + 1)
    for name in ('adapter.level_embed', 'adapter.injectors.0.gamma', 'adapter.up.weight'):
        assert depths[name] == (last, last + 1)


def test_under_autocast():
    model = build().eval()
    with torch.no_grad():
        expected = model(images())
        with torch.autocast('cpu', torch.bfloat16):
            outs = model(images())
    for out, wanted in zip(outs, expected):
        # 8 bits
        assert (out - wanted).abs().max() < 0.05 * wanted.abs().max()
    with torch.autocast('cpu', torch.bfloat16):
        train_step(model, images())
    assert all(p.grad.isfinite().all() for p in model.parameters())
    half = build().eval().bfloat16()
    with torch.no_grad():
        outs = half(images().bfloat16())
    for out, wanted in zip(outs, expected):
        assert out.dtype == torch.bfloat16
        assert (out - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_other_norms_and_channels():
    model = build(norm_cfg=dict(type='SyncBN'), in_channels=4)
    kinds = {type(m) for m in model.adapter.modules() if isinstance(m, nn.SyncBatchNorm)}
    assert kinds and isinstance(model.adapter.norms['0'], nn.SyncBatchNorm)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.adapter.modules())
    assert len(model.eval()(images(1, 4, 32, 32))) == 4


@pytest.mark.slow
def test_every_product_is_counted():
    """The adapter's, by hand, beside those of the network alone."""
    shape = (64, 96)
    with torch.device('meta'):
        model = PlainMambaAdapter(PICO_PLAINMAMBA, num_heads=2)
        found = count_complexity(model, shape, 'plain')
        alone = PlainMamba(dict(PICO_PLAINMAMBA, out_norm=None), out_indices=-1)
        inner = count_complexity(alone, shape, 'plain').total().macs
    # positions at stride 4, of the adapter's tokens and at stride 16
    quarter, tokens, small = 384, 126, 24
    dim, hidden, places = 40, 10, 2 * 4
    # projections of queries, of what is sampled, and the FFN
    injector = small * dim * (9 * places + dim) + tokens * dim * dim
    extractor = tokens * dim * (3 * places + dim) + small * dim * dim
    extractor += tokens * (2 * dim * hidden + 9 * hidden)
    prior = 9 * 64 * 4 * quarter * (3 + 64 + 64)
    for inputs, outputs, count in ((64, 128, 96), (128, 256, 24), (256, 256, 6)):
        prior += count * outputs * (9 * inputs + dim)
    prior += quarter * 64 * dim
    up = quarter * dim * dim
    expected = 4 * injector + 6 * extractor + prior + up
    assert found.total().macs - inner == expected
    assert found.parts['adapter',].macs == expected


def test_what_is_sampled_counts_as_interpolation():

    class Sampler(nn.Module):
        def forward(self, x):
            return nn.functional.grid_sample(x, x.new_zeros(1, 5, 7, 2), align_corners=False)

    counts = [
        count_complexity(Sampler(), (8, 8), name).total().macs
        for name in ('paper', 'paper-interpolation')
    ]
    assert counts == [0, 4 * 3 * 5 * 7]


@pytest.mark.parametrize('out_indices', [None, (0, 1, 2, 3)])
def test_no_out_indices_are_all_maps(out_indices):
    arch = PICO_PLAINMAMBA
    with torch.device('meta'):
        assert PlainMambaAdapter(arch, out_indices=out_indices).out_indices == (0, 1, 2, 3)
    channels, maps = PlainMambaAdapter.map_channels(arch, out_indices)
    assert channels == [arch['embed_dims']] * 4 and maps == (0, 1, 2, 3)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(arch=dict(PICO_PLAINMAMBA, num_layers=6)), 'a multiple of 4, got 6'),
        (dict(arch=dict(PICO_PLAINMAMBA, out_norm=dict(type='LN2d'))), 'have batch norms'),
        (dict(out_indices=(0, 4)), 'out_indices must be ascending'),
        (dict(num_heads=7), 'num_heads must be at least 1 and divide the 40 channels, got 7'),
        (dict(arch=dict(PICO_PLAINMAMBA, embed_dims=20)), 'give num_heads, a divisor of 20'),
        (dict(arch=None), 'arch None of PlainMambaAdapter is unknown; use one of'),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)
