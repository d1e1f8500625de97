"""A whole model's weights are loaded, or the error says why not."""

from pathlib import Path

import pytest
import torch
from archs import PICO, PICO_SWIN, PICO_VMAMBA, learnable
from mmengine.model import BaseModel, BaseTTAModel, ExponentialMovingAverage
from small_run import Net, make_runner
from torch import nn

from sparx_mm import SparXMamba, SparXSwin, VMamba
from sparx_mm.backbones.pretrained import dotted
from sparx_mm.engine.hooks.coverage import CoverageHook
from sparx_mm.engine.models import find_backbones
from sparx_mm.run.runner import DEFAULT_HOOKS
from sparx_mm.state_dicts import SPARX, VMAMBA, CoverageError, resize_position_table

pytestmark = pytest.mark.stack


@pytest.fixture
def runner(tmp_path):
    return make_runner(tmp_path / 'run')


@pytest.fixture
def file(tmp_path):
    """Save something as a checkpoint."""

    def save(content):
        torch.save(content, tmp_path / 'file.pth')
        return str(tmp_path / 'file.pth')

    return save


def released(model):
    return SPARX.to_released(model.state_dict(), 'backbone.')


def equal(model, other):
    own, expected = model.state_dict(), other.state_dict()
    return all(own[name].equal(value) for name, value in expected.items())


def load(runner, path):
    runner._load_from = path
    runner.load_or_resume()


def summary(runner, capsys):
    """The one line about the load; mmengine has nothing to add."""
    (log,) = Path(runner.log_dir).glob('*.log')
    (line,) = [m for m in log.read_text().splitlines() if 'loaded' in m]
    for text in (log.read_text(), capsys.readouterr().out):
        assert 'WARNING' not in text and 'state_dict' not in text
    return line


@pytest.mark.parametrize(
    'nest',
    [
        lambda w: w,
        lambda w: dict(state_dict=w, meta={}),
        lambda w: dict(state_dict={f'module.{k}': v for k, v in w.items()}),
        lambda w: dict(model=dict(w), model_ema=w),
    ],
)
@pytest.mark.parametrize('names', [released, lambda m: m.state_dict()], ids=['released', 'own'])
def test_loads_all(runner, file, nest, names, capsys):
    source = Net()
    load(runner, file(nest(names(source))))
    assert equal(runner.model, source)
    count = len(source.state_dict())
    line = summary(runner, capsys)
    assert line.endswith(f'file.pth: {count} of {count} tensors loaded')


def test_another_number_of_classes_is_one_line(runner, file, capsys):
    source = Net(num_classes=80)
    head = {k: v.clone() for k, v in runner.model.head.state_dict().items()}
    load(runner, file(released(source)))
    assert equal(runner.model.backbone, source.backbone)
    for name, value in runner.model.head.state_dict().items():
        assert value.equal(head[name])
    count = len(source.state_dict())
    line = summary(runner, capsys)
    assert (
        f'{count - 2} of {count} tensors loaded; of another shape: '
        'head.weight, head.bias, (80, 112) instead of (3, 112); these '
        'stay as they were initialised'
    ) in line


def test_what_is_left_over_is_said(runner, file, capsys):
    source = Net()
    source.backbone = SparXMamba(learnable(PICO))
    weights = released(source)
    weights.pop('head.bias')
    weights['neck.conv.weight'] = torch.rand(2)
    load(runner, file(weights))
    line = summary(runner, capsys)
    assert 'not in the file: head.bias; these stay' in line
    assert 'not used: backbone.stages.*.layers.*.proj.scale (5)' in line
    assert 'neck.conv.weight' in line


def windowed(window_size):
    """A model with windows of attention."""
    model = Net()
    model.backbone = SparXSwin(dict(PICO, mixer=dict(PICO_SWIN['mixer'], window_size=window_size)))
    return model


def test_tables_of_another_window_are_resized(tmp_path, file, capsys):
    source, model = windowed(4), windowed(7)
    runner = make_runner(tmp_path / 'run', model=model)
    load(runner, file(source.state_dict()))
    own, expected = model.state_dict(), source.state_dict()
    tables = {n for n in own if n.endswith('relative_position_bias_table')}
    assert len(tables) == sum(PICO['depths'])
    for name, value in expected.items():
        if name in tables:
            value = resize_position_table(value, 169)
        assert own[name].equal(value)
    text = summary(runner, capsys)
    assert f'{len(own)} of {len(own)} tensors loaded; resized: ' in text


def test_tables_of_another_window_are_not_resumed(tmp_path):
    """The optimizer's moments are of the other size."""
    runner = make_runner(tmp_path / 'run', model=windowed(7), resume=True)
    weights = windowed(4).state_dict()
    with pytest.raises(CoverageError, match='cannot be resumed: .*another sh'):
        CoverageHook().after_load_checkpoint(runner, dict(state_dict=weights))


