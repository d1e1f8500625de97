"""The aggregators against definitions in loops, with every gradient."""

import math

import pytest
import torch
from torch import nn

from sparx_mm.aggregators import CSA, DMCA, SCA, SRA, ConcatAggregator, ValueAggregator

DIM, SOURCES, HEADS = 12, 2, 4


def conv(x, module):
    """Convolution, position by position of the kernel."""
    (kernel, _), (stride, _) = module.kernel_size, module.stride
    x = nn.functional.pad(x, module.padding * 2)
    rows, columns = ((size - kernel) // stride + 1 for size in x.shape[2:])
    # (out, in of a group, k, k) -> (groups, out of a group, ...)
    weight = module.weight.unflatten(0, (module.groups, -1))
    x = x.unflatten(1, (module.groups, -1))
    out = 0
    for i in range(kernel):
        for j in range(kernel):
            seen = x[
                ...,
                i : i + stride * (rows - 1) + 1 : stride,
                j : j + stride * (columns - 1) + 1 : stride,
            ]
            out = out + torch.einsum('goc,bgchw->bgohw', weight[..., i, j], seen)
    out = out.flatten(1, 2)
    return out if module.bias is None else out + _channels(module.bias)


def norm(x, module):
    if isinstance(module, nn.BatchNorm2d):
        x = x - _channels(module.running_mean)
        x = x / _channels(module.running_var + module.eps).sqrt()
    else:
        grouped = x.unflatten(1, (module.num_groups, -1))
        mean = grouped.mean((2, 3, 4), keepdim=True)
        variance = (grouped - mean).square().mean((2, 3, 4), keepdim=True)
        x = ((grouped - mean) / (variance + module.eps).sqrt()).flatten(1, 2)
    return x * _channels(module.weight) + _channels(module.bias)


def _channels(vector):
    return vector.view(-1, 1, 1)


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def conv_norm(x, modules):
    return norm(conv(x, modules[0]), modules[1])


def conv_ffn(x, module):
    x = conv(x, module.fc1)
    return conv(gelu(x + conv(x, module.dwconv)), module.fc2)


def projected(module, sources):
    y = norm(torch.cat(sources, 1), module.source_norm)
    y = gelu(conv_norm(y, module.source_proj))
    return gelu(conv(y, module.source_proj[3]))


def fuse(module, *maps):
    x = torch.cat(maps, 1)
    # each group of the last convolution sees every third channel
    x = torch.cat([x[:, group::3] for group in range(3)], 1)
    x = conv(gelu(conv(x, module[0])), module[2])
    # 25 channels: three groups of 8, and what is missing
    return torch.cat([x, x.mean(1, keepdim=True)], 1)


def reduced(x, module):
    if isinstance(module, nn.Identity):
        return x
    return gelu(conv_norm(x, module))


def attention(q, k, v):
    """Each position of q to the tokens (B, C, N), head by head."""
    out = []
    queries = q.flatten(2).chunk(HEADS, 1)
    for q_, k_, v_ in zip(queries, k.chunk(HEADS, 1), v.chunk(HEADS, 1)):
        logits = torch.einsum('bcn,bcm->bnm', q_, k_)
        weights = (logits / math.sqrt(q_.shape[1])).exp()
        weights = weights / weights.sum(2, keepdim=True)
        out.append(torch.einsum('bnm,bcm->bcn', weights, v_))
    return torch.cat(out, 1).unflatten(2, q.shape[2:])


def means(x, factor):
    """Of windows, those at the border smaller."""
    rows, columns = (range(0, size, factor) for size in x.shape[2:])
    windows = [x[..., i : i + factor, j : j + factor].mean((2, 3)) for i in rows for j in columns]
    return torch.stack(windows, -1).unflatten(-1, (len(rows), len(columns)))


def enlarge(x, size):
    """Bilinear interpolation between the centres of positions."""
    for axis, length in zip((2, 3), size):
        short = x.shape[axis]
        lines = []
        for i in range(length):
            place = max((i + 0.5) * short / length - 0.5, 0)
            low = math.floor(place)
            high = min(low + 1, short - 1)
            lines.append(
                x.select(axis, low) * (1 - place + low) + x.select(axis, high) * (place - low)
            )
        x = torch.stack(lines, axis)
    return x


def naive_dmca(m, x, sources):
    key, value = projected(m, sources).chunk(2, 1)
    q = conv_norm(reduced(x, m.q[0]), m.q[1:])
    k = conv_norm(reduced(key, m.k[0]), m.k[1:])
    v = conv_norm(value, m.v)
    out = []
    for q_, k_, v_ in zip(q.chunk(4, 1), k.chunk(4, 1), v.chunk(4, 1)):
        logits = torch.einsum('bchw,bdhw->bcd', q_, k_) * m.scale
        weights = logits.exp() / logits.exp().sum(2, keepdim=True)
        out.append(torch.einsum('bcd,bdhw->bchw', weights, v_))
    z = torch.cat(out, 1)
    if m.skip:
        return fuse(m.fuse, q if q.shape == x.shape else x, z, v)
    return conv(gelu(conv(z, m.fuse[0])), m.fuse[2])


def naive_concat(m, x, sources):
    return conv_ffn(torch.cat([x, *sources], 1), m.fuse)


def naive_value(m, x, sources):
    v = conv_norm(projected(m, sources), m.v)
    return conv_ffn(torch.cat([conv_norm(x, m.q), v], 1), m.fuse)


def naive_sra(m, x, sources):

    def regions(x, module):
        if isinstance(module, nn.Identity):
            return x
        side = module[0].kernel_size[0]
        height, width = (math.ceil(s / side) * side for s in x.shape[2:])
        padded = x.new_zeros(*x.shape[:2], height, width)
        padded[..., : x.shape[2], : x.shape[3]] = x
        return conv_norm(padded, module)

    key, value = projected(m, sources).chunk(2, 1)
    k = conv_norm(regions(key, m.k[0]), m.k[1:])
    v = conv_norm(value, m.v)
    z = attention(conv_norm(x, m.q), k.flatten(2), regions(v, m.v_reducer).flatten(2))
    return fuse(m.fuse, x, z, v)


def naive_csa(m, x, sources):

    def tokens(x):
        return torch.cat([means(x, s).flatten(2) for s in (1, 2, 4)], 2)

    key, value = projected(m, sources).chunk(2, 1)
    v = conv_norm(value, m.v)
    q = conv_norm(means(x, m.reduction), m.q)
    k = conv_norm(means(key, m.reduction), m.k)
    z = attention(q, tokens(k), tokens(means(v, m.reduction)))
    return fuse(m.fuse, x, enlarge(z, x.shape[2:]), v)


def naive_sca(m, x, sources):
    keys, values = [], []
    weights = zip(
        *(
            t.chunk(SOURCES)
            for t in (
                m.source_norm.weight,
                m.source_norm.bias,
                m.source_kv.weight,
                m.source_kv.bias,
            )
        )
    )
    normed, projections = [], []
    for source, (scale, shift, weight, bias) in zip(sources, weights):
        mean = source.mean((1, 2, 3), keepdim=True)
        variance = (source - mean).square().mean((1, 2, 3), keepdim=True)
        source = (source - mean) / (variance + m.source_norm.eps).sqrt()
        normed.append(source * _channels(scale) + _channels(shift))
        projections.append((weight, bias))
    merged = reduced(torch.cat(normed, 1), m.source_merge).chunk(SOURCES, 1)
    projections.append((m.kv.weight, m.kv.bias))
    for y, (weight, bias) in zip([*merged, x], projections):
        both = torch.einsum('oc,bcn->bon', weight[..., 0, 0], y.flatten(2))
        key, value = (both + bias[:, None]).chunk(2, 1)
        keys.append(key)
        values.append(value)
    z = attention(conv(x, m.q), torch.cat(keys, 2), torch.cat(values, 2))
    return conv(x + conv(z, m.proj), m.out_proj)


CASES = {
    'DMCA': (DMCA, naive_dmca, dict(attn_scale='learnable')),
    'DMCA without skip': (DMCA, naive_dmca, dict(attn_scale='learnable', skip=False)),
    'concat': (ConcatAggregator, naive_concat, {}),
    'value': (ValueAggregator, naive_value, {}),
    'SRA': (SRA, naive_sra, dict(num_heads=HEADS)),
    'CSA': (CSA, naive_csa, dict(num_heads=HEADS)),
    'SCA': (SCA, naive_sca, dict(num_heads=HEADS)),
}
UNREDUCED = ('concat', 'value')


def randomise(module):
    """Noticeable weights and statistics, in float64."""
    module.double().eval()
    for name, tensor in module.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.7)
    return module


