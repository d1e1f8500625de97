"""Layers that start from a learned sum of earlier maps."""

from types import SimpleNamespace

import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from detection import ROOT
from finite_differences import gradient_error
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch._subclasses.fake_tensor import FakeTensorMode

import sparx_mm.engine  # noqa: F401
from sparx_mm import VSSD, GroupMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.aggregators import WeightedAverage
from sparx_mm.layers import WeightedSum
from sparx_mm.state_dicts import VMAMBA, CoverageError

FAMILIES = (
    (SparXMamba, PICO),
    (SparXSwin, PICO_SWIN),
    (VMamba, PICO_VMAMBA),
    (VSSD, PICO_VSSD),
    (GroupMamba, PICO_GROUPMAMBA),
)
# few layers for finite differences: the ganglion layers of stage 1 read what they add, too
SHORT = dict(embed_dims=(8, 12), depths=(1, 3), skip_scale=False, dpe=False)
AVERAGE = dict(starts=(None, 1), aggregator=dict(type='WeightedAverage'))


def build(family, arch, **kwargs):
    torch.manual_seed(0)
    # batch norms of an untrained network on maps of one pixel say nothing
    return family(arch, norm_eval=True, **kwargs)


def short(connections=AVERAGE, **kwargs):
    """A backbone whose scalars are all in use."""
    arch = dict(SHORT, inputs='weighted', connections=connections)
    model = build(SparXMamba, arch, out_indices=(0, 1), **kwargs)
    for name, parameter in model.named_parameters():
        if 'weighted_sum' in name:
            torch.nn.init.uniform_(parameter, 0.3, 1.0)
    return model


def images(*shape):
    return torch.rand(*(shape or (2, 3, 36, 44)), generator=torch.Generator().manual_seed(1))


def train_step(model, x):
    torch.manual_seed(2)
    sum((out * torch.randn_like(out)).mean() for out in model.train()(x)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize('family, arch', FAMILIES)
def test_the_network_starts_as_the_plain_one(family, arch):
    plain, weighted = build(family, arch), build(family, dict(arch, inputs='weighted'))
    own = {name for name in weighted.state_dict() if name.endswith('.weighted_sum.weight')}
    assert len(own) == sum(arch['depths'])
    assert set(weighted.state_dict()) - own == set(plain.state_dict())
    weighted.load_state_dict(plain.state_dict(), strict=False)
    for mode in (True, False):
        for a, b in zip(plain.train(mode)(images()), weighted.train(mode)(images())):
            assert a.equal(b)


def test_the_average_starts_as_the_plain_network():
    """A ganglion layer's projection has the plain one's names and shapes."""
    connections = dict(starts=0, aggregator=dict(type='WeightedAverage', bias=False))
    plain, average = (
        build(VMamba, dict(PICO_VMAMBA, connections=given)) for given in (None, connections)
    )
    layers = [layer for stage in average.stages for layer in stage.layers]
    assert all(isinstance(layer.proj, WeightedAverage) for layer in layers)
    missing, unexpected = average.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.endswith('proj.weighted_sum.weight') for name in missing)
    for a, b in zip(plain(images()), average(images())):
        assert a.equal(b)


def test_each_layer_adds_the_stage_s_input_and_all_earlier_outputs():
    model = short().double().eval()
    stage, x = model.stages[1], torch.randn(2, 12, 4, 5, dtype=torch.float64)
    maps = [x]
    for i, layer in enumerate(stage.layers):
        start = sum(w * m for w, m in zip(layer.weighted_sum.weight, maps, strict=True))
        sources = [maps[1 + source] for source in stage.sources[i]]
        y = start
        if sources:
            # of the layer's own start, not of the last map
            *weights, own = layer.proj.weighted_sum.weight
            y = own * start + sum(w * s for w, s in zip(weights, sources, strict=True))
            y = torch.nn.functional.conv2d(layer.norm1(y), layer.proj.weight, layer.proj.bias)
        else:
            y = layer.proj(layer.norm1(y))
        y = start + layer.mixer(y)
        maps.append(y + layer.ffn(layer.norm2(y)))
    assert [len(sources) for sources in stage.sources] == [0, 2, 1]
    torch.testing.assert_close(stage(x), maps[-1], atol=1e-12, rtol=1e-12)


def test_gradients():
    model = short().double().train()
    x = images(1, 3, 20, 28).double()
    assert gradient_error(lambda: model(x), model, False) < 1e-6
    grads = train_step(short(), images())
    assert all(grad.all() for name, grad in grads.items() if 'weighted_sum' in name)


@pytest.mark.parametrize('aggregator', [AVERAGE['aggregator'], dict(reduction=1)])
def test_checkpointed_activations_change_nothing(aggregator):
    plain, checkpointed = (
        train_step(
            short(dict(AVERAGE, aggregator=aggregator), with_cp=with_cp, drop_path_rate=0.4),
            images(),
        )
        for with_cp in (False, True)
    )
    assert any('weighted_sum' in name for name in plain)
    for name, grad in plain.items():
        assert grad.equal(checkpointed[name]), name


