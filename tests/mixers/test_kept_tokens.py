"""Mixers of kept tokens, against a walk over all positions of the map."""

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.kernels.selective_scan.reference import selective_scan
from sparx_mm.kernels.ss2d.orders import snake_orders
from sparx_mm.layers import KeptTokens
from sparx_mm.mixers import BidirectionalMamba, SnakeScan
from sparx_mm.mixers.snake_scan import snake_moves

HEIGHT, WIDTH = 5, 4
LENGTH = HEIGHT * WIDTH
# rounding in float64, of values up to some tens
TOLERANCE = 1e-11


def make_kept(gap, count=9, batch=2, size=(HEIGHT, WIDTH)):
    """Keep tokens of each image, others of each."""
    length = size[0] * size[1]
    positions = torch.rand(batch, length).argsort(1)[:, :count].sort(1).values
    return KeptTokens(positions, torch.empty(batch, 1, *size), gap)


def make_mixer(kind, **options):
    torch.manual_seed(0)
    mixer = kind(8, d_state=3, **options).double()
    # steps long enough that a gap is felt
    for name, parameter in mixer.named_parameters():
        if name.endswith('dt_bias'):
            parameter.data.uniform_(-1, 1)
    return mixer


def last_kept(is_kept):
    """For each position, the last one of (L,) before or at it that is kept, else the first."""
    places = is_kept.nonzero().flatten().tolist()
    return [max([p for p in places if p <= t], default=places[0]) for t in range(len(is_kept))]


def scan_places(u, delta, B, C, D, A, is_there, gap):
    """Scan one sequence (D, L), from place to place; only at some is a token there."""
    delta = delta.clone()
    for t in range(u.shape[1]):
        if not is_there[t]:
            # of the last token; before the first one there is no state
            delta[:, t] = delta[:, t - 1] if t and gap == 'decay' else 0
    y = selective_scan(
        *(t.unsqueeze(0) for t in (u * is_there, delta)), A, *(t.unsqueeze(0) for t in (B, C)), D
    )
    return y[0] * is_there


def walk_snakes(mixer, x, kept):
    """Compute the sum of `SnakeScan`'s scans on a map, with zeros where no token is kept."""
    x, _ = x.chunk(2, 1)
    x = F.silu(mixer.conv(kept.scatter(x)))
    weight = mixer.x_proj_weight.squeeze(2)
    rank, N = mixer.dt_weight.shape[2], mixer.d_state
    p = torch.einsum('rd,bdhw->brhw', weight, x).flatten(2)
    delta = F.softplus(mixer.dt_weight[0] @ p[:, :rank] + 2 * mixer.dt_bias[0, :, None])
    moves = mixer.direction_Bs[snake_moves(HEIGHT, WIDTH)].transpose(1, 2)
    out = torch.zeros_like(x.flatten(2))
    for b, positions in enumerate(kept.positions):
        is_kept = torch.zeros(LENGTH).index_fill(0, positions, 1)
        read = last_kept(is_kept)
        for way, order in enumerate(snake_orders(HEIGHT, WIDTH)):
            y = scan_places(
                x[b].flatten(1)[:, order],
                delta[b][:, read],
                p[b, rank : rank + N][:, read] + moves[way],
                p[b, rank + N :][:, read],
                mixer.D,
                -mixer.A_log.exp(),
                is_kept[order],
                kept.gap,
            )
            out[b] = out[b].index_add(1, order, y)
    return out.view_as(x)


@pytest.mark.parametrize('gap', ['decay', 'copy'])
def test_snakes_walk_all_positions(gap):
    """Outputs and gradients of the input and of all parameters."""
    mixer = make_mixer(SnakeScan, d_conv=3)
    kept = make_kept(gap)
    # kept sets differ, and have gaps of several positions
    assert not kept.positions[0].equal(kept.positions[1])
    assert kept.positions.diff(dim=1).max() > 2
    x = torch.randn(2, mixer.in_channels, 9, 1, dtype=torch.float64, requires_grad=True)
    results = []
    for y in (mixer.mix(x, kept)[1], kept.gather(walk_snakes(mixer, x, kept))):
        cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        inputs = [x, *(p for n, p in mixer.named_parameters() if not n.startswith('out_proj'))]
        results.append([y, *torch.autograd.grad(y, inputs, cotangent.double())])
    for given, wanted in zip(*results, strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(given, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('gap', ['decay', 'copy'])
def test_both_directions_walk_all_positions(gap):
    mixer = make_mixer(BidirectionalMamba)
    kept = make_kept(gap, size=(LENGTH, 1))
    x = torch.randn(2, mixer.in_channels, 9, 1, dtype=torch.float64)
    wanted = 0
    whole = kept.scatter(x.chunk(2, 1)[0]).squeeze(3)
    for scan, flips in zip(mixer.scans, ((), (2,))):
        u = F.silu(scan.conv(whole.flip(flips))[..., :LENGTH])
        p = scan.x_proj_weight.squeeze(2) @ u
        rank = scan.dt_weight.shape[2]
        delta = F.softplus(scan.dt_weight[0] @ p[:, :rank] + scan.dt_bias[0, :, None])
        _, B, C = p.split([rank, 3, 3], 1)
        rows = []
        for b, positions in enumerate(kept.positions):
            there = torch.zeros(LENGTH).index_fill(0, positions, 1).flip(flips and (0,))
            A = -scan.A_log.exp()
            rows.append(scan_places(u[b], delta[b], B[b], C[b], scan.D, A, there, gap))
        wanted = wanted + torch.stack(rows).flip(flips)
    given = mixer.mix(x, kept)[1]
    torch.testing.assert_close(given, kept.gather(wanted.unsqueeze(3)), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('gap', ['decay', 'copy'])
@pytest.mark.parametrize('kind', [SnakeScan, BidirectionalMamba])
def test_all_tokens_kept_are_the_map(kind, gap):
    mixer = make_mixer(kind)
    x = torch.randn(2, mixer.in_channels, HEIGHT, WIDTH, dtype=torch.float64)
    kept = KeptTokens(torch.arange(LENGTH).expand(2, -1), x, gap)
    # (B, C, H, W) -> (B, C, L, 1)
    given = mixer.mix(x.flatten(2).unsqueeze(3), kept)
    for one, wanted in zip(given, mixer.mix(x)):
        torch.testing.assert_close(one.view_as(wanted), wanted, rtol=0, atol=TOLERANCE)


def test_copied_states_are_those_without_the_other_tokens():
    """Where a convolution sees no neighbours, and a step not which tokens were left out."""
    mixer = make_mixer(BidirectionalMamba, d_conv=1)
    x = torch.randn(2, mixer.in_channels, 9, 1, dtype=torch.float64)
    removed = mixer(x)
    copied, decayed = (
        mixer.mix(x, make_kept(gap, size=(LENGTH, 1)))[0] for gap in ('copy', 'decay')
    )
    torch.testing.assert_close(copied, removed, rtol=0, atol=TOLERANCE)
    assert (decayed - removed).abs().max() > 1e-3


def test_an_unknown_gap_is_named():
    with pytest.raises(ValueError, match="gap must be one of .*'decay', 'copy'.*got 'keep'"):
        make_kept('keep')