def bare(weights):
    return {k.replace('backbone.', ''): v for k, v in weights.items()}


def two(weights):
    return {f'{owner}.{k}': v for owner in ('student', 'teacher') for k, v in weights.items()}


def without(part):

    def change(weights):
        return {k: v for k, v in weights.items() if part not in k}

    return change


def broken(name, value):

    def change(weights):
        return {**weights, name: torch.full_like(weights[name], value)}

    return change


@pytest.mark.parametrize(
    'change,message',
    [
        (
            bare,
            "no SparX backbone under prefix 'backbone.'; a checkpoint of a "
            "whole model has it under 'backbone.'; to start from the backbone alone, "
            "give model.backbone.init_cfg=dict(type='Pretrained', checkpoint=FILE, "
            'prefix=None)',
        ),
        (two, "prefix='student.backbone.' or 'teacher.backbone.')"),
        (without('backbone'), 'holds no SparX backbone; its tensors are head.weight, head.bias'),
        (without('conv2d'), 'it lacks stages.'),
        (broken('head.bias', float('nan')), 'NaN or infinity in head.bias'),
        (broken('head.bias', float('inf')), 'NaN or infinity in head.bias'),
        (broken('backbone.norm.0.bias', float('inf')), 'NaN or infinity in norms.0.bias'),
    ],
)
def test_errors(runner, file, change, message):
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    path = file(change(released(Net())))
    with pytest.raises(CoverageError) as error:
        load(runner, path)
    assert str(error.value).startswith(f'{path}: ')
    assert message in str(error.value)
    assert all(before[k].equal(v) for k, v in runner.model.state_dict().items())


def vmamba_net():
    """A small VMamba in the place of SparX."""
    model = Net()
    model.backbone = VMamba(PICO_VMAMBA)
    return model


def convolutions(weights):
    """A backbone's linear weights as 1x1 convolutions, the others as they are."""
    return {
        k: v[:, :, None, None] if v.dim() == 2 and '.blocks.' in k and k.endswith('.weight') else v
        for k, v in weights.items()
    }


@pytest.mark.parametrize(
    'change',
    [
        lambda w: VMAMBA.to_released(w, 'backbone.'),
        lambda w: convolutions(VMAMBA.to_released(w, 'backbone.')),
        dict,
    ],
)
def test_vmamba_files(tmp_path, file, change, capsys):
    source, model = vmamba_net(), vmamba_net()
    runner = make_runner(tmp_path / 'run', model=model)
    load(runner, file(dict(state_dict=change(source.state_dict()))))
    assert equal(model, source)
    count = len(source.state_dict())
    assert summary(runner, capsys).endswith(f'{count} of {count} tensors loaded')


def test_another_family_is_named(tmp_path, file):
    vmamba = VMAMBA.to_released(vmamba_net().state_dict(), 'backbone.')
    for model, weights, message in (
        (Net(), vmamba, 'this is a VMamba file, the model is SparX: give a file of SparX'),
        (vmamba_net(), released(Net()), 'this is a SparX file, the model is VMamba: give a'),
    ):
        for nest in (dict, bare):
            path = file(nest(weights))
            runner = make_runner(tmp_path / 'run', model=model)
            with pytest.raises(CoverageError, match=f'^{path}: {message}'):
                load(runner, path)


def test_another_variant_is_named(runner, file, monkeypatch):
    other = dict(PICO, embed_dims=(16, 24, 32, 48))
    monkeypatch.setattr(SparXMamba, 'arch_zoo', dict(pico=PICO, nano=other))
    source = Net()
    source.backbone = SparXMamba(other)
    with pytest.raises(CoverageError, match="a 'nano' file.* is 'pico'"):
        load(runner, file(released(source)))


def test_a_model_within_another_name(runner, file, capsys):
    source = Net()
    weights = {f'student.{k}': v for k, v in released(source).items()}
    load(runner, file(dict(weights, step=torch.ones(1))))
    assert equal(runner.model, source)
    count = len(source.state_dict())
    assert f'{count} of {count} tensors' in summary(runner, capsys)


