"""Every config under configs/mmpretrain: its recipe, its model, its steps."""

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
import torch
from classification import CONFIGS, tiny_config
from detection import ROOT
from mmengine.hooks import EMAHook
from mmengine.registry import MODELS, init_default_scope

from sparx_mm.analysis import count_complexity, load_model
from sparx_mm.errors import UserError
from sparx_mm.run import build_runner, load_config

# arch, channels of the last stage, drop path rate, short side of test images
RECIPES = dict(
    sparx_t=('tiny', 512, 0.2, 248),
    sparx_s=('small', 544, 0.3, 235),
    sparx_b=('base', 636, 0.5, 235),
    sparx_swin_t=('tiny', 576, 0.2, 248),
    sparx_swin_b=('base', 616, 0.5, 235),
)
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def _config(name):
    return load_config(str(ROOT / f'configs/mmpretrain/{name}_in1k.py'))


@pytest.fixture
def build(imagenet, tmp_path):
    """A function that builds the runner of a small classifier."""

    def build(name='sparx_t', loops=('train',), **options):
        path = ROOT / f'configs/mmpretrain/{name}_in1k.py'
        torch.manual_seed(0)
        np.random.seed(0)
        return build_runner(tiny_config(path, imagenet, str(tmp_path), **options), loops)

    return build


def test_the_shipped_configs_are_these():
    assert [c.stem for c in CONFIGS] == sorted(f'{n}_in1k' for n in RECIPES)


@pytest.mark.parametrize('name', RECIPES)
def test_model_recipe(name):
    arch, channels, drop_path, _ = RECIPES[name]
    model = _config(name).model
    backbone, neck, head = model.backbone, model.neck, model.head
    assert backbone.arch == arch
    assert backbone.drop_path_rate == drop_path
    assert backbone.out_indices == (3,)
    assert backbone.attn_scale == 'length'
    assert 'init_cfg' not in backbone
    if 'swin' in name:
        assert backbone.type == 'SparXSwin' and backbone.out_norm
        assert neck == dict(type='GlobalAveragePooling')
    else:
        assert backbone.type == 'SparXMamba' and not backbone.out_norm
        assert neck == dict(
            type='NormPooling', in_channels=channels, norm_cfg=dict(type='GN', num_groups=1)
        )
    assert head.type == 'LinearClsHead' and head.in_channels == channels
    assert head.num_classes == model.data_preprocessor.num_classes == 1000
    assert head.loss == dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
    assert model.train_cfg == dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    )
    assert model.data_preprocessor.mean == MEAN
    assert model.data_preprocessor.std == STD
    assert model.data_preprocessor.to_rgb


@pytest.mark.parametrize('name', RECIPES)
def test_schedule_recipe(name):
    cfg = _config(name)
    assert cfg.train_cfg == dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=1)
    wrapper = cfg.optim_wrapper
    assert wrapper.type == 'AmpOptimWrapper'
    assert wrapper.optimizer == dict(type='AdamW', lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05)
    assert wrapper.clip_grad == dict(max_norm=5.0)
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=2048)
    assert cfg.train_dataloader.batch_size == 2048 // 8
    warmup, cosine = cfg.param_scheduler
    assert warmup.start_factor * wrapper.optimizer.lr == pytest.approx(1e-6)
    for scheduler, begin, end in ((warmup, 0, 20), (cosine, 20, 300)):
        assert (scheduler.begin, scheduler.end) == (begin, end)
        assert scheduler.by_epoch and scheduler.convert_to_iter_based
    assert (warmup.type, cosine.type) == ('LinearLR', 'CosineAnnealingLR')
    assert cosine.eta_min == 1e-5
    # of decay 0.9998
    assert cfg.default_hooks.ema == dict(type='EMAHook', momentum=2e-4, update_buffers=True)
    assert cfg.get('custom_hooks') is None
    assert cfg.sync_bn == 'torch'
    assert cfg.default_hooks.checkpoint.save_best == 'accuracy/top1'


@pytest.mark.parametrize('name', RECIPES)
def test_data_recipe(name):
    cfg = _config(name)
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'val'),
        (cfg.test_dataloader, 'val'),
    ):
        assert loader.dataset.type == 'ImageNet'
        assert loader.dataset.data_root == 'data/imagenet'
        assert loader.dataset.split == split
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.pipeline}
    assert list(steps) == [
        'LoadImageFromFile',
        'RandomResizedCrop',
        'RandomFlip',
        'RandAugment',
        'RandomErasing',
        'PackInputs',
    ]
    assert steps['RandomResizedCrop'].scale == 224
    augment = steps['RandAugment']
    assert augment.policies == 'timm_increasing'
    assert (
        augment.num_policies,
        augment.magnitude_level,
        augment.total_level,
        augment.magnitude_std,
    ) == (2, 9, 10, 0.5)
    erase = steps['RandomErasing']
    assert erase.erase_prob == 0.25 and erase.mode == 'rand'
    # before the channels are swapped
    assert erase.fill_color == MEAN[::-1] and erase.fill_std == STD[::-1]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        steps = {step['type']: step for step in loader.dataset.pipeline}
        assert list(steps) == ['LoadImageFromFile', 'ResizeEdge', 'CenterCrop', 'PackInputs']
        assert steps['ResizeEdge'].scale == RECIPES[name][-1]
        assert steps['ResizeEdge'].edge == 'short'
        assert steps['CenterCrop'].crop_size == 224
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5))


