"""Detectors of the configs predict, and the switches that the bases document work."""

import pytest
import torch
from detection import ROOT, tiny_config
from mmengine.hooks import EMAHook

from sparx_mm import PlainMambaAdapter
from sparx_mm.engine.hooks.coverage import load_whole
from sparx_mm.run import ArgumentParser, CfgOptionsAction, build_runner
from sparx_mm.state_dicts import PLAINMAMBA, CoverageError

# each family of backbones, and the demo
VARIED = [
    'sparx_b_3x',
    'sparx_swin_t_1x',
    'vmamba_t_1x',
    'vssd_t_1x',
    'groupmamba_t_1x',
    'plainmamba_l1_1x',
    'sparx_demo_shapes',
]


@pytest.mark.stack
@pytest.mark.parametrize('name', VARIED)
def test_predictions(name, shapes, tmp_path):
    torch.manual_seed(0)
    path = ROOT / f'configs/mmdet/mask_rcnn_{name}.py'
    runner = build_runner(tiny_config(path, shapes, str(tmp_path)), ('test',))
    model = runner.model
    model.init_weights()
    model.eval()
    batch = next(iter(runner.test_dataloader))
    with torch.no_grad():
        sample = model.test_step(batch)[0]
    found = sample.pred_instances
    assert found.bboxes.shape == (len(found), 4)
    assert found.masks.shape == (len(found), *sample.ori_shape)
    assert torch.isfinite(found.scores).all()


@pytest.mark.stack
@pytest.mark.parametrize('head', ['mask_rcnn', 'retinanet'])
def test_a_released_detector_of_plainmamba_loads_whole(head, shapes, tmp_path):
    """With all four maps, also for a head that reads three."""
    path = ROOT / f'configs/mmdet/{head}_plainmamba_l1_1x.py'
    model = build_runner(tiny_config(path, shapes, str(tmp_path)), ('test',)).model
    own = {
        name: torch.rand_like(value) if value.is_floating_point() else value + 1
        for name, value in model.state_dict().items()
    }
    whole = PlainMambaAdapter(model.backbone.arch | dict(out_norm=None)).state_dict()
    file = {**{f'backbone.{name}': value for name, value in whole.items()}, **own}
    file = PLAINMAMBA.to_released(file, 'backbone.')
    assert 'backbone.interactions.3.extra_extractors.1.ffn.dwconv.dwconv.weight' in file
    counters = {k: v.float() for k, v in file.items() if k.endswith('num_batches_tracked')}
    with pytest.raises(CoverageError, match='l1_1x.pth does not fill the model: .* of torch.int64'):
        load_whole(model, dict(state_dict=file | counters), 'l1_1x.pth')
    load_whole(model, dict(state_dict=file), 'l1_1x.pth')
    for name, value in model.state_dict().items():
        assert value.equal(own[name]), name


LAYER_DECAY = 'optim_wrapper.paramwise_cfg.layer_decay_rate=0.8'
CLIPPING = 'optim_wrapper.clip_grad.max_norm=1.0'
SCALING = 'auto_scale_lr.enable=True'
EMA = 'default_hooks.ema.type=EMAHook'


def test_the_switches_are_documented():
    bases = (ROOT / 'configs/_base_').rglob('*.py')
    comments = [line for base in bases for line in base.read_text().splitlines() if '#' in line]
    for switch in (LAYER_DECAY, CLIPPING, SCALING, EMA):
        assert any(switch in comment for comment in comments), switch


@pytest.fixture
def trained(shapes, tmp_path):
    """Return a function that trains two iterations with options of the command line."""

    def trained(*switches):
        parser = ArgumentParser()
        parser.add_argument('--cfg-options', nargs='*', action=CfgOptionsAction)
        options = parser.parse_args(['--cfg-options', *switches]).cfg_options
        cfg = tiny_config(
            ROOT / 'configs/mmdet/mask_rcnn_sparx_b_1x.py', shapes, str(tmp_path), **(options or {})
        )
        cfg.train_cfg.max_epochs = 1
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        runner = build_runner(cfg, ('train',))
        runner.train()
        assert runner.iter == 2
        return runner

    return trained


def _rates(runner):
    """Map parameters to their rates before the schedule."""
    rates = {
        id(parameter): group['initial_lr']
        for group in runner.optim_wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    return {name: rates[id(parameter)] for name, parameter in runner.model.named_parameters()}


@pytest.mark.stack
def test_without_switches(trained):
    runner = trained()
    assert set(_rates(runner).values()) == {1e-4}
    assert runner.optim_wrapper.clip_grad_kwargs is None
    assert not any(isinstance(hook, EMAHook) for hook in runner.hooks)
    scalars = runner.message_hub.log_scalars
    assert 'train/loss' in scalars and 'train/grad_norm' not in scalars


@pytest.mark.stack
def test_switches(trained, tmp_path):
    # 2 iterations move weights and average too little to tell them apart
    visible = ('default_hooks.ema.momentum=0.25', 'param_scheduler.0.start_factor=1.0')
    runner = trained(LAYER_DECAY, CLIPPING, SCALING, EMA, *visible)
    rates = _rates(runner)
    # of the 10 depths of the backbone: 0, 2, 4, 8 and 9
    for name, exponent in {
        'backbone.stem.0.weight': 9,
        'backbone.stages.1.layers.0.mixer.A_log': 7,
        'backbone.downsamples.1.0.weight': 5,
        'backbone.stages.3.layers.1.ffn.fc1.bias': 1,
        'backbone.norms.2.weight': 0,
        'neck.fpn_convs.0.conv.weight': 0,
        'roi_head.mask_head.conv_logits.bias': 0,
    }.items():
        # 2 images where the recipe has 16
        assert rates[name] == 1e-4 * 0.8**exponent / 8, name
    assert runner.optim_wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    _, updates = runner.message_hub.get_scalar('train/grad_norm').data
    assert len(updates) == 2
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average = hook.ema_model.module
    name = 'neck.fpn_convs.0.conv.weight'
    file = torch.load(tmp_path / 'epoch_1.pth', map_location='cpu', weights_only=False)
    saved = file['state_dict'][name]
    assert saved.equal(average.get_parameter(name))
    assert not saved.equal(runner.model.get_parameter(name))
