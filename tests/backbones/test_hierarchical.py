"""The options of a backbone."""

import copy
import functools
import math

import pytest
import torch
from archs import PICO, PICO_SWIN, PICO_VMAMBA, learnable
from interpreted import needs_interpreter
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparx_mm import SparXMamba, SparXSwin, VMamba
from sparx_mm.backbones.connections import STAGE_INPUT
from sparx_mm.backbones.hierarchical import Stage
from sparx_mm.kernels.ss2d import torch as ss2d_torch
from sparx_mm.kernels.testing import run_backend
from sparx_mm.layers import LayerNorm2d, depthwise
from sparx_mm.mixers import SS2D


def _model(arch=PICO, **kwargs):
    torch.manual_seed(0)
    return SparXMamba(arch, **kwargs)


def _images(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*(shape or (2, 3, 64, 48)), generator=generator)


def test_layers_read_what_the_plan_says():
    read = []

    class Spy(nn.Module):
        def __init__(self, index):
            super().__init__()
            self.index = index

        def forward(self, x, sources, earlier):
            assert not earlier
            read.append([int(s) for s in sources])
            return torch.tensor(self.index)

    sources = [(STAGE_INPUT,), (), (1, 0), (STAGE_INPUT, 2)]
    stage = Stage([Spy(i) for i in range(4)], sources)
    assert stage(torch.tensor(99)) == 3
    assert read == [[99], [], [1, 0], [99, 2]]


@pytest.mark.parametrize('out_indices', [(0,), (3,), (1, 3), (0, 1, 2, 3)])
def test_out_indices(out_indices):
    expected = _model().eval()(_images())
    model = _model()
    weights = model.state_dict()
    model = _model(out_indices=out_indices).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not missing
    later = tuple(
        f'{part}.{i}.'
        for part, first in (('stages', 1), ('downsamples', 0))
        for i in range(out_indices[-1] + first, 4)
    )
    assert all(key.startswith(('norms.', *later)) for key in unexpected)
    outs = model(_images())
    assert len(outs) == len(out_indices)
    for i, out in zip(out_indices, outs):
        assert out.equal(expected[i])
    assert set(model.norms) == {str(i) for i in out_indices}


@pytest.mark.parametrize('out_indices', [(0,), (0, 1), (3,), (0, 3)])
def test_no_unused_parameters(out_indices):
    model = _model(learnable(PICO), out_indices=out_indices).train()
    sum(out.square().mean() for out in model(_images())).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    'given,stages', [(2, (2,)), (-1, (3,)), ([-2, -1], (2, 3)), ((0, -1), (0, 3))]
)
def test_out_indices_as_a_number_and_from_the_end(given, stages):
    assert _model(out_indices=given).out_indices == stages


@pytest.mark.parametrize('out_indices', [(), (4,), -5, (-1, 0), (1, 0), (2, 2)])
def test_wrong_out_indices(out_indices):
    with pytest.raises(ValueError, match='ascending, distinct and in'):
        _model(out_indices=out_indices)


@pytest.mark.parametrize('frozen_stages', range(-1, 5))
def test_frozen_stages(frozen_stages):
    model = _model(frozen_stages=frozen_stages)
    model.train()
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    images = _images().requires_grad_()
    sum(out.square().mean() for out in model(images)).backward()

    def frozen(name):
        part, index = name.split('.')[:2]
        if part == 'stem':
            return frozen_stages >= 0
        # downsampling 0 leads into stage 1
        return int(index) + (part == 'downsamples') < frozen_stages

    for name, param in model.named_parameters():
        assert param.requires_grad != frozen(name), name
        assert (param.grad is None) == frozen(name), name
    for name, buffer in model.named_buffers():
        assert buffer.equal(buffers[name]) == frozen(name), name


@pytest.mark.parametrize('frozen_stages', [-2, 5])
def test_wrong_frozen_stages(frozen_stages):
    with pytest.raises(ValueError, match=r'frozen_stages must be an int in \[-1, 4'):
        _model(frozen_stages=frozen_stages)


