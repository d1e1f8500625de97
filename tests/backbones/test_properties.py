"""Any arch that the rules allow runs on images of any size, each image by itself."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba

DRAW = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
FEW = settings(max_examples=8, **DRAW)
MANY = settings(max_examples=150, **DRAW)
sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@st.composite
def archs(draw):
    """A family and a small arch, with any connection rule that its depths allow."""
    family = draw(st.sampled_from((SparXMamba, SparXSwin, VMamba, VSSD, GroupMamba, PlainMamba)))
    if family is PlainMamba:
        num_layers = draw(st.integers(1, 6))
        convolved = draw(st.sets(st.integers(0, num_layers - 1)))
        return family, dict(
            embed_dims=draw(st.sampled_from((8, 16, 24))),
            num_layers=num_layers,
            convolved_layers=sorted(convolved),
            stem=dict(width=8, grid=draw(st.integers(1, 6))),
        )
    depths = draw(st.tuples(*[st.integers(1, 4)] * 4))
    arch = dict(embed_dims=draw(st.tuples(*[st.sampled_from((8, 16, 24))] * 4)), depths=depths)
    if family is SparXSwin:
        arch['mixer'] = dict(num_heads=2, window_size=draw(st.integers(1, 5)))
    if family is VSSD:
        arch['base'] = draw(st.sampled_from(('tiny', 'tiny-iccv')))
        arch['mixer'] = dict(num_heads=draw(st.sampled_from((1, 2, 4))))
    if family in (SparXMamba, SparXSwin):
        arch['connections'] = dict(
            strides=draw(st.tuples(*[st.integers(1, 3)] * 4)),
            starts=tuple(draw(st.none() | st.integers(0, depth - 1)) for depth in depths),
            windows=draw(st.tuples(*[st.none() | st.integers(1, 3)] * 4)),
        )
    return family, arch


def check(drawn, size, batch):
    family, arch = drawn
    torch.manual_seed(0)
    model = family(arch).eval()
    images = torch.rand(batch, 3, *size)
    outs = model(images)
    info = model.feature_info
    for dim, reduction, out in zip(info.channels(), info.reduction(), outs, strict=True):
        # halved upwards again and again
        height, width = (-(-side // reduction) for side in size)
        assert out.shape == (batch, dim, height, width)
        assert out.isfinite().all() and out.is_contiguous()
    sum(out.square().mean() for out in outs).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    # an image's maps are the same beside others
    with torch.no_grad():
        for i in range(batch):
            for alone, together in zip(model(images[i : i + 1]), outs):
                # float32 sums in another order
                torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=1e-4)


@pytest.mark.tries('any arch')
@FEW
@given(archs(), sizes, st.integers(1, 3))
def test_a_few(drawn, size, batch):
    check(drawn, size, batch)


@pytest.mark.tries('any arch')
@pytest.mark.faults
@MANY
@given(archs(), sizes, st.integers(1, 3))
def test_many(drawn, size, batch):
    check(drawn, size, batch)
