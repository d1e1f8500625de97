"""Changes to a config that the options of train.py and test.py make."""

import errno
from types import SimpleNamespace

import pytest
import torch
from detection import CONFIG, ROOT, tiny_options
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook, IterTimerHook, LoggerHook

from sparx_mm.errors import UserError
from sparx_mm.run import load_config
from sparx_mm.run import runner as run


class _Loader(list):
    """A batch, and a data set of two classes."""

    def __init__(self):
        super().__init__([0])
        self.dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))


class _Runner:
    """Stands in for mmengine's and keeps the config."""

    def __init__(self, cfg, loops):
        self.cfg, self.loops, self.did = cfg, loops, []
        self.model = self
        self.train_dataloader = self.test_dataloader = _Loader()
        self.val_dataloader = _Loader()
        # a model without heads
        self.named_modules = dict().items
        self.hooks = []

    def __getattr__(self, name):
        return lambda: self.did.append(name)


@pytest.fixture(autouse=True)
def runners(monkeypatch):
    """Collect every runner that is built."""
    built = []

    def build(cfg, loops):
        built.append(_Runner(cfg, loops))
        return built[-1]

    monkeypatch.setattr(run, 'build_runner', build)
    # a machine with a GPU that mmcv can use
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    monkeypatch.setattr('sparx_mm.info.mmcv_cuda_version', lambda: '13.0')
    return built


@pytest.fixture
def usual(shapes, tmp_path):
    return dict(config=str(CONFIG), work_dir=str(tmp_path), cfg_options=tiny_options(shapes))


def _options(usual, **more):
    return {**usual, 'cfg_options': {**usual['cfg_options'], **more}}


def test_train(usual):
    runner = run.train(**usual)
    assert runner.loops == ('train', 'val') and runner.did == ['train']
    assert runner.cfg.optim_wrapper.type == 'OptimWrapper'
    assert not runner.cfg.resume and runner.cfg.load_from is None
    assert not runner.cfg.auto_scale_lr.enable


@pytest.mark.parametrize('function', ['train', 'test'])
def test_compile(usual, monkeypatch, runners, function):
    monkeypatch.setattr(run, 'compile_backbones', lambda model: model.did.append('compile'))
    options = dict(checkpoint=None) if function == 'test' else {}
    getattr(run, function)(**usual, compile=True, **options)
    assert runners[0].did[-2:] == ['compile', function]
    with pytest.raises(UserError, match='--compile compiles its backbone alone'):
        getattr(run, function)(**_options(usual, compile=True), compile=True, **options)


