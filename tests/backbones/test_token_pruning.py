"""Token pruning: what is dropped, what later layers compute, and what it saves."""

import pytest
import torch
from archs import PICO_VIM
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from sparx_mm import PlainMamba, Vim
from sparx_mm.backbones.token_pruning import TokenPruning
from sparx_mm.errors import ConfigError
from sparx_mm.layers import KeptTokens

ARCH = dict(base='l1', embed_dims=16, num_layers=5, stem=dict(num_convs=0, width=8))
SHORT = dict(ARCH, num_layers=3)
PRUNING = dict(layers=(1, 2), keep=0.7)
# of 35, 25 and 18 tokens
# dynamic axes of an exported program, and another size; torch takes a while over sizes
# that are rounded up
EXPORTED = [((0,), (192, 256)), pytest.param((0, 2, 3), (300, 208), marks=pytest.mark.faults)]
SIZE = (80, 112)
COUNTS = (35, 35, 25, 18, 18)


def build(family=PlainMamba, arch=ARCH, **kwargs):
    torch.manual_seed(0)
    model = family(arch, **kwargs).eval()
    for layer in model.layers:
        # so that tokens tell one another what they are
        torch.nn.init.normal_(layer.mixer.out_proj.weight, std=0.5)
    return model


def images(*size, batch=2):
    return torch.rand(batch, 3, *(size or SIZE), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def dropped(monkeypatch):
    """Importance and places after each drop of later passes."""
    found = []
    select = KeptTokens.select

    def watch(kept, importance, count):
        after = select(kept, importance, count)
        found.append((kept.positions, importance, after.positions))
        return after

    monkeypatch.setattr(KeptTokens, 'select', watch)
    return found


@pytest.mark.parametrize('gap', ['decay', 'copy'])
@pytest.mark.parametrize('family, arch, size', [(PlainMamba, ARCH, ()), (Vim, PICO_VIM, (32, 48))])
@torch.no_grad()
def test_all_kept_is_the_network_to_the_bit(family, arch, size, gap):
    whole = build(family, arch)
    pruned = build(family, arch, pruning=dict(layers=(0, 2), keep=1.0, gap=gap))
    for given, wanted in zip(pruned(images(*size)), whole(images(*size))):
        assert given.equal(wanted)


@torch.no_grad()
def test_the_most_important_tokens_stay_in_their_order(dropped):
    model = build(out_indices=(1, 2, 4), pruning=PRUNING)
    scanned, mix = [], model.layers[1].mixer.mix
    model.layers[1].mixer.mix = lambda *inputs: scanned.append(mix(*inputs)) or scanned[-1]
    model(images())
    (_, importance, kept), (before, later, last) = dropped
    # the sum over channels of what is above 0
    torch.testing.assert_close(importance, scanned[0][1].relu().sum(1).flatten(1))
    assert kept.shape == (2, 25) and before.equal(kept) and last.shape == (2, 18)
    assert not kept[0].equal(kept[1])
    for b in range(2):
        assert kept[b].tolist() == sorted(importance[b].topk(25).indices.tolist())
        assert last[b].tolist() == sorted(before[b][later[b].topk(18).indices].tolist())


@torch.no_grad()
def test_dropped_tokens_have_their_last_value_on_maps(dropped):
    model = build(out_indices=(0, 1, 2, 3, 4), pruning=PRUNING)
    for norm in model.norms.values():
        norm.eps = 1e-6
    maps = [out.flatten(2) for out in model(images())]
    (_, _, first), (_, _, second) = dropped
    for b in range(2):
        is_gone = torch.ones(35, dtype=torch.bool).index_fill(0, first[b], False)
        gone_later = torch.ones(35, dtype=torch.bool).index_fill(0, second[b], False)
        for later in maps[2:]:
            assert later[b][:, is_gone].equal(maps[1][b][:, is_gone])
        assert maps[4][b][:, gone_later].equal(maps[2][b][:, gone_later])
        assert not maps[3][b][:, second[b]].isclose(maps[2][b][:, second[b]]).all(0).any()


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(dropped):
    for family, arch, size in ((PlainMamba, ARCH, SIZE), (Vim, PICO_VIM, (32, 48))):
        dropped.clear()
        model = build(family, arch, pruning=PRUNING).double()
        x = images(*size, batch=3).double()
        together = model(x)
        assert len({tuple(kept) for kept in dropped[-1][2].tolist()}) > 1
        alone = [model(one) for one in x.split(1)]
        for i, out in enumerate(together):
            torch.testing.assert_close(
                out, torch.cat([one[i] for one in alone]), rtol=0, atol=1e-12
            )


@torch.no_grad()
def test_the_class_token_stays(dropped):
    model = build(Vim, PICO_VIM, pruning=dict(layers=(0, 1, 2), keep=0.2))
    (token,) = model(images(32, 48))
    assert token.isfinite().all() and token.shape == (2, 24)
    place = model.stem.class_position
    assert [kept.shape[1] for _, _, kept in dropped] == [2, 1, 1]
    assert all((kept == place).any(1).all() for _, _, kept in dropped)


def test_flops_fall_as_counted():
    model, whole = build(out_indices=-1, pruning=PRUNING), build(out_indices=-1)
    counts = []
    for one in (model, whole):
        with FlopCounterMode(display=False) as counter:
            one(images(batch=1))
        counts.append(counter.get_total_flops())
    C, D, N, R = 16, 32, 16, 1
    # without the convolutions, which run over the whole map
    token = C * 2 * D + D * (R + 2 * N) + R * D + 4 * (9 * N + 1) * D + D * C
    assert counts[1] - counts[0] == 2 * token * sum(35 - n for n in COUNTS)


def test_gradients_reach_what_is_kept(dropped):
    model = build(pruning=PRUNING, out_indices=-1, norm_eval=True).train()
    x = images().requires_grad_()
    (out,) = model(x)
    assert not any(importance.requires_grad for _, importance, _ in dropped)
    kept = dropped[-1][2]
    # of the kept tokens alone
    torch.gather(out.flatten(2), 2, kept.unsqueeze(1).expand(-1, 16, -1)).square().sum().backward()
    assert x.grad.any(1).flatten(1).any(1).all()
    for name, parameter in model.named_parameters():
        # a sum of squares after a norm is the same for all weights before it
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_gradients_are_those_of_finite_differences():
    """With the same tokens dropped, as for steps that are small enough."""
    model = build(pruning=PRUNING, out_indices=-1).double()
    x = images(48, 48, batch=1).double()
    weight = torch.randn(1, 16, 3, 3, dtype=torch.float64)
    parameters = [p for layer in model.layers for p in layer.parameters()]
    directions = [torch.randn_like(p) for p in parameters]

    def value():
        return (model(x)[0] * weight).sum()

    gradients = torch.autograd.grad(value(), parameters, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions) if g is not None)
    ends = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for parameter, direction in zip(parameters, directions):
                parameter += step * direction
            ends.append(value())
    torch.testing.assert_close((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-6, atol=1e-6)


def test_checkpointed_activations_change_nothing():
    gradients = []
    for with_cp in (False, True):
        model = build(pruning=PRUNING, drop_path_rate=0.4, with_cp=with_cp).train()
        torch.manual_seed(2)
        sum(out.square().sum() for out in model(images())).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*gradients))