@pytest.mark.parametrize('is_new', [True, False])
def test_norm_eval(is_new):
    model = _model(norm_eval=True)
    assert is_new or model.eval().train() is model
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    assert norms and not any(m.training for m in norms)
    assert all(m.weight.requires_grad for m in norms)
    assert model.training and model.stages[0].training
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    model(_images())
    assert all(b.equal(buffers[n]) for n, b in model.named_buffers())


@pytest.mark.parametrize('frozen_stages', [-1, 1])
def test_with_cp(frozen_stages):
    plain = _model(learnable(PICO), drop_path_rate=0.5, frozen_stages=frozen_stages)
    with_cp = copy.deepcopy(plain)
    for stage in with_cp.stages:
        stage.with_cp = True
    assert all(s.with_cp for s in _model(with_cp=True).stages)
    for model in (plain, with_cp):
        torch.manual_seed(2)
        outs = model.train()(_images())
        sum(out.square().mean() for out in outs).backward()
    for (name, a), b in zip(plain.named_parameters(), with_cp.parameters()):
        assert (a.grad is None and b.grad is None) or a.grad.equal(b.grad), name
    for (name, a), b in zip(plain.named_buffers(), with_cp.buffers()):
        assert a.equal(b), name


def test_with_cp_saves_less():
    saved = {}
    for with_cp in (False, True):
        model = _model(with_cp=with_cp).train()
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model(_images())
        saved[with_cp] = total
    assert saved[True] < 0.5 * saved[False]


def test_drop_path_is_a_linear_ramp():
    model = _model(drop_path_rate=0.35)
    rates = [layer.drop_path.drop_prob for stage in model.stages for layer in stage.layers]
    assert len(rates) == sum(PICO['depths']) == 8
    assert rates == pytest.approx([0.05 * i for i in range(8)])
    with pytest.raises(ValueError, match=r'drop_path_rate must be in \[0, 1'):
        _model(drop_path_rate=1.0)


def test_initialisation():
    torch.manual_seed(0)
    model = SparXMamba('tiny')
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            # three standard errors of a standard deviation
            error = 3 * 0.02 / math.sqrt(2 * module.weight.numel())
            assert abs(module.weight.std() - 0.02) < max(error, 1e-3), name
            assert module.bias is None or module.bias.eq(0).all(), name
        elif isinstance(module, (nn.GroupNorm, nn.LayerNorm, _BatchNorm)):
            assert module.weight.eq(1).all() and module.bias.eq(0).all()


def test_norm_cfg():
    model = _model(norm_cfg=dict(type='SyncBN', momentum=0.02))
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    assert len(norms) > 10
    assert all(type(m) is nn.SyncBatchNorm and m.momentum == 0.02 for m in norms)


def test_get_layer_depth():
    model = _model()
    # 8 layers, the stem below and the output norms above them
    expected = {
        'stem.0.weight': 0,
        'stages.0.layers.0.norm1.weight': 1,
        'downsamples.0.0.weight': 2,
        'stages.1.layers.1.mixer.A_log': 3,
        'downsamples.1.1.bias': 4,
        'stages.2.layers.2.proj.q.1.weight': 6,
        'downsamples.2.0.weight': 7,
        'stages.3.layers.1.skip1.bias': 8,
        'norms.0.weight': 9,
        'norms.3.bias': 9,
    }
    names = dict(model.named_parameters())
    for name, depth in expected.items():
        assert name in names
        assert model.get_layer_depth(name) == (depth, 10)
        assert model.get_layer_depth(f'backbone.{name}', 'backbone.') == (depth, 10)
    depths = {model.get_layer_depth(name)[0] for name in names}
    assert depths == set(range(10))
    assert model.get_layer_depth('neck.conv.weight', 'backbone.') == (9, 10)