def test_our_hooks_stand_in_our_configs_too():
    """Train.py adds them to any config; other programs know only the config."""
    cfg = load_config(str(ROOT / 'configs/_base_/default_runtime.py'))
    ours = {name: cfg.default_hooks[name] for name in run.DEFAULT_HOOKS}
    assert ours == run.DEFAULT_HOOKS


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return the config that a runner is built of."""
    monkeypatch.undo()
    monkeypatch.setattr(run.Runner, 'from_cfg', lambda cfg: SimpleNamespace(cfg=cfg, hooks=[]))
    return lambda **kwargs: run.build_runner(Config(dict(work_dir=str(tmp_path), **kwargs))).cfg


@pytest.mark.parametrize(
    'given,built',
    [
        (dict(type='CheckpointHook', interval=7), dict(type='SafeCheckpointHook', interval=7)),
        (dict(type='mmengine.CheckpointHook'), dict(type='SafeCheckpointHook')),
        (dict(type=CheckpointHook), dict(type='SafeCheckpointHook')),
        # of mmengine, which saves each epoch unless it is told not to
        ({}, dict(type='SafeCheckpointHook', interval=1)),
        (None, None),
        (dict(type='TheirCheckpointHook'), dict(type='TheirCheckpointHook')),
        (dict(interval=7), dict(type='SafeCheckpointHook', interval=7)),
    ],
)
def test_checkpoints_of_any_config_are_safe(build, given, built):
    hooks = {} if given == {} else dict(checkpoint=given)
    assert build(default_hooks=hooks).default_hooks['checkpoint'] == built


def test_options_of_hooks_in_any_config(build):
    """As --cfg-options default_hooks.finite.skip_limit=10 gives them."""
    given = dict(finite=dict(skip_limit=10), rehearsal=None, logger=dict(interval=5))
    hooks = build(default_hooks=given).default_hooks
    assert hooks['logger'] == dict(type='LoggerHook', interval=5)
    assert hooks['finite'] == dict(type='FiniteHook', skip_limit=10)
    assert 'rehearsal' not in hooks and hooks['resume'] == dict(type='ResumeHook')
    assert run.DEFAULT_HOOKS['finite'] == dict(type='FiniteHook')


@pytest.mark.parametrize(
    'given,constructor',
    [
        (dict(paramwise_cfg=dict(layer_decay_rate=0.9)), 'LayerDecayOptimWrapperConstructor'),
        (dict(paramwise_cfg=dict(layer_decay_rate=0.9), constructor='Theirs'), 'Theirs'),
        (dict(paramwise_cfg=dict(norm_decay_mult=0.0)), None),
        ({}, None),
    ],
)
def test_layer_decay_in_any_config(build, given, constructor):
    assert build(optim_wrapper=given).optim_wrapper.get('constructor') == constructor


@pytest.mark.tries('a second run')
def test_a_second_run_in_a_folder_changes_nothing(usual, tmp_path, monkeypatch, runners):
    def taken(*args):
        raise BlockingIOError

    monkeypatch.setattr('sparx_mm.checkpoint_io.folder_lock.fcntl.lockf', taken)
    with pytest.raises(UserError, match='in use by another run .*--work-dir'):
        run.train(**usual)
    # testing beside it is allowed
    run.test(**usual, checkpoint=None)
    assert len(runners) == 1


@pytest.mark.tries('disk full')
def test_a_disk_that_is_full_elsewhere(usual, monkeypatch, tmp_path):
    def fails(self):
        raise OSError(errno.ENOSPC, 'No space left on device', 'scalars.json')

    (tmp_path / 'last_checkpoint').write_text('epoch_3.pth')
    monkeypatch.setattr(_Runner, 'train', fails, raising=False)
    with pytest.raises(UserError) as error:
        run.train(**usual)
    assert str(error.value) == (
        'scalars.json cannot be written (No space left on device); epoch_3.pth is whole: '
        'continue from it with --resume'
    )


def test_train_without_validation(usual):
    nothing = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'))
    options = {
        key: value for key, value in usual['cfg_options'].items() if not key.startswith('val_')
    }
    usual = {**usual, 'cfg_options': {**options, **nothing}}
    assert run.train(**usual).loops == ('train',)


@pytest.mark.parametrize(
    'options,wanted',
    [
        (dict(amp=True), 'AmpOptimWrapper'),
        (dict(amp_dtype='float16'), 'AmpOptimWrapper'),
        (dict(amp=True, amp_dtype='bfloat16'), 'BFloat16OptimWrapper'),
        (dict(amp_dtype='bfloat16'), 'BFloat16OptimWrapper'),
    ],
)
def test_amp(usual, options, wanted):
    wrapper = run.train(**usual, **options).cfg.optim_wrapper
    assert wrapper.type == wanted


def test_auto_scale_lr(usual):
    cfg = run.train(**usual, auto_scale_lr=True).cfg
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)
    with pytest.raises(UserError, match='base_batch_size'):
        run.train(**_options(usual, auto_scale_lr=None), auto_scale_lr=True)


@pytest.mark.parametrize('by', ['option', 'config'])
@pytest.mark.parametrize('counts,base', [(1, 16), (4, 4), (3, 16 / 3)])
def test_auto_scale_lr_counts_accumulated_batches(usual, counts, base, by, capsys):
    usual = _options(usual, **{'optim_wrapper.accumulative_counts': counts})
    if by == 'config':
        usual = _options(usual, **{'auto_scale_lr.enable': True})
    cfg = run.train(**usual, auto_scale_lr=by == 'option').cfg
    # mmengine's ratio is that of a batch to it
    assert cfg.auto_scale_lr.base_batch_size == base
    assert ('a step takes' in capsys.readouterr().out) is (counts > 1)
    # as of a run that is started anew from the config which a run has saved
    saved = {f'auto_scale_lr.{key}': value for key, value in cfg.auto_scale_lr.items()}
    for more, wanted in ((counts, base), (2, 8)):
        again = _options(usual, **saved, **{'optim_wrapper.accumulative_counts': more})
        found = run.train(**again).cfg.auto_scale_lr.base_batch_size
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize('counts,line', [(1, 'for 12 images a step, and a step has 4'), (3, '')])
def test_a_rate_for_another_batch_is_said(usual, counts, line, monkeypatch):
    said = []
    monkeypatch.setattr(run, 'print_log', lambda text, logger: said.append(text))
    options = {'auto_scale_lr.base_batch_size': 12, 'optim_wrapper.accumulative_counts': counts}
    usual = _options(usual, **{'train_dataloader.batch_size': 4}, **options)
    run.train(**usual)
    assert [text for text in said if line and line in text] == [
        f'the learning rate is {line}: --auto-scale-lr scales it'
    ] * bool(line)
    assert any('learning rate is for' in text for text in said) is bool(line)
    said.clear()
    run.train(**usual, auto_scale_lr=True)
    assert not any('learning rate is for' in text for text in said)


@pytest.mark.parametrize(
    'options', [dict(strategy=dict(type='FSDPStrategy')), dict(runner_type='FlexibleRunner')]
)
def test_a_strategy_is_refused(usual, options):
    with pytest.raises(UserError, match="for mmengine's FlexibleRunner, and runs here"):
        run.train(**_options(usual, **options))


def test_show_optim(usual):
    own = dict(type='EMAHook')
    assert run.train(**usual).cfg.get('custom_hooks') is None
    table = dict(type='OptimTableHook')
    assert run.train(**usual, show_optim=True).cfg.custom_hooks == [table]
    usual = _options(usual, custom_hooks=[own])
    assert run.train(**usual).cfg.custom_hooks == [own]
    assert run.train(**usual, show_optim=True).cfg.custom_hooks == [own, table]


def test_resume_with_nothing_there(usual, tmp_path, capsys, monkeypatch):
    cfg = run.train(**usual, resume='auto').cfg
    assert not cfg.resume and cfg.load_from is None
    assert (
        f'nothing to resume in {tmp_path}: training starts from the begin'
        in capsys.readouterr().out
    )
    # of several processes the first one says it
    monkeypatch.setenv('RANK', '1')
    run.train(**usual, resume='auto')
    assert 'nothing' not in capsys.readouterr().out


def test_a_job_that_is_started_again_and_again(usual, tmp_path, capsys):
    start = str(tmp_path / 'start.pth')
    torch.save({}, start)
    options = _options(usual, load_from=start)
    cfg = run.train(**options, resume='auto').cfg
    assert not cfg.resume and cfg.load_from == start
    assert f'training starts from {start}' in capsys.readouterr().out
    torch.save({}, tmp_path / 'a.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'a.pth'))
    cfg = run.train(**options, resume='auto').cfg
    assert cfg.resume and cfg.load_from is None
    # a file that is named is meant
    cfg = run.train(**options, resume=start).cfg
    assert cfg.resume and cfg.load_from == start


def test_resume_from_the_last_checkpoint(usual, tmp_path, capsys):
    torch.save({}, tmp_path / 'a.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'a.pth'))
    cfg = run.train(**usual, resume='auto').cfg
    assert cfg.resume and cfg.load_from is None
    assert 'nothing to resume' not in capsys.readouterr().out


def test_resume_needs_no_pretrained_file(usual, tmp_path):
    torch.save({}, tmp_path / 'a.pth')
    missing = {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='none.pth')}
    with pytest.raises(UserError, match='none.pth does not exist'):
        run.train(**_options(usual, **missing))
    cfg = run.train(**_options(usual, **missing), resume=str(tmp_path / 'a.pth')).cfg
    assert cfg.model.backbone.init_cfg is None


def test_mmcv_without_cuda(usual, monkeypatch, runners):
    monkeypatch.setattr('sparx_mm.info.mmcv_cuda_version', lambda: '')
    with pytest.raises(UserError, match='CUDA_VISIBLE_DEVICES= before'):
        run.train(**usual)
    assert runners == []


def test_fewer_images_than_a_batch(usual, monkeypatch):
    monkeypatch.setattr(
        run, 'build_runner', lambda cfg, loops: type('Runner', (), dict(train_dataloader=[]))
    )
    with pytest.raises(UserError, match='fewer images than batch_size'):
        run.train(**usual)


def test_out_in_a_folder_that_is_not_there(usual, tmp_path, runners):
    with pytest.raises(UserError, match='there is no folder'):
        run.test(**usual, checkpoint=None, out=str(tmp_path / 'none' / 'a.pkl'))
    assert runners == []


def test_resume_from_a_file(usual, tmp_path):
    torch.save({}, tmp_path / 'a.pth')
    cfg = run.train(**usual, resume=str(tmp_path / 'a.pth')).cfg
    assert cfg.resume and cfg.load_from == str(tmp_path / 'a.pth')


def test_nothing_is_built_when_something_is_missing(usual, runners):
    for more, options in (
        (dict(resume='none.pth'), {}),
        ({}, dict(load_from='none.pth')),
        ({}, {'model.neck.init_cfg': dict(type='Pretrained', checkpoint='n')}),
    ):
        with pytest.raises(UserError, match='does not exist'):
            run.train(**_options(usual, **options), **more)
    assert runners == []


def test_test_loads_the_checkpoint(usual, tmp_path, runners):
    torch.save({}, tmp_path / 'a.pth')
    run.test(**usual, checkpoint=str(tmp_path / 'a.pth'))
    (runner,) = runners
    assert runner.loops == ('test',)
    assert runner.cfg.load_from == str(tmp_path / 'a.pth')
    assert runner.did == ['load_or_resume', 'test']


def test_test_without_a_checkpoint(usual, runners):
    run.test(**usual, checkpoint=None)
    assert runners[0].did == ['init_weights', 'load_or_resume', 'test']


@pytest.mark.parametrize(
    'scope,metric',
    [
        ('mmdet', 'DumpDetResults'),
        (None, 'DumpResults'),
    ],
)
def test_out_adds_a_metric(usual, runners, scope, metric):
    usual = _options(usual, default_scope=scope)
    run.test(**usual, checkpoint=None, out='a.pkl')
    first, second = runners[0].cfg.test_evaluator
    assert first.type == 'CocoMetric'
    assert second == dict(type=metric, out_file_path='a.pkl')


def test_show_dir_turns_the_hook_on(usual, runners):
    run.test(**usual, checkpoint=None, show_dir='painted')
    hook = runners[0].cfg.default_hooks.visualization
    assert hook.draw and not hook.show
    assert hook.test_out_dir == 'painted'
    with pytest.raises(UserError, match='visualization hook'):
        options = _options(usual, **{'default_hooks.visualization': None})
        run.test(**options, checkpoint=None, show_dir='painted')


def test_show(usual, runners, monkeypatch):
    monkeypatch.setattr('sparx_mm.run.evaluation_options.check_display', lambda: None)
    run.test(**usual, checkpoint=None, show=True, wait_time=3)
    hook = runners[0].cfg.default_hooks.visualization
    assert hook.draw and hook.show and hook.wait_time == 3
    assert 'test_out_dir' not in hook


@pytest.mark.tries('classes in another order')
@pytest.mark.parametrize(
    'name,number,channels,fits',
    [
        ('decode_head', 3, 3, False),
        ('decode_head', 2, 2, True),
        ('decode_head', 5, 1, True),
        ('auxiliary_head.1', 3, 3, False),
        ('decode_head.loss_decode', 3, 3, True),
        ('roi_head', 3, 3, True),
    ],
)
def test_heads_with_the_classes_of_the_data(usual, monkeypatch, name, number, channels, fits):
    head = SimpleNamespace(num_classes=number, out_channels=channels)

    def build(cfg, loops):
        runner = _Runner(cfg, loops)
        runner.named_modules = {name: head}.items
        return runner

    monkeypatch.setattr(run, 'build_runner', build)
    for call in (lambda: run.train(**usual), lambda: run.test(**usual, checkpoint=None)):
        if fits:
            call()
        else:
            with pytest.raises(UserError, match=f'give model.{name}.num_classes=2'):
                call()


@pytest.mark.parametrize('rank,left', [(0, [LoggerHook, IterTimerHook]), (1, [IterTimerHook])])
def test_one_process_writes_the_metrics(usual, runners, monkeypatch, rank, left):
    """The others would write into the same file; none averages weights."""
    hooks = [LoggerHook(), EMAHook(), IterTimerHook()]

    def build(cfg, loops):
        runners.append(_Runner(cfg, loops))
        runners[-1].hooks = hooks
        return runners[-1]

    monkeypatch.setattr(run, 'build_runner', build)
    monkeypatch.setattr(run, 'get_rank', lambda: rank)
    run.test(**usual, checkpoint=None)
    assert [type(hook) for hook in runners[-1].hooks] == left
