"""Every arch of every family keeps every promise of a backbone."""

import pytest
import torch
from finite_differences import FORMATS, gradient_error

from sparx_mm import (
    VSSD,
    GroupMamba,
    PlainMamba,
    PlainMambaAdapter,
    SparXMamba,
    SparXSwin,
    Vim,
    VMamba,
    VMUNetEncoder,
)
from sparx_mm.backbones.arch import resolve_arch
from sparx_mm.registry import MODELS

FAMILIES = (SparXMamba, SparXSwin, VMamba, VSSD, GroupMamba, PlainMamba, VMUNetEncoder)
# parts that only a width of its own can tell
SMALL = {
    SparXMamba: dict(embed_dims=(24, 32, 40, 48)),
    SparXSwin: dict(embed_dims=(24, 32, 40, 48), mixer=dict(num_heads=(3, 4, 5, 6))),
    VMamba: dict(embed_dims=(24, 32, 40, 48)),
    # a gate with few hidden channels may reach none
    VMUNetEncoder: dict(embed_dims=(24, 32, 40, 48)),
    # of a gate with few hidden channels, one image may reach none
    GroupMamba: dict(embed_dims=(24, 32, 40, 48), mixer=dict(reduction=1)),
    VSSD: dict(embed_dims=(24, 32, 40, 48), mixer=dict(num_heads=(2, 4, 5, 6))),
    # of 8 channels, a ReLU of the stem has its kink within a step of finite differences
    PlainMamba: dict(embed_dims=24, num_layers=4, stem=dict(width=12)),
}
ARCHS = [(family, name) for family in FAMILIES for name in family.arch_zoo]


class Changed(dict):
    """A tiny arch with other parts, by a name for tests."""

    # pytest and a set below ask for it
    __hash__ = object.__hash__

    def __init__(self, name, **changes):
        super().__init__(base='tiny', **changes)
        self.__name__ = name


# what no family has of its own
AVERAGE = dict(aggregator=dict(type='WeightedAverage'))
CHANNELS = dict(alternate=(dict(type='SS2D'), dict(type='ChannelSSM')))
ARCHS += [
    (SparXMamba, Changed('weighted', inputs='weighted', connections=AVERAGE)),
    (
        VMamba,
        Changed(
            'channelscans',
            inputs='weighted',
            mixer=CHANNELS,
            projection=dict(alternate=(dict(type='LinearProjection'), dict(type='Identity'))),
            ffn=None,
        ),
    ),
]
# of the layers that other archs of these have, in other numbers
DEEPER = {(VSSD, name) for name in ('small', 'base', 'small-iccv')}
DEEPER |= {(GroupMamba, name) for name in ('small', 'base')}
DEEPER |= {(PlainMamba, name) for name in ('l2', 'l3')}
# of each family, that whose tests `make test` has in every form
TINY = {family: 'l1' if family is PlainMamba else 'tiny' for family in FAMILIES}
every = pytest.mark.parametrize(
    'family, name',
    [pytest.param(*arch, marks=[pytest.mark.faults] if arch in DEEPER else []) for arch in ARCHS],
    ids=lambda v: getattr(v, '__name__', v),
)


def every_with(option, value, of_tiny):
    """Parametrize every arch with a value of an option, and the tiny ones with another."""
    rows = [pytest.param(*row.values, value, marks=row.marks) for row in every.args[1]]
    rows += [(family, tiny, of_tiny) for family, tiny in TINY.items()]
    return pytest.mark.parametrize(f'family, name, {option}', rows, ids=every.kwargs['ids'])


def small(family, name, **kwargs):
    """A backbone of all layers of an arch, each of few channels."""
    torch.manual_seed(0)
    # the deepest stages have more layers of a kind that is there already
    arch = dict(base=name, **SMALL[family])
    if family is not PlainMamba:
        depths = resolve_arch(name, family.arch_zoo, family.arch_defaults)['depths']
        arch['depths'] = tuple(min(depth, 9) for depth in depths)
    # batch norms of an untrained network on maps of one pixel say nothing
    return family(arch, **dict(norm_eval=True, **kwargs))


