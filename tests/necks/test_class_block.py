"""The released classifier, from backbone to logits."""

import parity
import pytest
import torch

from sparx_mm import GroupMamba
from sparx_mm.necks import ClassBlock
from sparx_mm.state_dicts import GROUPMAMBA, nest_model


@pytest.mark.slow
def test_the_released_classifier_gives_its_logits():
    """The mean of two linear layers after pooling, one more block and the last norm."""
    state = nest_model(parity.released_state('cls', 't', 'groupmamba'), GROUPMAMBA)
    with torch.device('meta'):
        backbone = GroupMamba(parity.arch_of('cls', 't', 'groupmamba'), out_indices=(3,))
        neck = ClassBlock(448)
        model = torch.nn.ModuleDict(
            dict(
                backbone=backbone,
                neck=neck,
                head=torch.nn.ModuleDict(
                    dict(fc=torch.nn.Linear(448, 1000), fc_dist=torch.nn.Linear(448, 1000))
                ),
            )
        )
    model.load_state_dict(state, strict=True, assign=True)
    model.eval()
    expected = parity.golden('cls_t_224x224', 'groupmamba')['logits']
    image = parity.image('t', 224, 224, 'groupmamba')
    with torch.no_grad():
        for dtype, tolerance in {torch.float64: 5e-6, torch.float32: 2e-4}.items():
            (x,) = neck.to(dtype)(backbone.to(dtype)(image.to(dtype)))
            head = model['head'].to(dtype)
            logits = (head['fc'](x) + head['fc_dist'](x)) / 2
            assert (logits - expected).abs().max() < tolerance, dtype


def test_definition():
    torch.manual_seed(0)
    neck = ClassBlock(8, ratio=2.0).double().eval()
    for norm in (neck.norm, neck.norm1, neck.norm2):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 8, 3, 5, dtype=torch.double)
    t = x.flatten(2).mean(2)[..., None, None]
    t = t + neck.norm1(neck.mixer(t))
    t = t + neck.ffn(neck.norm2(t))
    torch.testing.assert_close(neck((None, x))[0], neck.norm(t)[..., 0, 0])
    torch.testing.assert_close(neck(x)[0], neck.norm(t)[..., 0, 0])
    assert neck.ffn.fc1.weight.shape[0] == 16
    assert {norm.eps for norm in (neck.norm, neck.norm1, neck.norm2)} == {1e-6}


def test_every_parameter_is_trained():
    neck = ClassBlock(16)
    (out,) = neck((torch.randn(3, 16, 2, 2),))
    (out * torch.randn_like(out)).sum().backward()
    # a scale before a norm has a faint gradient, which is there; one position has no scan
    # whose decay or order counts
    without = {name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()}
    assert without <= {'mixer.A_log'}
    assert all(p.grad is not None for p in neck.parameters())


@pytest.mark.parametrize('size', [(1, 1), (2, 7)])
def test_any_size(size):
    assert ClassBlock(8)((torch.randn(2, 8, *size),))[0].shape == (2, 8)
