"""Every config under configs/mmseg: its recipe, its model, one step."""

import pytest
import torch
from detection import ROOT
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from segmentation import CONFIGS, tiny_config

from sparx_mm import SparXMamba, SparXSwin
from sparx_mm.run import build_runner, load_config

BACKBONES = dict(
    t=(SparXMamba, 'tiny'),
    s=(SparXMamba, 'small'),
    b=(SparXMamba, 'base'),
    swin_t=(SparXSwin, 'tiny'),
    swin_b=(SparXSwin, 'base'),
)
# by arch
DROP_PATH = dict(
    upernet=dict(tiny=0.2, small=0.4, base=0.5), semantic_fpn=dict(tiny=0.1, small=0.1, base=0.1)
)
# iterations, rate, decay, iterations of warm-up, schedule after it
SCHEDULES = dict(
    upernet=(160000, 6e-5, 0.01, 1500, dict(type='PolyLR', power=1.0)),
    semantic_fpn=(80000, 2e-4, 1e-4, 1000, dict(type='CosineAnnealingLR')),
)
URL = 'https://github.com/LMMMEng/SparX/releases/download/v1/'
RECIPES = [(method, name) for method in DROP_PATH for name in BACKBONES]
PATHS = [path for path in CONFIGS if 'shapes' not in path.stem]
# each head and each family of backbones
VARIED = [
    ROOT / f'configs/mmseg/{name}.py'
    for name in ('semantic_fpn_sparx_t', 'upernet_sparx_b', 'upernet_sparx_swin_t')
]
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def _config(method, name):
    return load_config(str(ROOT / f'configs/mmseg/{method}_sparx_{name}.py'))


def _stem(path):
    return path.stem


def test_the_shipped_recipes_are_these():
    assert [path.stem for path in PATHS] == sorted(
        f'{method}_sparx_{name}' for method, name in RECIPES
    )


@pytest.mark.parametrize('method,name', RECIPES)
def test_model_recipe(method, name):
    model = _config(method, name).model
    family, arch = BACKBONES[name]
    dims = list(family.arch_zoo[arch]['embed_dims'])
    assert model.backbone.type == family.__name__
    assert model.backbone.arch == arch
    assert model.backbone.attn_scale == 'length'
    assert model.backbone.drop_path_rate == DROP_PATH[method][arch]
    if family is SparXMamba:
        assert model.backbone.init_cfg == dict(
            type='Pretrained', checkpoint=f'{URL}sparx_mamba_{arch}_in1k.pth'
        )
    else:
        # nothing was released
        assert 'init_cfg' not in model.backbone
    assert model.data_preprocessor.size == (512, 512)
    assert model.data_preprocessor.mean == MEAN
    assert model.data_preprocessor.std == STD
    assert model.test_cfg == dict(mode='whole')
    assert model.decode_head.num_classes == 150
    assert model.decode_head.dropout_ratio == 0.1
    assert not model.decode_head.align_corners
    assert model.decode_head.norm_cfg == dict(type='BN')
    if method == 'semantic_fpn':
        assert model.neck == dict(type='FPN', in_channels=dims, out_channels=256, num_outs=4)
        assert model.decode_head.type == 'FPNHead'
        assert model.decode_head.in_channels == [256] * 4
        assert model.decode_head.feature_strides == [4, 8, 16, 32]
        assert model.decode_head.channels == 128
        assert 'auxiliary_head' not in model
        return
    assert model.decode_head.type == 'UPerHead'
    assert model.decode_head.in_channels == dims
    assert model.decode_head.channels == 512
    assert model.decode_head.pool_scales == (1, 2, 3, 6)
    auxiliary = model.auxiliary_head
    assert auxiliary.type == 'FCNHead'
    assert auxiliary.in_index == 2 and auxiliary.in_channels == dims[2]
    assert auxiliary.num_classes == 150
    assert auxiliary.channels == 256 and auxiliary.num_convs == 1
    assert auxiliary.loss_decode.loss_weight == 0.4


@pytest.mark.parametrize('method,name', RECIPES)
def test_schedule_recipe(method, name):
    cfg = _config(method, name)
    iters, lr, decay, warmup, schedule = SCHEDULES[method]
    assert cfg.train_cfg == dict(type='IterBasedTrainLoop', max_iters=iters, val_interval=8000)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=decay
    )
    first, second = cfg.param_scheduler
    assert first == dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup)
    assert second == dict(eta_min=0.0, begin=warmup, end=iters, by_epoch=False, **schedule)
    assert cfg.sync_bn == 'torch'
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=16)
    checkpoint = cfg.default_hooks.checkpoint
    assert checkpoint.interval == 8000 and not checkpoint.by_epoch
    assert checkpoint.save_best == 'mIoU'


@pytest.mark.parametrize('method,name', RECIPES)
def test_data_recipe(method, name):
    cfg = _config(method, name)
    train, val = cfg.train_dataloader, cfg.val_dataloader
    assert train.batch_size == 2
    for loader, split in ((train, 'training'), (val, 'validation')):
        dataset = loader.dataset
        assert dataset.type == 'ADE20KDataset'
        assert dataset.data_root == 'data/ade/ADEChallengeData2016/'
        assert dataset.data_prefix == dict(
            img_path=f'images/{split}', seg_map_path=f'annotations/{split}'
        )
    steps = {step['type']: step for step in train.dataset.pipeline}
    assert list(steps) == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'CheckSegMap',
        'RandomResize',
        'RandomCrop',
        'RandomFlip',
        'PhotoMetricDistortion',
        'PackSegInputs',
    ]
    assert steps['RandomResize'].scale == (2048, 512)
    assert steps['RandomResize'].ratio_range == (0.5, 2.0)
    assert steps['RandomCrop'].crop_size == (512, 512)
    assert steps['RandomCrop'].cat_max_ratio == 0.75
    assert val.dataset.pipeline[1].scale == (2048, 512)
    assert cfg.val_evaluator == dict(type='IoUMetric', iou_metrics=['mIoU'])


