"""Every config under configs/mmdet: its recipe, its model, one step."""

import pytest
import torch
from detection import CONFIGS, ROOT, tiny_config
from mmengine.hooks import EMAHook
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.demo import CLASSES
from sparx_mm.run import ArgumentParser, CfgOptionsAction, build_runner, load_config

# arch, channels, drop path rate
BACKBONES = dict(
    t=('tiny', (96, 192, 320, 512), 0.2),
    s=('small', (96, 192, 328, 544), 0.3),
    b=('base', (120, 240, 396, 636), 0.45),
    swin_t=('tiny', (96, 192, 320, 576), 0.2),
    swin_b=('base', (120, 240, 396, 616), 0.45),
)
EPOCHS = {'1x': (12, [8, 11]), '3x': (36, [27, 33])}
# millions; paper Table 3 prints the same, but for 45 of Swin-T
PARAMETERS = dict(t=47, s=67, b=103, swin_t=46, swin_b=107)
URL = 'https://github.com/LMMMEng/SparX/releases/download/v1/'
RECIPES = [f'mask_rcnn_sparx_{b}_{x}' for b in BACKBONES for x in EPOCHS]
DEMO = ROOT / 'configs/mmdet/mask_rcnn_sparx_demo_shapes.py'


def _config(name):
    return load_config(str(ROOT / f'configs/mmdet/{name}.py'))


def _ids(path):
    return path.stem


def test_the_shipped_configs_are_these():
    assert [c.stem for c in CONFIGS] == sorted([*RECIPES, DEMO.stem])


@pytest.mark.parametrize('name', RECIPES)
def test_model_recipe(name):
    arch, channels, drop_path = BACKBONES[name[len('mask_rcnn_sparx_') : -3]]
    model = _config(name).model
    backbone = model.backbone
    assert backbone.arch == arch
    assert backbone.drop_path_rate == drop_path
    assert tuple(model.neck.in_channels) == channels
    if 'swin' in name:
        # nothing was released
        assert backbone.type == 'SparXSwin'
        assert backbone.attn_scale == 'length'
        assert 'init_cfg' not in backbone
    else:
        assert backbone.type == 'SparXMamba'
        assert backbone.attn_scale == 'learnable'
        assert backbone.init_cfg == dict(
            type='Pretrained', checkpoint=f'{URL}sparx_mamba_{arch}_in1k.pth'
        )


@pytest.mark.parametrize('name', RECIPES)
def test_schedule_recipe(name):
    cfg = _config(name)
    epochs, milestones = EPOCHS[name[-2:]]
    assert cfg.train_cfg.max_epochs == epochs
    warmup, steps = cfg.param_scheduler
    assert warmup == dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000)
    assert steps == dict(
        type='MultiStepLR', begin=0, end=epochs, by_epoch=True, milestones=milestones, gamma=0.1
    )
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert cfg.sync_bn == 'torch'
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=16)


@pytest.mark.parametrize('name', RECIPES)
def test_data_recipe(name):
    cfg = _config(name)
    train, val = cfg.train_dataloader, cfg.val_dataloader
    assert train.batch_size == 2
    for loader, split in ((train, 'train2017'), (val, 'val2017')):
        assert loader.dataset.data_root == 'data/coco/'
        assert loader.dataset.ann_file == f'annotations/instances_{split}.json'
        assert loader.dataset.data_prefix == dict(img=f'{split}/')
    assert val.dataset.pipeline[1].scale == (1333, 800)
    assert cfg.val_evaluator.metric == ['bbox', 'segm']
    steps = {step['type']: step for step in train.dataset.pipeline}
    if name.endswith('1x'):
        assert steps['Resize'].scale == (1333, 800)
        return
    resize, crop = steps['RandomChoice'].transforms
    shorts = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
    scales = [(short, 1333) for short in shorts]
    assert [step.type for step in resize] == ['RandomChoiceResize']
    assert resize[0].scales == scales
    assert [step.type for step in crop] == [
        'RandomChoiceResize',
        'RandomCrop',
        'RandomChoiceResize',
    ]
    assert crop[0].scales == [(400, 1333), (500, 1333), (600, 1333)]
    assert crop[1].crop_type == 'absolute_range'
    assert crop[1].crop_size == (384, 600)
    assert crop[1].allow_negative_crop
    assert crop[2].scales == scales


