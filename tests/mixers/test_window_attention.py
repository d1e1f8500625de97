"""The shifted-window attention mixer."""

from bisect import bisect_right

import pytest
import torch
from torch import nn

from sparx_mm.mixers import ShiftedWindowAttention, window_attention
from sparx_mm.state_dicts import resize_position_table

TABLE = 'relative_position_bias_table'


def make(dim=6, num_heads=2, window_size=4, shifted=False):
    """A mixer in float64 with noticeable biases."""
    mixer = ShiftedWindowAttention(
        dim, num_heads, shifted=shifted, window_size=window_size
    ).double()
    for param in mixer.parameters():
        nn.init.normal_(param)
    return mixer


def groups(size, window, shifted):
    """Of each position along an axis: which ones it may see."""
    shift = window // 2 if shifted and size > window else 0
    starts = list(range(shift or window, size, window))
    return [bisect_right(starts, place) for place in range(size)]


def naive(mixer, x, shifted):
    """Pair by pair, without padding, shifts or windows as tensors."""
    heads, window = mixer.num_heads, mixer.window_size
    height, width = x.shape[2:]
    rows, columns = (groups(s, window, shifted) for s in (height, width))
    # by offset down and to the right: (2w-1, 2w-1, heads)
    table = mixer.relative_position_bias_table.unflatten(0, (2 * window - 1, -1))
    places = [(i, j) for i in range(height) for j in range(width)]
    # (B, 3C, H, W) -> (3, B, heads, d, H, W)
    q, k, v = x.unflatten(1, (3, heads, -1)).transpose(0, 1)
    out = []
    for i, j in places:
        seen = [(a, b) for a, b in places if rows[a] == rows[i] and columns[b] == columns[j]]
        bias = [table[i - a + window - 1, j - b + window - 1] for a, b in seen]
        # (B, heads, seen)
        logits = (
            torch.stack([(q[..., i, j] * k[..., a, b]).sum(-1) for a, b in seen], -1)
            * q.shape[2] ** -0.5
        )
        weights = (logits + torch.stack(bias, -1)).softmax(-1)
        out.append(sum(weights[..., n, None] * v[..., a, b] for n, (a, b) in enumerate(seen)))
    # of each position (B, heads, d) -> (B, C, H, W)
    out = torch.stack(out, -1).flatten(1, 2).unflatten(-1, (height, width))
    return mixer.out_proj(out)


