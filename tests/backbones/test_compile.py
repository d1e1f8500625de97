"""Backbones that are compiled in place: the same results, few kinds of code."""

import copy
import pickle

import pytest
import torch

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba, VMUNetEncoder

FAMILIES = (SparXMamba, SparXSwin, VMamba, VSSD, GroupMamba, PlainMamba, VMUNetEncoder)

TWO_WIDTHS = dict(embed_dims=(16, 24), depths=(1, 3))
ARCHS = {
    'SparXMamba': dict(
        TWO_WIDTHS,
        connections=dict(
            strides=(1, 2), starts=(None, 0), windows=(None, 1), aggregator=dict(reduction=(2, 1))
        ),
        skip_scale=(False, True),
    ),
    # its windows take a compiler longer: one width, shifted and not
    'SparXSwin': dict(
        embed_dims=(24,),
        depths=(2,),
        connections=dict(
            strides=(1,), starts=(0,), windows=(None,), aggregator=dict(reduction=(2,))
        ),
        skip_scale=(False,),
        mixer=dict(num_heads=2, window_size=3),
    ),
    'VMamba': TWO_WIDTHS,
    'GroupMamba': dict(TWO_WIDTHS, ffn=dict(ratio=2)),
    'PlainMamba': dict(embed_dims=24, num_layers=2, convolved_layers=(0,), stem=dict(width=8)),
    # a gate of one hidden channel may reach none
    'VMUNetEncoder': dict(TWO_WIDTHS, base='tiny-cvss', mixer=dict(reduction=2)),
    'VSSD': dict(
        TWO_WIDTHS,
        mixer=(dict(type='NonCausalSSD', num_heads=2), dict(type='Attention', num_heads=3)),
    ),
}
# of images; maps are larger than a window
SIZES = [(72, 88), (48, 96), (60, 60), (104, 52), (80, 84)]


class Backend:
    """Backend that counts what it is given, and runs it as it is."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


def make(family, **kwargs):
    torch.manual_seed(0)
    arch = ARCHS[family.__name__]
    count = arch['num_layers'] if family is PlainMamba else len(arch['depths'])
    return family(arch, out_indices=tuple(range(count)), **kwargs)


def images(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def train_step(model, x):
    """Backpropagate a sum whose gradients do not vanish behind the output norms."""
    torch.manual_seed(2)
    outs = model.train()(x)
    sum((out * torch.randn_like(out)).mean() for out in outs).backward()
    return outs


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    'family, with_cp, backend',
    [
        pytest.param(SparXMamba, False, 'eager', marks=pytest.mark.slow),
        *[
            # with the compiler's own backward pass
            pytest.param(
                family,
                with_cp,
                'aot_eager',
                marks=[pytest.mark.faults, pytest.mark.tries('a backbone that --compile compiles')],
            )
            for family in FAMILIES
            for with_cp in (False, True)
        ],
    ],
)
def test_outputs_and_gradients_are_the_same(family, with_cp, backend):
    plain = make(family, drop_path_rate=0.4, with_cp=with_cp)
    compiled = copy.deepcopy(plain)
    compiled.compile(backend=backend, fullgraph=True, dynamic=True)
    for size in SIZES[:2]:
        outs = [train_step(model, images(*size)) for model in (plain, compiled)]
        for a, b in zip(*outs):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    for (name, a), b in zip(plain.named_parameters(), compiled.named_parameters()):
        assert name == b[0]
        # float32 sums in another order
        assert (a.grad - b[1].grad).abs().max() <= 5e-5 * a.grad.abs().max(), name
    for (name, a), b in zip(plain.named_buffers(), compiled.buffers()):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    'family',
    (
        SparXMamba,
        SparXSwin,
        VSSD,
        *(
            pytest.param(
                family,
                marks=[pytest.mark.faults, pytest.mark.tries('a backbone that --compile compiles')],
            )
            for family in (GroupMamba, PlainMamba)
        ),
    ),
)
def test_sizes_and_rates_need_no_code_of_their_own(family):
    model, backend = make(family, drop_path_rate=0.4).train(), Backend()
    model.compile(backend=backend, fullgraph=True, dynamic=True)
    model(images(*SIZES[0]))
    # each width, with and without a drop path, the windows shifted and not
    assert backend.count <= 4
    for size in SIZES[1:]:
        model(images(*size))
    assert backend.count <= 5


@pytest.mark.faults
@pytest.mark.tries('a backbone that --compile compiles')
@pytest.mark.parametrize(
    'family, name',
    [(family, name) for family in FAMILIES for name in family.arch_zoo],
    ids=lambda v: getattr(v, '__name__', v),
)
def test_no_layer_breaks_the_graph(family, name):
    """Nor do the released archs reach the number of kinds at which torch gives up."""
    if family is PlainMamba:
        narrow, widths = dict(base=name, embed_dims=24), 1
    else:
        narrow, widths = dict(base=name, embed_dims=(24, 32, 40, 48)), 4
    if family in (SparXSwin, VSSD):
        narrow['mixer'] = dict(num_heads=(3, 4, 5, 6))
    model, backend = family(narrow, drop_path_rate=0.2).train(), Backend()
    model.compile(backend=backend, fullgraph=True, dynamic=True)
    outs = model(images(260, 300))
    # each width, the windows shifted and not, and few more: the layer without a drop
    # path, a side that by chance equals a width
    assert widths <= backend.count <= 12
    assert all(out.isfinite().all() for out in outs)


@pytest.mark.slow
def test_copies_are_not_compiled():
    model, backend = make(SparXMamba).eval(), Backend()
    names = list(model.state_dict())
    model.compile(backend=backend)
    assert list(model.state_dict()) == names
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin(images(40, 40))
    assert backend.count == 0
    model(images(40, 40))
    assert backend.count > 0


@pytest.mark.faults
@pytest.mark.tries('a backbone that --compile compiles')
def test_inductor():
    """The code of a machine: one width, trained at two sizes."""
    arch = dict(
        embed_dims=(16,),
        depths=(2,),
        connections=dict(
            strides=(1,), starts=(0,), windows=(None,), aggregator=dict(reduction=(2,))
        ),
        skip_scale=(True,),
    )
    torch.manual_seed(0)
    plain = SparXMamba(arch, out_indices=(0,), norm_eval=True)
    compiled = copy.deepcopy(plain)
    compiled.compile(dynamic=True, fullgraph=True)
    for size in ((68, 76), (96, 48)):
        for a, b in zip(*(train_step(model, images(*size)) for model in (plain, compiled))):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    for (name, a), b in zip(plain.named_parameters(), compiled.parameters()):
        assert (a.grad - b.grad).abs().max() <= 1e-3 * a.grad.abs().max(), name