def test_norm_cfg_that_nobody_takes():
    with pytest.raises(ValueError, match='no part of this VMamba takes a norm_cfg'):
        VMamba(PICO_VMAMBA, norm_cfg=dict(type='BN'))
    # a part's own comes before the backbone's
    arch = dict(PICO, stem=dict(norm_cfg=dict(type='LN2d')))
    model = SparXMamba(arch, norm_cfg=dict(type='SyncBN'))
    assert type(model.stem[1]) is LayerNorm2d
    assert type(model.downsamples[0][1]) is nn.SyncBatchNorm


@pytest.mark.parametrize(
    'arch, message',
    [
        (dict(PICO, embed_dims=(16, 26, 32, 40)), 'dim must be a multiple of'),
        (
            dict(base='tiny', connections=dict(starts=(None, 5, 0, 0))),
            'start must be None or an int in',
        ),
        (dict(PICO, mixer=dict(type='Nothing')), "mixer needs a type .* got 'Nothing'"),
        (dict(PICO, mixer=dict(width=3)), r"mixer SS2D takes no \['width'\]: it takes"),
        (dict(PICO, mixer=dict(dim=3)), r"mixer SS2D gets \['dim'\] from the backbone"),
        (dict(PICO, mixer=dict(type='ShiftedWindowAttention')), r"needs \['num_heads'\]"),
        (
            dict(
                PICO,
                embed_dims=(16, 24),
                depths=(1, 2),
                skip_scale=False,
                connections=dict(starts=0),
            ),
            r'must be an int from 1, or in connections.aggregator of .* got \(8, 4, 2, 1\)',
        ),
    ],
)
def test_wrong_parts(arch, message):
    with pytest.raises(ValueError, match=message):
        SparXMamba(arch, out_indices=(0, 1))


def test_another_number_of_stages():
    arch = dict(
        embed_dims=(8, 16),
        depths=(1, 2),
        connections=dict(
            strides=(1, 2), starts=(None, 0), windows=1, aggregator=dict(reduction=(2, 1))
        ),
        skip_scale=(False, True),
    )
    model = SparXMamba(arch, out_indices=(0, 1)).eval()
    outs = model(_images(1, 3, 32, 32))
    assert [tuple(o.shape) for o in outs] == [(1, 8, 8, 8), (1, 16, 4, 4)]


def test_every_value_may_be_one_for_each_stage():
    other = dict(type='ShiftedWindowAttention', num_heads=2, window_size=2)
    model = _model(
        dict(
            PICO,
            mixer=(dict(type='SS2D'), dict(type='SS2D', d_conv=3), other, dict(type='SSM')),
            ffn=(None, dict(type='MLP'), dict(type='ConvFFN'), None),
            norm=(dict(type='LN2d'), *[dict(type='GN', num_groups=1)] * 3),
            out_norm=(None, *[dict(type='LN2d')] * 3),
            downsample=(*[dict(type='ConvDownsample')] * 3, dict(type='PatchMerging')),
            dpe=(True, False, True, False),
        )
    )
    firsts = [stage.layers[0] for stage in model.stages]
    kinds = [type(layer.mixer).__name__ for layer in firsts]
    assert kinds == ['SS2D', 'SS2D', 'ShiftedWindowAttention', 'SSM']
    assert [layer.mixer.conv.kernel_size[0] for layer in firsts[:2]] == [5, 3]
    assert [layer.ffn is None for layer in firsts] == [True, False, False, True]
    assert [type(norm).__name__ for norm in model.norms.values()][:2] == ['Identity', 'LayerNorm2d']
    sum(out.square().mean() for out in model(_images())).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_layers_of_a_stage_alternate():
    shifts = [[layer.mixer.shift for layer in s.layers] for s in SparXSwin('tiny').stages]
    assert shifts == [[0, 3], [0, 3], [0, 3, 0, 3, 0, 3, 0], [0, 3]]
    kinds = dict(alternate=(dict(type='SSM'), dict(type='SS2D', d_conv=3)))
    model = SparXMamba(dict(PICO, mixer=kinds))
    names = [type(layer.mixer).__name__ for layer in model.stages[2].layers]
    assert names == ['SSM', 'SS2D', 'SSM']