def test_autocast(dropped):
    model = build(pruning=dict(PRUNING, layers=(1,)))
    wanted = model(images())
    with torch.autocast('cpu', torch.bfloat16):
        given = model(images())
    (_, _, first), (_, _, second) = dropped
    # 8 bits may choose another token of two that matter alike
    same = torch.stack([torch.isin(a, b).float().mean() for a, b in zip(first, second)])
    assert same.min() > 0.9
    for a, b in zip(given, wanted):
        error = (a.float() - b).norm() / b.norm()
        assert error < 0.1


@pytest.mark.slow
@pytest.mark.parametrize('axes, size', EXPORTED)
@torch.no_grad()
def test_torch_exports_any_batch_and_size(axes, size):
    model = build(arch=SHORT, pruning=dict(layers=(1,), keep=0.7), out_indices=-1)
    sides = dict.fromkeys(axes, Dim.DYNAMIC)
    # of more tokens than the scan's chunks have
    example = images(192, 256)
    program = torch.export.export(model, (example,), dynamic_shapes=(sides,), strict=False)
    for x in (example, images(*size, batch=3)):
        torch.testing.assert_close(program.module()(x)[0], model(x)[0])


@pytest.mark.slow
@torch.no_grad()
def test_onnxruntime_runs_any_size():
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    from sparx_mm.export.onnx_file import make_onnx

    model = build(arch=SHORT, pruning=dict(layers=(1,), keep=0.7), out_indices=-1)
    file = make_onnx(model, [images()], (('images',), ('map',)))
    session = onnxruntime.InferenceSession(file.SerializeToString())
    for x in (images(), images(40, 33, batch=3), images(130, 64, batch=1)):
        (given,) = session.run(None, dict(images=x.numpy()))
        (wanted,) = model(x)
        assert (torch.as_tensor(given) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize(
    'pruning, arch, message',
    [
        ('decay', {}, "pruning must be a dict of arguments of TokenPruning, got 'decay'"),
        (dict(layers=(1,), ratio=0.5), {}, r"pruning TokenPruning takes no \['ratio'\]"),
        ({}, {}, r"pruning TokenPruning needs \['layers'\]"),
        (dict(layers=1), {}, 'layers of pruning must be numbers of layers, got 1'),
        (dict(layers=(4,)), {}, 'pruning after layer 4 has no layer to act on: .* 0 to 3'),
        (dict(layers=(1,), keep=0), {}, 'keep of pruning must be from 0.0001 to 1'),
        (dict(layers=(1,), keep=(0.5, 0.5)), {}, 'one for each of 1 layers'),
        (dict(layers=(1,), gap='skip'), {}, "gap of pruning must be one of .* got 'skip'"),
        (dict(layers=(0,)), {}, 'because a convolution follows it: prune after a later one'),
        (dict(layers=(1,)), dict(ffn=dict(type='MLP')), 'because it has an FFN'),
        (dict(layers=(1,)), dict(mixer=dict(type='SS2D')), 'its mixer SS2D scans only whole maps'),
    ],
)
def test_mistakes_are_named(pruning, arch, message):
    with pytest.raises(ConfigError, match=message):
        build(arch=dict(ARCH, **arch), pruning=pruning)


def test_counts_are_rounded_up_exactly():
    """0.7 * 10 is above 7 in floats."""
    pruning = TokenPruning([0], keep=0.7)
    for tokens, stay in ((10, 7), (11, 8), (1, 1), (196, 138)):
        x = torch.rand(1, 4, tokens, 1)
        assert pruning.drop(0, x, x, None, None)[0].shape == (1, 4, stay, 1)


def test_hooks_see_layers_that_prune():
    model, seen = build(pruning=PRUNING), []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[2:]))
    model(images())
    assert [shape.numel() for shape in seen] == list(COUNTS)