class Taught(BaseModel):
    """A student and a teacher, as of mmdet's semi-supervised detectors."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = Net(), Net()

    def forward(self, inputs, mode='tensor'):
        return self.student(inputs, mode)


def test_two_models_of_one_file(tmp_path, file, capsys):
    source, model = Net(), Taught()
    runner = make_runner(tmp_path / 'run', model=model)
    with pytest.raises(CoverageError, match=r'backbone alone, give model.detector.backbone.init'):
        load(runner, file(bare(released(source))))
    load(runner, file(released(source)))
    assert equal(model.student, source) and equal(model.teacher, source)
    count = len(model.state_dict())
    assert f'{count} of {count} tensors' in summary(runner, capsys)


def test_a_models_own_infinity_may_stay(runner, file):
    runner.model.register_buffer('mask', torch.full((2,), -float('inf')))
    load(runner, file(runner.model.state_dict()))


def test_wrapped_models(runner, file):

    class TTA(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return data_samples_list

    source, plain = Net(), runner.model
    for wrap in (nn.parallel.DataParallel, lambda m: TTA(module=m)):
        runner.model, runner._has_loaded = wrap(plain), False
        nn.init.zeros_(plain.head.weight)
        load(runner, file(released(source)))
        assert equal(plain, source)


def test_averaged_weights_are_taken_by_the_ema_hook(file, tmp_path):
    runner = make_runner(tmp_path / 'run', hooks=dict(DEFAULT_HOOKS, ema=dict(type='EMAHook')))
    (ema,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    runner.call_hook('before_run')
    assert isinstance(ema.ema_model, ExponentialMovingAverage)
    source = Net(num_classes=5)
    load(runner, file(released(source)))
    # a flat file of released names too
    assert equal(ema.ema_model.module.backbone, source.backbone)
    assert equal(runner.model.backbone, source.backbone)


def averaging_run(folder, **kwargs):
    """Train with EMAHook."""
    hooks = dict(DEFAULT_HOOKS, ema=dict(type='EMAHook', momentum=0.5))
    runner = make_runner(folder, hooks=hooks, **kwargs)
    runner.train()
    return runner


def plain_run(folder, **kwargs):
    """Train without."""
    runner = make_runner(folder, **kwargs)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def averaged(tmp_path_factory):
    """What is saved by a run with EMAHook, after one epoch."""
    folder = tmp_path_factory.mktemp('averaged')
    averaging_run(folder)
    checkpoint = torch.load(folder / 'epoch_1.pth', weights_only=False)
    trained = checkpoint['ema_state_dict']
    assert not trained['module.head.weight'].equal(checkpoint['state_dict']['head.weight'])
    return checkpoint


def resumed(folder, path, run):
    return run(folder, epochs=2, resume=True, load_from=path)


def test_an_averaged_run_is_resumed(averaged, file, tmp_path):
    other = dict(
        averaged,
        state_dict=SPARX.to_released(averaged['state_dict'], 'backbone.'),
        ema_state_dict=SPARX.to_released(averaged['ema_state_dict'], 'module.backbone.'),
    )
    first, second = (
        resumed(tmp_path / name, file(content), averaging_run).model
        for name, content in (('own', averaged), ('released', other))
    )
    assert equal(first, second)


def test_an_averaged_run_is_resumed_without_the_average(averaged, file, tmp_path):
    runner = make_runner(tmp_path / 'run', epochs=2, resume=True, load_from=file(averaged))
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.load_or_resume()
    trained = averaged['ema_state_dict']
    for name, value in runner.model.state_dict().items():
        assert value.equal(trained[f'module.{name}'])
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'not their average' in log.read_text()


@pytest.mark.parametrize(
    'change,message',
    [
        (broken('module.head.bias', float('nan')), 'NaN or infinity in head.bias'),
        (lambda ema: {}, 'it holds no tensors'),
        (lambda ema: {f'foo.{k}': v for k, v in ema.items()}, 'it holds no tensors'),
        (without('backbone'), 'holds no SparX backbone'),
        (without('head'), 'cannot be resumed: .* not in the file: head.weight, '),
    ],
)
@pytest.mark.parametrize('run', [averaging_run, plain_run])
def test_trained_weights_that_are_not_there(averaged, file, tmp_path, change, message, run):
    ema = change(averaged['ema_state_dict'])
    path = file(dict(averaged, ema_state_dict=ema))
    with pytest.raises(CoverageError, match=message):
        resumed(tmp_path / 'run', path, run)


@pytest.mark.parametrize('prefix', [None, 'model', 'model.'])
def test_a_whole_models_init_cfg(tmp_path, file, prefix):
    source = Net()
    start = dotted(prefix)
    whole = {start + k: v for k, v in released(source).items()}
    half = {k: v for k, v in whole.items() if 'layers.3.blocks.1' not in k}
    for weights in (whole, half):
        model = Net()
        model.init_cfg = dict(type='Pretrained', checkpoint=file(weights), prefix=prefix)
        runner = make_runner(tmp_path / 'run', model=model)
        if weights is whole:
            runner.call_hook('before_run')
            model.init_weights()
            assert equal(model, source)
            continue
        with pytest.raises(CoverageError, match='the file has layers and'):
            runner.train()


def test_models_without_a_sparx_backbone_are_mmengines(tmp_path, file):
    model = Net()
    model.backbone = nn.Conv2d(3, 2, 1)
    runner = make_runner(tmp_path / 'run', model=model)
    load(runner, file({'head.bias': torch.ones(3)}))
    assert model.head.bias.equal(torch.ones(3))


def test_find_backbones():
    model = Net()
    assert find_backbones(model) == {'backbone.': model.backbone}
    assert find_backbones(model.backbone) == {'': model.backbone}
    assert find_backbones(model.head) == {}