def test_copies_agree():
    model = _model().eval()
    twin = copy.deepcopy(model)
    for a, b in zip(model(_images()), twin(_images())):
        assert a.equal(b)


@pytest.fixture(params=['cpu', pytest.param('gpu', marks=needs_interpreter)])
def kernels(request, monkeypatch):
    """Use the kernels of a CPU; or those that a GPU has for norms, with the others' plain torch."""
    if request.param == 'cpu':
        return
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')
    monkeypatch.setattr(SS2D, 'scan', staticmethod(functools.partial(run_backend, ss2d_torch)))
    monkeypatch.setattr(depthwise, 'uses_triton', lambda x: False)


def test_one_change_of_layout(kernels):
    """Convolutions, norms and scans read channels-last maps as they lie."""
    model = _model().eval()
    seen = set()

    def look(module, inputs):
        x = inputs[0]
        # a slice of the aggregator's channels is one, too
        assert x.stride(1) == 1 and x.stride(3) >= x.shape[1], module
        seen.add(type(module).__name__)

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.GroupNorm, nn.LayerNorm, nn.GELU, _BatchNorm)):
            module.register_forward_pre_hook(look)
    assert all(out.is_contiguous() for out in model(_images()))
    assert seen >= {'Conv2d', 'GroupNorm', 'BatchNorm2d', 'LayerNorm2d'}


def test_output_and_gradients_in_the_other_layout():
    """What a GPU without Triton runs: the parts, on maps that are not channels-last."""
    model = _model(norm_eval=True).double().train()

    def run(forward):
        model.zero_grad()
        outs = forward(_images().double())
        sum(out.square().mean() for out in outs).backward()
        return outs, [p.grad for p in model.parameters()]

    def parts(x):
        x = model.stem(x)
        assert x.is_contiguous()
        outs = []
        for i, stage in enumerate(model.stages):
            x = stage(model.downsamples[i - 1](x) if i else x)
            assert x.is_contiguous()
            outs.append(model.norms[str(i)](x))
        return outs

    for given, wanted in zip(run(model), run(parts)):
        for a, b in zip(given, wanted):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@needs_interpreter
@pytest.mark.slow
def test_output_and_gradients_with_a_gpu_s_norms(monkeypatch):
    """Group norms and layer norms alike; no scan, which interpreted takes long."""
    torch.manual_seed(0)
    model = SparXSwin(
        dict(PICO_SWIN, norm=(dict(type='GN', num_groups=1), *[dict(type='LN2d')] * 3))
    )
    images, results = _images(2, 3, 36, 64), []
    for name in ('triton', 'auto'):
        monkeypatch.setenv('SPARX_MM_KERNELS', name)
        model.zero_grad()
        outs = model(images)
        sum(out.square().mean() for out in outs).backward()
        results.append([*outs, *(p.grad for p in model.parameters())])
    largest = max(p.grad.abs().max() for p in model.parameters())
    for given, wanted in zip(*results):
        # of the largest gradient, because some are differences of larger ones
        torch.testing.assert_close(given, wanted, atol=1e-5 * largest, rtol=1e-4)


@pytest.mark.slow
def test_compiles_whole():
    model = _model(norm_eval=True).train()
    compiled = torch.compile(model, backend='aot_eager', fullgraph=True, dynamic=False)
    gradients = []
    for function in (model, compiled):
        model.zero_grad()
        outs = function(_images())
        torch.autograd.backward(outs, [_images(*out.shape) for out in outs])
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients):
        # float32 sums in another order
        assert (a - b).abs().max() <= 2e-5 * b.abs().max()
