"""A classifier that learns from a teacher: what it is told, and what a run keeps of it."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from classification import tiny_config
from detection import ROOT
from mmengine.registry import init_default_scope

from sparx_mm.errors import ConfigError, UserError
from sparx_mm.finetuning.settings import _simplify_classifier
from sparx_mm.run import build_runner
from sparx_mm.state_dicts import CoverageError

pytest.importorskip('mmpretrain')

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import sparx_mm.distillation  # noqa: F401

CONFIG = ROOT / 'configs/mmpretrain/groupmamba_t_in1k.py'


def teacher_of(num_classes=6, **kwargs):
    """A classifier of mmpretrain that sees colors alone."""
    return dict(
        type='ImageClassifier',
        backbone=dict(type='Means'),
        head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=3),
        **kwargs,
    )


@MODELS.register_module()
class Means(torch.nn.Module):
    def forward(self, x):
        return (x.mean((2, 3)),)


@pytest.fixture
def file(tmp_path):
    """A teacher's checkpoint, of weights of order one."""
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 3), torch.randn(6)
    torch.save({'head.fc.weight': weight, 'head.fc.bias': bias}, tmp_path / 'teacher.pth')
    return str(tmp_path / 'teacher.pth')


@pytest.fixture
def runner(imagenet, tmp_path, file):
    """A run of the small classifier with that teacher."""
    init_cfg = dict(type='Pretrained', checkpoint=file)
    cfg = tiny_config(CONFIG, imagenet, str(tmp_path / 'run'), train_cfg__max_epochs=1)
    cfg.model.teacher = teacher_of(init_cfg=init_cfg)
    return build_runner(cfg, ('train',))


def said_by(file, images):
    weights = torch.load(file)
    return F.linear(images.mean((2, 3)), weights['head.fc.weight'], weights['head.fc.bias'])


def test_the_losses_are_those_of_mixed_labels_and_of_the_teacher(runner, file):
    np.random.seed(0)
    model = runner.model.train()
    model.init_weights()
    batch = model.data_preprocessor(next(iter(runner.train_dataloader)), training=True)
    features = []
    model.neck.register_forward_hook(lambda *args: features.append(args[2][0]))
    losses = model(**batch, mode='loss')
    (x,) = features
    head = model.head
    labels = torch.stack([sample.gt_score for sample in batch['data_samples']])
    assert labels.shape == (4, 6)
    wanted = head.loss_module(head.fc(x), labels, avg_factor=len(x)) / 2
    torch.testing.assert_close(losses['loss'], wanted)
    best = said_by(file, batch['inputs']).argmax(1)
    torch.testing.assert_close(losses['loss_dist'], F.cross_entropy(head.fc_dist(x), best) / 2)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_run_does_not_keep_its_teacher(runner, tmp_path):
    runner.train()
    saved = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    for weights in (saved['state_dict'], saved['ema_state_dict']):
        assert not [name for name in weights if 'teacher' in name]
    model = runner.model
    teacher = model._find_teacher()
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    assert not any(teacher is module for module in model.modules())
    # nor does a copy, as an average makes one, hold another
    assert deepcopy(model)._find_teacher() is teacher


def test_the_teacher_runs_without_autocast(file):
    model = build(**teacher_of(init_cfg=dict(type='Pretrained', checkpoint=file)))
    images = 100 * torch.randn(4, 3, 32, 32)
    given = {}

    def loss(feats, data_samples, teacher_logits):
        given['logits'] = teacher_logits
        return {}

    model.head.loss = loss
    with torch.autocast('cpu', torch.bfloat16):
        model.loss(images, [DataSample()] * 4)
    assert given['logits'].dtype == torch.float32 and not given['logits'].requires_grad
    torch.testing.assert_close(given['logits'], said_by(file, images))


def test_logits_are_the_mean_of_both_layers():
    head = MODELS.build(dict(type='DistillationClsHead', num_classes=3, in_channels=4))
    x = torch.randn(2, 4)
    wanted = (head.fc(x) + head.fc_dist(x)) / 2
    for mode in (True, False):
        torch.testing.assert_close(head.train(mode)((x,)), wanted)
    (first, _) = head.predict((x,))
    torch.testing.assert_close(first.pred_score, wanted[0].softmax(0))
    # without a teacher, it is the mean that learns
    samples = [DataSample().set_gt_label(i) for i in (0, 2)]
    loss = head.loss((x,), samples)
    torch.testing.assert_close(loss['loss'], F.cross_entropy(wanted, torch.tensor([0, 2])))
    assert set(loss) == {'loss'}


def build(**teacher):
    return build_with(teacher)


