"""The scan over channels beside a loop over them."""

import pytest
import torch
import torch.nn.functional as F

from sparx_mm.kernels import selective_scan
from sparx_mm.mixers import ChannelSSM, channel_ssm


def loop(mixer, v, channels):
    """Map the values of positions, (positions, C), channel by channel."""
    near = F.pad(v, (1, 1))
    kernel = mixer.in_conv.weight.squeeze(1)
    a = [F.silu(near[:, c : c + 3] @ kernel.T + mixer.embedding[c]) for c in range(channels)]
    total = [0] * channels
    for k, order in enumerate((range(channels), reversed(range(channels)))):
        rank, width = mixer.dt_weight.shape[-1], a[0].shape[1]
        rates = mixer.A_log.exp().view(2, width)[k]
        h = torch.zeros_like(a[0])
        for c in order:
            p = a[c] @ mixer.x_proj_weight.view(2, rank + 2, width)[k].T
            dt = F.softplus(p[:, :rank] @ mixer.dt_weight[k].T + mixer.dt_bias[k])
            h = torch.exp(-dt * rates) * h + dt * p[:, rank : rank + 1] * a[c]
            total[c] = total[c] + p[:, rank + 1 :] * h + mixer.D.view(2, width)[k] * a[c]
    gate = F.silu(v.unsqueeze(-1) * mixer.gate_conv.weight.flatten() + mixer.gate_conv.bias)
    out = gate * torch.stack(total, dim=1)
    return out @ mixer.out_conv.weight.flatten() + mixer.out_conv.bias


@pytest.mark.parametrize('channels', [1, 2, 70])
def test_output_and_gradients_of_a_loop(channels):
    torch.manual_seed(0)
    mixer = ChannelSSM(channels, width=4, dt_rank=2).double()
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter)
    # more than one tile of positions
    x = torch.randn(2, channels, 3, 7, dtype=torch.float64, requires_grad=True)
    # (B, C, H, W) -> (B*H*W, C)
    values = x.permute(0, 2, 3, 1).flatten(0, 2)
    wanted = loop(mixer, values, channels).view(2, 3, 7, channels).permute(0, 3, 1, 2)
    given = mixer(x)
    torch.testing.assert_close(given, wanted, atol=1e-11, rtol=1e-11)
    cotangent, read = torch.randn_like(given), [x, *mixer.parameters()]
    for a, b in zip(*(torch.autograd.grad(y, read, cotangent) for y in (given, wanted))):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_positions_do_not_see_each_other():
    mixer = ChannelSSM(6).eval()
    x = torch.randn(1, 6, 4, 5)
    torch.testing.assert_close(mixer(x)[..., 1:3, 2:], mixer(x[..., 1:3, 2:]))


def test_maps_of_all_sizes_scan_as_many_channels(monkeypatch):
    """On a GPU another number is another kernel to compile, in seconds."""
    channels = set()

    def scan(u, *others, **options):
        channels.add(u.shape[1])
        return selective_scan(u, *others, **options)

    monkeypatch.setattr(channel_ssm, 'selective_scan', scan)
    mixer = ChannelSSM(6)
    for size in ((1, 1), (4, 4), (7, 9)):
        mixer(torch.randn(2, 6, *size))
    assert len(channels) == 1


@pytest.mark.parametrize('width', [0, 2.0, '8'])
def test_wrong_width(width):
    with pytest.raises(ValueError, match='width must be an int from 1, got'):
        ChannelSSM(8, width=width)