def test_the_demo_has_the_classes_that_are_drawn():
    cfg = load_config(str(DEMO))
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert tuple(dataset.metainfo.classes) == CLASSES
    for head in ('bbox_head', 'mask_head'):
        assert cfg.model.roi_head[head].num_classes == len(CLASSES)


@pytest.mark.stack
@pytest.mark.parametrize('backbone', BACKBONES)
def test_model_builds_with_its_parameters(backbone):
    cfg, other = (_config(f'mask_rcnn_sparx_{backbone}_{x}') for x in EPOCHS)
    assert cfg.model == other.model
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    parameters = sum(p.numel() for p in model.parameters())
    assert round(parameters / 1e6) == PARAMETERS[backbone]


@pytest.mark.stack
@pytest.mark.parametrize('path', CONFIGS, ids=_ids)
def test_pico_trains_and_tests_one_step(path, shapes, tmp_path):
    torch.manual_seed(0)
    cfg = tiny_config(path, shapes, str(tmp_path))
    runner = build_runner(cfg, ('train', 'test'))
    model = runner.model
    model.init_weights()
    model.train()
    batch = next(iter(runner.train_dataloader))
    batch = model.data_preprocessor(batch, training=True)
    loss, logged = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert {'loss_rpn_cls', 'loss_cls', 'loss_mask'} <= set(logged)
    assert not [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    model.eval()
    batch = next(iter(runner.test_dataloader))
    with torch.no_grad():
        sample = model.test_step(batch)[0]
    found = sample.pred_instances
    assert found.bboxes.shape == (len(found), 4)
    assert found.masks.shape == (len(found), *sample.ori_shape)
    assert torch.isfinite(found.scores).all()


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
    """Train two iterations with options of the command line."""

    def trained(*switches):
        parser = ArgumentParser()
        parser.add_argument('--cfg-options', nargs='*', action=CfgOptionsAction)
        options = parser.parse_args(['--cfg-options', *switches]).cfg_options
        cfg = tiny_config(CONFIGS[0], shapes, str(tmp_path), **(options or {}))
        cfg.train_cfg.max_epochs = 1
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        runner = build_runner(cfg, ('train',))
        runner.train()
        assert runner.iter == 2
        return runner

    return trained


def _rates(runner):
    """The rate of each parameter before its schedule."""
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
def test_layer_decay_switch(trained):
    rates = _rates(trained(LAYER_DECAY))
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
        assert rates[name] == 1e-4 * 0.8**exponent, name


@pytest.mark.stack
def test_clipping_switch(trained):
    runner = trained(CLIPPING)
    assert runner.optim_wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    _, updates = runner.message_hub.get_scalar('train/grad_norm').data
    assert len(updates) == 2


@pytest.mark.stack
def test_scaling_switch(trained):
    # 2 images where the recipe has 16; beside another switch
    rates = _rates(trained(SCALING, LAYER_DECAY))
    assert rates['neck.fpn_convs.0.conv.weight'] == 1e-4 / 8
    assert rates['backbone.stem.0.weight'] == 1e-4 * 0.8**9 / 8


@pytest.mark.stack
def test_ema_switch(trained, tmp_path):
    # 2 iterations move weights and average too little to tell them apart
    runner = trained(EMA, 'default_hooks.ema.momentum=0.25', 'param_scheduler.0.start_factor=1.0')
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average = hook.ema_model.module
    name = 'neck.fpn_convs.0.conv.weight'
    saved = torch.load(tmp_path / 'epoch_1.pth', map_location='cpu', weights_only=False)[
        'state_dict'
    ][name]
    assert saved.equal(average.get_parameter(name))
    assert not saved.equal(runner.model.get_parameter(name))
