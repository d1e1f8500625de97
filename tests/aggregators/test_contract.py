"""What every aggregator promises to the layer and the backbone."""

import pytest
import torch
from archs import PICO
from finite_differences import FORMATS, gradient_error
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.aggregators.parts import shuffle_channels
from sparx_mm.layers import WeightedSum
from sparx_mm.registry import build_part


class OwnAggregator(nn.Module):
    """One of a user's own: the least that a layer asks for."""

    def __init__(self, dim, num_sources, out_channels):
        super().__init__()
        if num_sources < 1:
            raise ValueError(f'num_sources must be at least 1, got {num_sources}')
        self.fuse = nn.Conv2d(dim * (1 + num_sources), out_channels, 1)

    def forward(self, x, sources):
        return self.fuse(torch.cat([x, *sources], dim=1))


AGGREGATORS = {
    'own': dict(type=OwnAggregator),
    'DMCA': dict(type='DMCA', reduction=2),
    'no skip': dict(type='DMCA', reduction=2, skip=False),
    'concat': dict(type='ConcatAggregator'),
    'value': dict(type='ValueAggregator'),
    'weighted': dict(type='WeightedAverage'),
    'SRA': dict(type='SRA', reduction=2),
    'CSA': dict(type='CSA', reduction=2),
    'SCA': dict(type='SCA', reduction=2),
}
# those with attention, which sees reduced maps
REDUCED = [kind for kind, config in AGGREGATORS.items() if 'reduction' in config]
every = pytest.mark.parametrize('kind', AGGREGATORS)


def build(kind, dim=8, num_sources=2, out_channels=16, reduction=None, **options):
    """Build one as a layer does, with another reduction if it has one."""
    config = dict(AGGREGATORS[kind], **options)
    if reduction is not None and kind in REDUCED:
        config['reduction'] = reduction
    given = dict(dim=dim, num_sources=num_sources, out_channels=out_channels)
    aggregator = build_part(config, 'aggregator', **given)
    for module in aggregator.modules():
        if isinstance(module, WeightedSum):
            # which starts as the layer's own map alone
            nn.init.uniform_(module.weight, 0.5, 1.0)
    return aggregator


def maps(num=3, dim=8, size=(5, 7), dtype=torch.float32):
    x, *sources = torch.randn(num, 2, dim, *size, dtype=dtype).unbind()
    return x, sources


@every
@pytest.mark.parametrize('tokens', [False, True], ids=['maps', 'tokens'])
@pytest.mark.parametrize('layout', FORMATS)
def test_gradients_of_one_map(kind, layout, tokens):
    """In train mode, where torch's batch norm takes gradients of tokens wrongly."""
    torch.manual_seed(0)
    aggregator = build(kind).double()
    x, sources = maps(dtype=torch.double)
    x, *sources = (m[:1].contiguous(memory_format=FORMATS[layout]) for m in (x, *sources))
    assert gradient_error(lambda: aggregator(x, sources), aggregator, tokens) < 1e-6


@every
@pytest.mark.parametrize('out_channels', [16, 17, 24])
@pytest.mark.parametrize('num_sources', [1, 4])
def test_trains(kind, out_channels, num_sources):
    torch.manual_seed(0)
    aggregator = build(kind, 8, num_sources, out_channels)
    x, sources = maps(1 + num_sources)
    read = [x, *sources, *aggregator.parameters()]
    for tensor in read:
        tensor.requires_grad_()
    out = aggregator(x, sources)
    assert out.shape == (2, out_channels, 5, 7)
    out.square().sum().backward()
    assert all(t.grad.isfinite().all() and t.grad.any() for t in read)


@every
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 1), (3, 16), (17, 9)])
def test_maps_smaller_than_the_reduction(kind, size, dtype):
    aggregator = build(kind, reduction=8).eval().to(dtype)
    x, sources = maps(size=size, dtype=dtype)
    out = aggregator(x, sources)
    assert out.shape == (2, 16, *size) and out.dtype == dtype
    assert out.isfinite().all()


@every
@pytest.mark.parametrize('dim', [96, 192, 320, 328, 512, 544, 576, 120, 396, 616, 636])
def test_every_width_of_the_family(kind, dim):
    with torch.device('meta'):
        aggregator = build(kind, dim, 3, 2 * dim)
        x, sources = maps(4, dim)
    assert aggregator(x, sources).shape == (2, 2 * dim, 5, 7)


