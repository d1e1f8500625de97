"""Training under bfloat16 autocast loses as training in float32 does."""

import pytest
import torch
import torch.nn.functional as F
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from torch import nn

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba


def losses(family, arch, autocast, steps=6) -> torch.Tensor:
    """Learn 8 images of noise by heart."""
    torch.manual_seed(0)
    network = family(arch)
    head = nn.Linear(network.num_features, 5)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 5
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], 1e-3)
    values = []
    for _ in range(steps):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            scores = head(network(images)[-1].mean((2, 3)))
        loss = F.cross_entropy(scores.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return torch.tensor(values)


@pytest.mark.parametrize(
    'family,arch',
    [
        (SparXMamba, PICO),
        (SparXSwin, PICO_SWIN),
        (VMamba, PICO_VMAMBA),
        (VSSD, PICO_VSSD),
        (GroupMamba, PICO_GROUPMAMBA),
        (PlainMamba, PICO_PLAINMAMBA),
    ],
)
def test_losses_within_a_percent(family, arch):
    wanted = losses(family, arch, autocast=False)
    given = losses(family, arch, autocast=True)
    assert not given.equal(wanted)
    assert wanted[-1] < wanted[0] / 3
    assert ((given - wanted) / wanted).abs().max() < 0.01