def images(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(*(shape or (2, 3, 36, 44)), generator=generator)


def train_step(model, x):
    """Backpropagate a sum whose gradients do not vanish behind the output norms."""
    torch.manual_seed(2)
    outs = model.train()(x)
    sum((out * torch.randn_like(out)).mean() for out in outs).backward()
    return outs


@pytest.mark.tries('a batch of one image in the batch norm')
@pytest.mark.parametrize('tokens', [False, True], ids=['maps', 'tokens'])
@pytest.mark.parametrize('layout', FORMATS)
@pytest.mark.parametrize(
    'family, name',
    [
        pytest.param(*arch, marks=[] if arch[1] in TINY.values() else pytest.mark.faults)
        for arch in ARCHS
    ],
    ids=lambda v: getattr(v, '__name__', v),
)
def test_gradients_of_one_image(family, name, layout, tokens):
    """In train mode, where torch's batch norm takes gradients of tokens wrongly."""
    model = small(family, name).double()
    model.norm_eval = False
    model.train()
    x = images(1, 3, 68, 72).double().contiguous(memory_format=FORMATS[layout])
    # the rounding of a difference in float64
    assert gradient_error(lambda: model(x), model, tokens) < 1e-5


def test_no_family_is_left_out():
    registered = {cls for cls in MODELS.module_dict.values() if hasattr(cls, 'arch_zoo')}
    # whose promises are in test_plainmamba_adapter.py and, because it returns no maps,
    # in test_vim.py
    assert registered == {*FAMILIES, PlainMambaAdapter, Vim}


@every
def test_full_size_shapes(family, name):
    """Channels and strides of the arch itself, without arithmetic."""
    with torch.device('meta'):
        model = family(name)
        outs = model(torch.empty(2, 3, 64, 96))
    dims, strides = model.arch['embed_dims'], (4, 8, 16, 32)
    if family is PlainMamba:
        dims, strides = [dims] * 4, [16] * 4
    if family is VMUNetEncoder:
        # the inputs of its stages, and the last map
        dims, strides = [*dims, dims[-1]], (4, 8, 16, 32, 32)
    assert [tuple(out.shape) for out in outs] == [
        (2, dim, 64 // stride, 96 // stride) for dim, stride in zip(dims, strides)
    ]
    assert all(out.is_contiguous() for out in outs)


@every
def test_every_parameter_is_trained(family, name):
    model = small(family, name)
    # one image, as large batches do not fit a detector
    outs = train_step(model, images(1, 3, 36, 44))
    assert all(out.isfinite().all() for out in outs)
    for parameter_name, param in model.named_parameters():
        assert param.grad is not None, parameter_name
        assert param.grad.isfinite().all() and param.grad.any(), parameter_name


@pytest.mark.slow
@every_with('out_indices', (1, 3), of_tiny=(0,))
def test_out_indices(family, name, out_indices):
    whole = small(family, name).eval()
    part = small(family, name, out_indices=out_indices).eval()
    missing, _ = part.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    expected = whole(images())
    out_indices = (*out_indices, *[4] * (family is VMUNetEncoder))
    for i, out in zip(out_indices, part(images()), strict=True):
        assert out.equal(expected[i])
    train_step(part, images())
    assert all(param.grad is not None for param in part.parameters())


@pytest.mark.slow
@every_with('frozen_stages', 2, of_tiny=0)
def test_frozen_stages(family, name, frozen_stages):
    model = small(family, name, frozen_stages=frozen_stages)
    # images need no gradient, as in training: torch's own GroupNorm crashes behind them
    train_step(model, images())

    def is_frozen(parameter_name):
        part, index = parameter_name.split('.')[:2]
        if part == 'stem':
            return True
        # that of a backbone without stages
        index = 3 if index == 'last' else index
        # downsampling 0 leads into stage 1
        return int(index) + (part == 'downsamples') < frozen_stages

    for parameter_name, param in model.named_parameters():
        assert (param.grad is None) == is_frozen(parameter_name), parameter_name


@every
def test_checkpointed_activations_change_nothing(family, name):
    models = [small(family, name, drop_path_rate=0.4, with_cp=with_cp) for with_cp in (False, True)]
    for model in models:
        train_step(model, images())
    for (parameter_name, a), b in zip(models[0].named_parameters(), models[1].parameters()):
        assert a.grad.equal(b.grad), parameter_name


@every
def test_depths_of_parameters(family, name):
    model = small(family, name)
    names = dict(model.named_parameters())
    depths = {model.get_layer_depth(n) for n in names}
    num_depths = len(list(model._iterate_layers())) + 2
    # the last one is that of output norms
    used = num_depths - (family is VMUNetEncoder)
    assert depths == {(depth, num_depths) for depth in range(used)}