def test_the_average_is_evaluated(build):
    runner = build(loops=('train', 'val'), train_cfg__max_epochs=1)
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    names = ('head.fc.weight', 'backbone.stem.1.running_mean')
    seen = []

    def evaluate(size):
        weights = runner.model.state_dict()
        seen.append({name: weights[name].clone() for name in names})
        return {}

    runner.val_loop.evaluator.evaluate = evaluate
    runner.train()
    average = hook.ema_model.module.state_dict()
    trained = runner.model.state_dict()
    (evaluated,) = seen
    for name in names:
        assert evaluated[name].equal(average[name])
        assert not evaluated[name].equal(trained[name])


def test_the_average_can_be_left_out_and_not_doubled(build):
    runner = build(default_hooks__ema=None)
    assert not any(isinstance(hook, EMAHook) for hook in runner.hooks)
    # the switch of the other recipes changes nothing
    build(default_hooks__ema__type='EMAHook')
    with pytest.raises(UserError, match='2 EMAHooks would each put'):
        build(custom_hooks=[dict(type='EMAHook')])


def test_targets_are_mixed_and_smoothed(build):
    """As timm makes them: one-hot, mixed in pairs, smoothed by 0.1."""
    runner = build()
    preprocess = runner.model.data_preprocessor
    loss = runner.model.head.loss_module
    loss.num_classes = 6
    batch = next(iter(runner.train_dataloader))
    assert [tuple(x.shape) for x in batch['inputs']] == [(3, 32, 32)] * 4
    chosen = Counter()

    def counted(augment):

        def mix(*args):
            chosen[type(augment).__name__] += 1
            return augment(*args)

        return mix

    augments = preprocess.batch_augments
    augments.augments = [counted(one) for one in augments.augments]
    for _ in range(200):
        # the scores are written into the samples
        mixed = preprocess(deepcopy(batch), training=True)
        scores = torch.stack([s.gt_score for s in mixed['data_samples']])
        assert ((scores > 0).sum(1) <= 2).all()
        targets = loss.smooth_label(scores)
        torch.testing.assert_close(targets, 0.9 * scores + 0.1 / 6)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
    # either as often: 100 of 200, within five standard deviations of 7
    assert chosen.keys() == {'Mixup', 'CutMix'}
    assert chosen.total() == 200 and 65 < chosen['Mixup'] < 135


def test_images_are_as_imagenets_are_normalised(build):
    runner = build(loops=('test',))
    batch = next(iter(runner.test_dataloader))
    out = runner.model.data_preprocessor(batch)['inputs']
    pixels = torch.stack(batch['inputs']).flip(1).float()
    wide = (-1, 1, 1)
    expected = (pixels - torch.tensor(MEAN).view(wide)) / torch.tensor(STD).view(wide)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize('name', RECIPES)
def test_pico_trains_one_step(name, build):
    runner = build(name)
    model = runner.model
    model.init_weights()
    model.train()
    batch = model.data_preprocessor(next(iter(runner.train_dataloader)), training=True)
    loss = model(**batch, mode='loss')['loss']
    loss.backward()
    assert torch.isfinite(loss)
    assert not [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    # of linear layers of the released classifiers
    weight = model.head.fc.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert not model.head.fc.bias.any()


@pytest.mark.parametrize('name', ['sparx_t', 'sparx_swin_t'])
@pytest.mark.parametrize('size', [(1, 1), (33, 47)])
def test_any_size_of_image(name, size, build):
    model = build(name).model.eval()
    (sample,) = model.test_step(dict(inputs=[torch.randint(256, (3, *size))]))
    assert sample.pred_score.shape == (6,)
    assert sample.pred_score.isfinite().all()


def test_multiply_adds_at_full_size():
    model, shape = load_model(str(ROOT / 'configs/mmpretrain/sparx_t_in1k.py'))
    parts = count_complexity(model, shape).parts.values()
    assert shape == (224, 224)
    # the paper's convention and figure, in G
    assert sum(part.macs for part in parts) / 1e9 == pytest.approx(5.247, abs=5e-4)


def test_parameters_at_full_size():
    init_default_scope('mmpretrain')
    counts = {}
    for name in RECIPES:
        with torch.device('meta'):
            model = MODELS.build(_config(name).model)
        counts[name] = sum(p.numel() for p in model.parameters())
    # as released, and for Swin as derived from the paper's 26 M and 88 M
    assert counts == dict(
        sparx_t=27051794,
        sparx_s=47444712,
        sparx_b=83536168,
        sparx_swin_t=counts['sparx_swin_t'],
        sparx_swin_b=counts['sparx_swin_b'],
    )
    assert counts['sparx_swin_t'] / 1e6 == pytest.approx(26.44, abs=0.005)
    assert counts['sparx_swin_b'] / 1e6 == pytest.approx(87.72, abs=0.005)
