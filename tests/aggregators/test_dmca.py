"""The Dynamic Multi-layer Channel Aggregator."""

import math

import pytest
import torch

from sparx_mm.aggregators import DMCA, channel_attention


def _maps(num, dim=12, height=5, width=7):
    return [torch.randn(2, dim, height, width) for _ in range(num)]


@pytest.mark.parametrize('reduction', [1, 2, 4, 8])
@pytest.mark.parametrize('num_sources', [1, 3])
@pytest.mark.parametrize('out_channels', [24, 25, 26, 36])
def test_shapes_and_gradients(reduction, num_sources, out_channels):
    dmca = DMCA(12, num_sources, out_channels, reduction, 'learnable')
    x, *sources = _maps(1 + num_sources)
    out = dmca(x, sources)
    assert out.shape == (2, out_channels, 5, 7)
    out.square().sum().backward()
    assert all(p.grad is not None for p in dmca.parameters())


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 1), (3, 16)])
def test_small_maps(size):
    dmca = DMCA(8, 2, 16, reduction=8).eval()
    x, *sources = _maps(3, 8, *size)
    assert dmca(x, sources).shape == (2, 16, *size)


def test_channel_attention():
    q, k, v = (torch.randn(2, 8, 3, 3, dtype=torch.float64) for _ in range(3))
    v = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    for scale in (None, torch.tensor([0.7])):
        out = channel_attention(q, k, v, 4, scale)
        factor = 1 / math.sqrt(9) if scale is None else 0.7
        for b in range(2):
            for group in range(4):
                channels = slice(2 * group, 2 * group + 2)
                logits = torch.einsum('chw,dhw->cd', q[b, channels], k[b, channels])
                weights = (factor * logits).exp()
                weights /= weights.sum(1, keepdim=True)
                expected = torch.einsum('cd,dhw->chw', weights, v[b, channels])
                # 0.7 is a float32
                torch.testing.assert_close(out[b, channels], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('out_channels', [24, 25, 26])
def test_memory_format_is_kept(out_channels):
    torch.manual_seed(0)
    dmca = DMCA(12, 2, out_channels, reduction=2).eval().double()
    x, *sources = (m.double() for m in _maps(3))
    wanted = dmca(x, sources)
    assert wanted.is_contiguous()
    layout = torch.channels_last
    given = dmca(x.to(memory_format=layout), [s.to(memory_format=layout) for s in sources])
    assert given.is_contiguous(memory_format=layout)
    torch.testing.assert_close(given, wanted, atol=1e-12, rtol=1e-12)


def test_maps_are_shuffled_before_they_are_fused():
    dmca = DMCA(8, 1, 24).double()
    for conv in (dmca.fuse[0], dmca.fuse[2]):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    # nothing but the shuffle and GELU: each channel to itself
    dmca.fuse[0].weight.data[:, :, 1, 1] = 1
    dmca.fuse[2].weight.data[..., 0, 0] = torch.eye(8).repeat(3, 1)
    maps = torch.arange(24.0).double().view(1, 24, 1, 1) + 100
    maps = maps.expand(2, 24, 3, 5).chunk(3, dim=1)
    out = dmca.fuse(*maps)
    # beside its neighbours in the same map before, beside the others' after
    wanted = 100 + torch.arange(24.0).double().view(8, 3).t().flatten()
    torch.testing.assert_close(out[0, :, 1, 2], wanted)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_channel_attention_under_autocast(dtype):
    torch.manual_seed(0)
    # sums of 4096 products are beyond float16's range
    q, k, v = (torch.randn(2, 8, 64, 64).to(dtype) for _ in range(3))
    q, k = 8 * q, 8 * k
    scale = torch.tensor([2e-4])
    seen = []
    softmax = torch.Tensor.softmax

    def watch(logits, dim):
        seen.append((logits, softmax(logits, dim)))
        return seen[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, 'softmax', watch)
        with torch.autocast('cpu', dtype):
            out = channel_attention(q, k, v, 4, scale)
    ((logits, attention),) = seen
    assert logits.dtype == attention.dtype == torch.float32
    grouped = [t.double().flatten(2).unflatten(1, (4, -1)) for t in (q, k, v)]
    wanted = grouped[0] @ grouped[1].transpose(-2, -1) * scale
    # float32 sums; 8 bits would be off by a hundredth
    torch.testing.assert_close(logits.double(), wanted, atol=1e-5, rtol=1e-5)
    wanted = wanted.softmax(-1)
    torch.testing.assert_close(attention.double(), wanted, atol=2e-6, rtol=0)
    # the weighted sum may be of 16 bits
    assert out.dtype == dtype
    wanted = (wanted @ grouped[2]).view(v.shape)
    error = (out.double() - wanted).abs().max()
    assert error <= 2 * torch.finfo(dtype).eps * wanted.abs().max()


def test_scale():
    assert DMCA(8, 1, 16).scale is None
    learnable = DMCA(8, 1, 16, attn_scale='learnable').scale
    assert learnable.shape == (1,)
    assert math.isclose(learnable.item(), 0.0309877, rel_tol=1e-5)


def test_a_full_size_query_replaces_x():
    # where the reduction changes no size, x reaches the output through q
    # alone; else also directly
    torch.manual_seed(0)
    for reduction, size, direct in ((1, 4, False), (2, 1, False), (2, 4, True)):
        dmca = DMCA(8, 1, 16, reduction).eval()
        x, source = _maps(2, 8, size, size)
        before = dmca(x, [source])
        torch.nn.init.zeros_(dmca.q[1].weight)
        silent = dmca(x, [source])
        assert not before.equal(silent)
        other = dmca(torch.randn_like(x), [source])
        assert other.equal(silent) != direct


def test_without_skip_x_reaches_the_output_through_the_attention_alone():
    torch.manual_seed(0)
    for reduction in (1, 2):
        dmca = DMCA(8, 1, 16, reduction, skip=False).eval()
        x, source = _maps(2, 8)
        other = torch.randn_like(x)
        assert not dmca(x, [source]).equal(dmca(other, [source]))
        # constant queries, and so a constant attention map
        torch.nn.init.zeros_(dmca.q[1].weight)
        assert dmca(x, [source]).equal(dmca(other, [source]))


def test_missing_channels_are_means():
    torch.manual_seed(0)
    x, source = _maps(2, 8)
    # 16 = 3 * 5 + 1, 17 = 3 * 5 + 2
    one = DMCA(8, 1, 16).eval()(x, [source])
    torch.testing.assert_close(one[:, 15], one[:, :15].mean(1))
    two = DMCA(8, 1, 17).eval()(x, [source])
    # halves of 15 channels share the middle one
    torch.testing.assert_close(two[:, 15], two[:, :8].mean(1))
    torch.testing.assert_close(two[:, 16], two[:, 7:15].mean(1))


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(dim=10), r'dim must be a multiple of num_groups \(4\), got 10'),
        (dict(num_sources=0), 'num_sources must be at least 1, got 0'),
        (dict(attn_scale='big'), "attn_scale must be 'length' or 'learnable'"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DMCA(**{**dict(dim=8, num_sources=1, out_channels=16), **kwargs})