def test_checkpointed_sums_are_not_kept():
    """Of a layer only its output is, though the sum is another map."""
    model, kept = short(with_cp=True).train(), set()

    def pack(tensor):
        if tensor.shape[-2:] == (5, 6) and tensor.shape[1] == 12:
            kept.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images())
    # the stage's input, and what three layers return
    assert len(kept) <= 4


def test_frozen_stages():
    grads = train_step(short(frozen_stages=1), images())
    assert grads['stages.0.layers.0.weighted_sum.weight'] is None
    assert grads['stages.1.layers.0.weighted_sum.weight'] is not None


@pytest.mark.slow
def test_compiled_in_place():
    plain, compiled = short().eval(), short().eval()
    compiled.compile(backend='eager')
    for a, b in zip(plain(images()), compiled(images())):
        torch.testing.assert_close(a, b)


def test_stages_of_their_own():
    arch = dict(PICO, inputs=('last', 'weighted', 'last', 'weighted'))
    names = [name for name in SparXMamba(arch).state_dict() if 'weighted_sum' in name]
    assert sorted({name.split('.')[1] for name in names}) == ['1', '3']


@pytest.mark.parametrize('inputs', ['first', True, ('last', 'all', 'last', 'last'), None])
def test_wrong_inputs(inputs):
    with pytest.raises(ValueError, match=r"'inputs' must be one of \('last', 'weighted'\), got"):
        SparXMamba(dict(PICO, inputs=inputs))


def test_wrong_number_of_inputs():
    with pytest.raises(ValueError, match="'inputs' needs one value, or one for each of the 4"):
        SparXMamba(dict(PICO, inputs=('last', 'weighted')))


def test_depths_and_decay():
    model = build(SparXMamba, dict(PICO, inputs='weighted'))
    assert model.get_layer_depth('stages.1.layers.1.weighted_sum.weight') == (3, 10)
    settings = Config.fromfile(ROOT / 'configs/_base_/schedules/adamw.py').optim_wrapper
    settings.paramwise_cfg.layer_decay_rate = 0.5
    groups = build_optim_wrapper(model, settings).optimizer.param_groups
    found = {id(p): (g['weight_decay'], g['lr']) for g in groups for p in g['params']}
    for stage, layer, depth in ((0, 0, 1), (1, 1, 3), (3, 1, 8)):
        parameter = model.stages[stage].layers[layer].weighted_sum.weight
        assert found[id(parameter)] == (0, settings.optimizer.lr * 0.5 ** (9 - depth))


def test_a_released_file_loads_whole(tmp_path):
    plain = build(VMamba, PICO_VMAMBA)
    file = str(tmp_path / 'released.pth')
    torch.save(dict(model=VMAMBA.to_released(plain.state_dict())), file)
    connections = dict(starts=0, aggregator=dict(type='WeightedAverage', bias=False))
    arch = dict(PICO_VMAMBA, inputs='weighted', connections=connections)
    model = VMamba(arch, init_cfg=dict(type='Pretrained', checkpoint=file))
    model.init_weights()
    for a, b in zip(plain.eval()(images()), model.eval()(images())):
        assert a.equal(b)
    # all else must still be there
    state = plain.state_dict()
    del state['stages.2.layers.1.mixer.A_log']
    torch.save(state, file)
    with pytest.raises(CoverageError, match='lacks .*A_log'):
        VMamba(arch, init_cfg=dict(type='Pretrained', checkpoint=file)).init_weights()


@pytest.mark.tries('a file with the scalars of weighted sums')
def test_a_file_with_scalars_is_not_one_of_a_plain_network(tmp_path):
    file = str(tmp_path / 'weighted.pth')
    torch.save(build(VMamba, dict(PICO_VMAMBA, inputs='weighted')).state_dict(), file)
    model = VMamba(PICO_VMAMBA, init_cfg=dict(type='Pretrained', checkpoint=file))
    with pytest.raises(CoverageError, match='no place for .*weighted_sum'):
        model.init_weights()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_the_sum_has_the_dtype_of_the_last_map(dtype):
    x, earlier = torch.randn(2, 1, 3, 4, 5)
    total = WeightedSum(2)([earlier, x.to(dtype)])
    assert total.dtype == dtype and total.equal(x.to(dtype))


def test_the_sum_has_the_dtype_of_the_last_map_under_autocast_of_a_gpu():
    """Shapes and dtypes alone, for which no GPU is needed."""
    # what torch.autocast does, which needs a GPU
    was = torch.is_autocast_enabled('cuda')
    torch.set_autocast_enabled('cuda', True)
    try:
        with FakeTensorMode():
            layer = SimpleNamespace(weight=torch.empty(2, device='cuda'))
            x = torch.empty(1, 3, 4, 5, device='cuda', dtype=torch.float16)
            assert WeightedSum.forward(layer, [x.float(), x]).dtype == torch.float16
    finally:
        torch.set_autocast_enabled('cuda', was)