@every
@pytest.mark.parametrize('reduction', [1, 2])
def test_memory_format_is_kept(kind, reduction):
    torch.manual_seed(0)
    aggregator = build(kind, reduction=reduction).eval().double()
    x, sources = maps(dtype=torch.float64)
    wanted = aggregator(x, sources)
    assert wanted.is_contiguous()
    x, *sources = (m.contiguous(memory_format=torch.channels_last) for m in (x, *sources))
    given = aggregator(x, sources)
    assert given.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(given, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_shuffled_maps_stay_channels_last(device):
    x = torch.randn(2, 12, 5, 7, device=device).contiguous(memory_format=torch.channels_last)
    given = shuffle_channels(x)
    assert given.is_contiguous(memory_format=torch.channels_last)
    if device == 'cpu':
        assert given.equal(torch.channel_shuffle(x, 4))


@every
def test_autocast(kind):
    torch.manual_seed(0)
    aggregator = build(kind).eval()
    x, sources = maps()
    wanted = aggregator(x, sources)
    with torch.autocast('cpu', torch.bfloat16):
        given = aggregator(x, sources)
    # 8 bits through four or five products
    error = (given.float() - wanted).abs().max()
    assert error < 0.03 * wanted.abs().max()


@every
def test_sources_with_their_weights_may_be_permuted(kind):
    torch.manual_seed(0)
    aggregator = build(kind, num_sources=5).eval().double()
    x, sources = maps(6, dtype=torch.float64)
    before = aggregator(x, sources)
    order = [3, 0, 4, 2, 1]
    # by what a tensor has along an axis: its blocks of channels, of all
    # sources (twice for keys and values), or of x and them; or scalars of them and x
    blocks = {40: order, 80: order, 48: [0] + [1 + i for i in order], 6: [*order, 5]}
    for tensor in aggregator.state_dict().values():
        for axis, length in enumerate(tensor.shape):
            if length in blocks:
                parts = tensor.chunk(len(blocks[length]), axis)
                tensor.copy_(torch.cat([parts[i] for i in blocks[length]], axis))
    changed = aggregator(x, sources)
    assert not torch.allclose(changed, before)
    after = aggregator(x, [sources[i] for i in order])
    torch.testing.assert_close(after, before, atol=1e-12, rtol=1e-12)


@every
@pytest.mark.stack
def test_in_a_backbone(kind):
    torch.manual_seed(0)
    # ganglion layers in every stage
    connections = dict(starts=0, aggregator=AGGREGATORS[kind])
    model = SparXMamba(dict(PICO, connections=connections))
    ganglions = [any(sources for sources in stage.sources) for stage in model.stages]
    assert ganglions == [True] * 4
    outs = model(torch.rand(2, 3, 33, 66))
    assert [tuple(out.shape) for out in outs] == [
        (2, 16, 9, 17),
        (2, 24, 5, 9),
        (2, 32, 3, 5),
        (2, 40, 2, 3),
    ]
    sum(out.square().sum() for out in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


@every
def test_no_sources(kind):
    with pytest.raises(ValueError, match='num_sources must be at least 1'):
        build(kind, num_sources=0)


@pytest.mark.parametrize('kind', ['concat', 'value'])
def test_without_attention_nothing_is_far_seeing(kind):
    torch.manual_seed(0)
    plain = build(kind).eval()
    x, sources = maps()
    # no wider than two 3x3 convolutions
    far = [s.clone() for s in sources]
    far[0][:, :, 0, 0] += 1
    norms = [m for m in plain.modules() if isinstance(m, torch.nn.GroupNorm)]
    for norm in norms:
        norm.forward = lambda y: y
    changed = (plain(x, far) != plain(x, sources)).any(1)[0]
    side = 3 if norms else 2
    wanted = torch.zeros(5, 7, dtype=torch.bool)
    wanted[:side, :side] = True
    assert changed.equal(wanted)


@pytest.mark.parametrize('kind', REDUCED)
@pytest.mark.parametrize('reduction', [0, 2.0, (2, 1)])
def test_wrong_reduction(kind, reduction):
    with pytest.raises(
        ValueError, match='reduction of an aggregator must be an int from 1, or in connections'
    ):
        build(kind, reduction=reduction)


@pytest.mark.parametrize('kind', ['SRA', 'CSA', 'SCA'])
@pytest.mark.parametrize('num_heads', [0, 3])
def test_wrong_heads(kind, num_heads):
    with pytest.raises(ValueError, match='divide the 8 channels, got [03]$'):
        build(kind, num_heads=num_heads)
    with pytest.raises(ValueError, match='num_heads must be an int, .* got 2.0'):
        build(kind, num_heads=2.0)


@pytest.mark.parametrize('scales', [(), (2, 0)])
def test_wrong_scales(scales):
    with pytest.raises(ValueError, match='scales must be one number or more'):
        build('CSA', scales=scales)