@pytest.mark.parametrize('size', [(5, 7), (1, 3)])
@pytest.mark.parametrize(
    'case, reduction',
    [(case, r) for case in CASES for r in ((1,) if case in UNREDUCED else (1, 2, 4))],
)
def test_output_and_gradients(case, reduction, size):
    torch.manual_seed(0)
    kind, naive, options = CASES[case]
    if case not in UNREDUCED:
        options = dict(options, reduction=reduction)
    module = randomise(kind(DIM, SOURCES, 25, **options))
    maps = torch.randn(1 + SOURCES, 2, DIM, *size, dtype=torch.float64)
    x, *sources = maps.unbind()
    read = [*module.parameters(), x, *sources]
    for tensor in read:
        tensor.requires_grad_()
    weights = torch.randn(2, 25, *size, dtype=torch.float64)
    outs, grads = [], []
    for function in (module, lambda *args: naive(module, *args)):
        outs.append(function(x, sources))
        grads.append(torch.autograd.grad((outs[-1] * weights).sum(), read))
    torch.testing.assert_close(outs[0], outs[1], atol=1e-10, rtol=1e-10)
    # 1e-10 of sums of hundreds of terms around 1
    torch.testing.assert_close(grads[0], grads[1], atol=1e-9, rtol=1e-9)
    # of a single token, queries and keys do not matter
    if size == (5, 7):
        assert all(grad.abs().max() > 0 for grad in grads[0])