@pytest.mark.parametrize('size', [(1, 1), (3, 2), (4, 4), (2, 9), (5, 7), (8, 12), (13, 4)])
@pytest.mark.parametrize('window', [1, 3, 4])
@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_against_pairs_of_tokens(size, window, shifted, memory_format):
    torch.manual_seed(0)
    mixer = make(window_size=window, shifted=shifted)
    x = torch.randn(2, 18, *size, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    y, wanted = mixer(x), naive(mixer, x, shifted)
    assert y.is_contiguous(memory_format=memory_format)
    inputs = [x, *mixer.parameters()]
    dy = torch.randn_like(y)
    grads, wanted_grads = (torch.autograd.grad(out, inputs, dy) for out in (y, wanted))
    for given, other in zip((y, *grads), (wanted, *wanted_grads)):
        torch.testing.assert_close(given, other, atol=1e-11, rtol=1e-11)


@pytest.mark.stack
@pytest.mark.parametrize('shifted', [False, True])
def test_is_swins_on_several_whole_windows(shifted):
    """With Swin's own weights, those of qkv and of the table as they are."""
    from mmdet.models.backbones.swin import ShiftWindowMSA

    torch.manual_seed(0)
    mixer = make(shifted=shifted)
    swin = ShiftWindowMSA(6, 2, window_size=4, shift_size=2 * int(shifted)).double()
    proj = nn.Conv2d(6, 18, 1).double()
    own = swin.w_msa
    with torch.no_grad():
        own.relative_position_bias_table.copy_(mixer.relative_position_bias_table)
    for conv, linear in ((proj, own.qkv), (mixer.out_proj, own.proj)):
        conv.load_state_dict({'weight': linear.weight[..., None, None], 'bias': linear.bias})
    x = torch.randn(2, 6, 8, 12, dtype=torch.float64)
    wanted = swin(x.flatten(2).transpose(1, 2), (8, 12))
    wanted = wanted.transpose(1, 2).view_as(x)
    torch.testing.assert_close(mixer(proj(x)), wanted)


def reach(mixer, size, place):
    """Positions that an output depends on."""
    x = torch.randn(1, mixer.in_channels, *size, dtype=torch.float64)
    x.requires_grad_()
    mixer(x)[0, :, place[0], place[1]].sum().backward()
    return {tuple(p) for p in x.grad[0].abs().sum(0).nonzero().tolist()}


def area(rows, columns):
    return {(i, j) for i in rows for j in columns}


def test_a_token_sees_its_window_only():
    torch.manual_seed(0)
    size = (10, 9)
    plain, shifted = make(), make(shifted=True)
    assert reach(plain, size, (5, 1)) == area(range(4, 8), range(4))
    # windows of the one lie across those of the other, so two layers connect
    assert reach(shifted, size, (5, 1)) == area(range(2, 6), range(2))
    # the last windows of either are cut off by the map's edge
    assert reach(plain, size, (9, 8)) == area((8, 9), (8,))
    assert reach(shifted, size, (9, 8)) == area(range(6, 10), range(6, 9))
    # no shift along an axis that one window covers
    assert reach(shifted, (4, 9), (0, 4)) == area(range(4), range(2, 6))


def test_windows_are_shifted_by_half_their_side():
    assert ShiftedWindowAttention(8, 2).shift == 0
    assert ShiftedWindowAttention(8, 2, shifted=True).shift == 3
    assert ShiftedWindowAttention(8, 2, window_size=12, shifted=True).shift == 6


def test_parameters():
    mixer = ShiftedWindowAttention(40, 5)
    assert mixer.in_channels == 120
    # the index is not saved, nor any mask
    shapes = {n: tuple(t.shape) for n, t in mixer.state_dict().items()}
    assert shapes == {
        TABLE: (169, 5),
        'out_proj.weight': (40, 40, 1, 1),
        'out_proj.bias': (40,),
    }
    table = mixer.relative_position_bias_table
    assert 0.017 < table.std() < 0.023 and abs(table.mean()) < 3e-3


@pytest.mark.parametrize(
    'kwargs,message',
    [
        (dict(num_heads=3), 'at least 1 and divide the 8 channels, got 3'),
        (dict(num_heads=0), 'at least 1 and divide the 8 channels, got 0'),
        (dict(num_heads=(2, 4)), r'one for each stage, got \(2, 4\)'),
        (dict(num_heads=2.0, window_size=7), 'num_heads must be an int, or in an arch'),
        (dict(num_heads=2, window_size=0), 'window_size must be .* got 0'),
        (dict(num_heads=2, window_size=(7, 7)), r'side of .* got \(7, 7\)'),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ShiftedWindowAttention(8, **kwargs)


@pytest.mark.parametrize('prefix', ['', 'stages.0.mixer.'])
def test_a_table_of_another_window_is_resized(prefix):
    torch.manual_seed(0)
    source, mixer = make(), make(window_size=7)
    holder = mixer
    for name in reversed(prefix.split('.')[:-1]):
        holder = nn.ModuleDict({name: holder})
    file = {prefix + name: v for name, v in source.state_dict().items()}
    before = dict(file)
    holder.load_state_dict(file)
    assert mixer.relative_position_bias_table.equal(
        resize_position_table(source.state_dict()[TABLE], 13**2)
    )
    assert mixer.out_proj.weight.equal(source.out_proj.weight)
    # the caller's own tensors stay
    assert all(file[name] is value for name, value in before.items())


@pytest.mark.parametrize('shape', [(49, 3), (48, 2), (7, 7, 2)])
def test_a_table_that_does_not_fit_is_torchs_error(shape):
    mixer = make(window_size=7)
    file = {**mixer.state_dict(), TABLE: torch.zeros(shape)}
    with pytest.raises(RuntimeError, match=f'size mismatch for {TABLE}'):
        mixer.load_state_dict(file)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    torch.manual_seed(0)
    mixer = ShiftedWindowAttention(32, 2, shifted=True)
    x = torch.randn(1, 96, 9, 15, requires_grad=True)
    wanted = mixer(x)
    with torch.autocast('cpu', dtype):
        # as after a projection
        y = mixer(x.to(dtype))
    assert y.dtype == dtype
    y.float().sum().backward()
    for tensor in (x, *mixer.parameters()):
        assert tensor.grad.dtype == torch.float32
        assert tensor.grad.isfinite().all()
    # three roundings to 8 bits
    torch.testing.assert_close(y.float(), wanted, atol=0.02 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_weights_of_16_bits(dtype):
    mixer = ShiftedWindowAttention(8, 2, shifted=True).to(dtype)
    y = mixer(torch.randn(1, 24, 9, 15, dtype=dtype))
    assert y.dtype == dtype and y.isfinite().all()


def test_a_window_larger_than_a_fused_kernels_block():
    """Tokens whose first keys are all masked."""
    torch.manual_seed(0)
    mixer = make(2, 1, 24, shifted=True).eval()
    x = torch.randn(1, 6, 30, 30, dtype=torch.float64)
    with torch.no_grad():
        wanted = mixer(x)
        y = mixer.float()(x.float())
    torch.testing.assert_close(y.double(), wanted, atol=1e-5, rtol=1e-5)


def test_shapes_alone():
    mixer = ShiftedWindowAttention(8, 2, shifted=True).to('meta')
    x = torch.empty(2, 24, 9, 15, device='meta')
    assert mixer(x).shape == (2, 8, 9, 15)


def test_exports():
    torch.manual_seed(0)
    mixer = ShiftedWindowAttention(8, 2, shifted=True, window_size=3).eval()
    x = torch.randn(1, 24, 5, 7)
    exported = torch.export.export(mixer, (x,)).module()
    torch.testing.assert_close(exported(x), mixer(x))


def test_a_traced_mixer_stays_on_its_device(monkeypatch):
    monkeypatch.setattr(window_attention, 'is_traced', lambda: True)
    mixer = make(shifted=True).to('meta')
    x = torch.empty(2, mixer.in_channels, 9, 10, dtype=torch.float64, device='meta')
    assert mixer(x).shape == (2, 6, 9, 10)