def test_tta_is_the_papers():
    cfg = _config('upernet', 't')
    assert cfg.tta_model == dict(type='SegTTAModel')
    resizes, flips, *_ = cfg.tta_pipeline[1].transforms
    assert [step.scale for step in resizes] == [
        (1024, 256),
        (1536, 384),
        (2048, 512),
        (2560, 640),
        (3072, 768),
        (3584, 896),
    ]
    assert all(step.keep_ratio for step in resizes)
    assert [step.prob for step in flips] == [0, 1]


@pytest.fixture
def build(ade, tmp_path):
    """A function that builds the runner of a small segmentor."""

    def build(path, loops=(), **options):
        torch.manual_seed(0)
        return build_runner(tiny_config(path, ade, str(tmp_path), **options), loops)

    return build


@pytest.mark.stack
@pytest.mark.parametrize('path', PATHS, ids=_stem)
def test_pico_trains_and_tests_one_step(path, build):
    runner = build(path, ('train', 'test'))
    model = runner.model
    model.init_weights()
    model.train()
    batch = next(iter(runner.train_dataloader))
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, 32, 32)] * 2
    batch = model.data_preprocessor(batch, training=True)
    loss, logged = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    heads = {'decode.loss_ce'}
    if 'upernet' in path.stem:
        heads.add('aux.loss_ce')
    assert heads == {name for name in logged if name.endswith('loss_ce')}
    assert not [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    model.eval()
    for batch in runner.test_dataloader:
        with torch.no_grad():
            sample = model.test_step(batch)[0]
        # the label map keeps the size of the file, as does the prediction
        assert sample.gt_sem_seg.shape == sample.ori_shape
        assert sample.pred_sem_seg.shape == sample.ori_shape
        assert sample.seg_logits.data.isfinite().all()


def _predict(model, image):
    """Classes and logits of an image of shape (3, H, W)."""
    sample = dict(inputs=[image])
    with torch.no_grad():
        sample = model.eval().test_step(sample)[0]
    return sample.pred_sem_seg.data, sample.seg_logits.data


@pytest.mark.stack
@pytest.mark.parametrize('path', VARIED, ids=_stem)
@pytest.mark.parametrize('size', [(1, 1), (33, 47), (512, 2048)])
def test_any_size_of_image(path, size, build):
    model = build(path).model
    model.init_weights()
    found, logits = _predict(model, torch.randint(256, (3, *size)))
    assert found.shape == (1, *size)
    assert logits.shape == (150, *size) and logits.isfinite().all()
    assert found.equal(logits.argmax(0, keepdim=True))


@pytest.mark.stack
@pytest.mark.parametrize('path', VARIED, ids=_stem)
def test_sliding_and_whole_inference_agree(path, build):
    model = build(path).model
    model.init_weights()
    image = torch.randint(256, (3, 33, 47))
    _, whole = _predict(model, image)
    # one window holds all of it
    model.test_cfg.update(mode='slide', crop_size=(64, 64), stride=(32, 32))
    found, slide = _predict(model, image)
    assert slide.equal(whole) and found.equal(whole.argmax(0, keepdim=True))
    # two windows side by side that do not overlap: two images
    wide = torch.cat([image, image.flip(2)], 2)
    model.test_cfg.update(crop_size=(33, 47), stride=(33, 47))
    _, slide = _predict(model, wide)
    _, flipped = _predict(model, image.flip(2))
    torch.testing.assert_close(slide, torch.cat([whole, flipped], 2), rtol=0, atol=1e-4)
    # windows that overlap: the mean where they do
    model.test_cfg.update(crop_size=(33, 47), stride=(33, 24))
    _, slide = _predict(model, wide)
    _, middle = _predict(model, wide[..., 24:71])
    both = torch.stack([whole[..., 24:], middle[..., :23]]).mean(0)
    torch.testing.assert_close(slide[..., 24:47], both, rtol=0, atol=1e-4)


@pytest.mark.stack
def test_tta_averages_probabilities(ade, tmp_path):
    path = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'
    cfg = tiny_config(path, ade, str(tmp_path))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    runner = build_runner(cfg, ('test',))
    runner.model.module.load_state_dict(model.state_dict())
    runner.model.eval()
    inputs = runner.test_dataloader.dataset[0]
    assert len(inputs['inputs']) == 12
    batch = pseudo_collate([inputs])
    with torch.no_grad():
        (merged,) = runner.model.test_step(batch)
        single = [
            model.test_step(dict(inputs=[image], data_samples=[sample]))[0]
            for image, sample in zip(inputs['inputs'], inputs['data_samples'])
        ]
    mean = sum(sample.seg_logits.data.softmax(0) for sample in single) / 12
    assert merged.pred_sem_seg.data.equal(mean.argmax(0, keepdim=True))
    # the label map is neither flipped nor resized
    assert all(sample.gt_sem_seg.data.equal(merged.gt_sem_seg.data) for sample in single)
