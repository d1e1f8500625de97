"""Activation checkpointing."""

import pytest
import torch
from torch import nn

from sparx_mm.layers import DropPath, checkpoint_layer


class _Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1),
            nn.BatchNorm2d(3, momentum=None),
            nn.Conv2d(3, 3, 1),
            nn.BatchNorm2d(3),
            DropPath(0.5),
        )

    def forward(self, x, sources):
        return self.body(x) + sum(sources)


@pytest.mark.parametrize('autocast', [False, True])
def test_equals_a_plain_run(autocast):
    torch.manual_seed(0)
    layer = _Layer().train()
    start = {k: v.clone() for k, v in layer.state_dict().items()}
    runs = []
    for run in (lambda x, s: layer(x, s), lambda x, s: checkpoint_layer(layer, x, s)):
        layer.load_state_dict(start)
        layer.zero_grad()
        torch.manual_seed(1)
        x = torch.randn(8, 3, 4, 4, requires_grad=True)
        source = torch.randn(8, 3, 4, 4, requires_grad=True)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss = run(x, [source]).square().mean()
        loss.backward()
        runs.append(
            dict(
                layer.state_dict(),
                x=x.grad,
                source=source.grad,
                **{f'{name}.grad': p.grad.clone() for name, p in layer.named_parameters()},
            )
        )
        runs[-1] = {k: v.clone() for k, v in runs[-1].items()}
    plain, checkpointed = runs
    assert plain.keys() == checkpointed.keys()
    for key in plain:
        assert plain[key].equal(checkpointed[key]), key
    assert plain['body.1.num_batches_tracked'] == 1
    assert not plain['body.1.running_mean'].equal(start['body.1.running_mean'])