def build_with(teacher, **images):
    init_default_scope('mmpretrain')
    return MODELS.build(
        dict(
            type='DistilledClassifier',
            backbone=dict(type='Means'),
            head=dict(type='DistillationClsHead', num_classes=6, in_channels=3),
            teacher=teacher,
            data_preprocessor=images,
        )
    )


RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
BGR = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], to_rgb=False)


@pytest.mark.tries('a teacher that was trained on images of another')
def test_a_teacher_of_other_images_is_refused(file):
    known = dict(type='Pretrained', checkpoint=file)
    for given in (BGR, dict(RGB, std=[1, 1, 1]), dict(RGB, to_rgb=False)):
        with pytest.raises(ConfigError) as error:
            build_with(teacher_of(init_cfg=known, data_preprocessor=given), **RGB)
        assert f'expects images with mean={given["mean"]}, std=' in str(error.value)
        assert "model's, with mean=[123.675, 116.28, 103.53]" in str(error.value)
    # one that is known is not compared with one that is not
    for given, own in ((RGB, RGB), (dict(num_classes=6), RGB), (BGR, {}), (None, RGB)):
        build_with(teacher_of(init_cfg=known, data_preprocessor=given), **own)


def test_a_teacher_of_timm(tmp_path):
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    theirs = timm.create_model('test_resnet', num_classes=6).eval()
    torch.save(theirs.state_dict(), tmp_path / 'timm.pth')
    options = dict(model_name='test_resnet', num_classes=6)
    model = build(
        type='TimmClassifier', checkpoint_path=str(tmp_path / 'timm.pth'), **options
    ).train()
    model.init_weights()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs(images)
    torch.testing.assert_close(model._find_teacher()(images, mode='tensor'), wanted)


@pytest.mark.tries('a teacher without its weights')
def test_mistakes(file, tmp_path):
    for teacher in (
        teacher_of(),
        teacher_of(init_cfg=dict(type='Normal', layer='Linear')),
        dict(type='TimmClassifier', model_name='test_resnet', pretrained=False),
    ):
        with pytest.raises(ConfigError, match='model.teacher has no weights: give init_cfg'):
            build(**teacher)
    build(**teacher_of(init_cfg=dict(type='mmengine.model.PretrainedInit', checkpoint=file)))
    known = dict(type='Pretrained', checkpoint=file)
    for teacher, message in (
        ('resnet50', "model.teacher must be the config of a classifier, a dict, got 'resnet50'"),
        (teacher_of(init_cfg=[known]), r'init_cfg must be one dict.* got \[\{'),
        (dict(teacher_of(init_cfg=known), head=None), 'has no head.*: give model.teacher.head'),
    ):
        with pytest.raises(ConfigError, match=message):
            build_with(teacher)
    for changes, message in (
        (dict(prefix='student'), 'lacks head.fc.weight, head.fc.bias of the teacher'),
        (dict(checkpoint=str(tmp_path / 'none.pth')), 'none.pth'),
    ):
        with pytest.raises(UserError, match=message):
            build(**teacher_of(init_cfg=dict(known, **changes))).init_weights()
    other = teacher_of(5, init_cfg=known)
    with pytest.raises(
        CoverageError, match=r'teacher.pth does not fit the teacher \(size mismatch.*\): give'
    ):
        build(**other).init_weights()
    torch.save(
        {'head.fc.weight': torch.zeros(5, 3), 'head.fc.bias': torch.zeros(5)}, tmp_path / '5.pth'
    )
    five = build(**teacher_of(5, init_cfg=dict(known, checkpoint=str(tmp_path / '5.pth'))))
    with pytest.raises(ConfigError, match='teacher tells 5 classes apart, the head 6'):
        five.loss(torch.rand(1, 3, 8, 8), [DataSample().set_gt_label(0)])
    with pytest.raises(ConfigError, match='alpha must be between 0 and 1, got 2'):
        MODELS.build(dict(type='DistillationClsHead', num_classes=2, in_channels=3, alpha=2))


def test_fine_tuning_has_no_teacher(imagenet, tmp_path):
    """The teacher of a recipe knows other classes."""
    cfg = tiny_config(CONFIG, imagenet, str(tmp_path))
    cfg.model.teacher = teacher_of(pretrained='somewhere.pth')
    _simplify_classifier(cfg, 6)
    runner = build_runner(cfg, ('train',))
    runner.model.init_weights()
    batch = runner.model.data_preprocessor(next(iter(runner.train_dataloader)), training=True)
    losses = runner.model(**batch, mode='loss')
    assert set(losses) == {'loss'} and losses['loss'].isfinite()
