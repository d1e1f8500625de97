"""Fine-tuning from one call: a run of each task, and how it goes on."""

import os
import shutil
import weakref
from importlib import import_module
from pathlib import Path

import cv2
import pytest
from archs import PICO
from detection import tiny_options
from mmengine.registry import MODELS, init_default_scope
from own_data import save_image, voc, voc_object

from sparx_mm.demo import CLASSES
from sparx_mm.errors import UserError
from sparx_mm.finetuning import finetune
from sparx_mm.run import load_config

# the package has a function of this name
module = import_module('sparx_mm.finetuning.finetune')
pytestmark = [pytest.mark.slow, pytest.mark.stack]
QUICK = dict(weights='none', size=64, epochs=1, batch_size=2, device='cpu')
BACKBONE = {'model.backbone.arch': dict(PICO), 'default_hooks.logger.interval': 1}


def of_shapes(shapes, split):
    return str(shapes / split), str(shapes / f'annotations/instances_{split}.json')


@pytest.fixture(scope='module')
def detector(shapes, tmp_path_factory):
    """A detector's run, and what the call returned."""
    root = tmp_path_factory.mktemp('finetune') / 'run'
    images, annotations = of_shapes(shapes, 'train')
    val_images, val_annotations = of_shapes(shapes, 'val')
    small = {key: v for key, v in tiny_options(shapes).items() if 'channels' in key or 'num' in key}
    small = {
        key: v for key, v in small.items() if key.startswith('model.') and 'classes' not in key
    }
    outcome = finetune(
        task='detection',
        images=images,
        annotations=annotations,
        val_images=val_images,
        val_annotations=val_annotations,
        work_dir=str(root),
        cfg_options={**BACKBONE, **small},
        **QUICK,
    )
    return root, outcome


def test_a_detector_is_trained_evaluated_and_drawn(detector):
    root, outcome = detector
    cfg = load_config(outcome.config)
    assert cfg.model.type == 'MaskRCNN'
    assert set(cfg.train_dataloader.dataset.metainfo.classes) == set(CLASSES)
    assert cfg.model.roi_head.mask_head.num_classes == len(CLASSES)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (1, 2)
    assert Path(outcome.checkpoint).is_file()
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(outcome.metrics)
    assert cv2.imread(outcome.picture) is not None
    head = Path(outcome.config).read_text().splitlines()
    assert '# data: COCO, 4 images for training, 3 for validation, 6 classes' in head


@pytest.fixture
def trained_models(monkeypatch):
    """References to trained models that were alive when another was built."""
    models, alive = [], []

    def train(*args, **kwargs):
        runner = module_train(*args, **kwargs)
        models.append(weakref.ref(runner.model))
        return runner

    def load_runner(*args, **kwargs):
        alive.extend(ref for ref in models if ref() is not None)
        return module_load_runner(*args, **kwargs)

    module_train, module_load_runner = module.train, module.load_runner
    monkeypatch.setattr(module, 'train', train)
    monkeypatch.setattr(module, 'load_runner', load_runner)
    yield alive
    assert models


def test_a_run_goes_on_with_the_config_as_it_was_changed(detector, shapes, trained_models):
    root, outcome = detector
    path = Path(outcome.config)
    text = path.read_text().replace('max_epochs=1', 'max_epochs=2').replace('T_max=1', 'T_max=2')
    path.write_text(text)
    # a run is never written over
    with pytest.raises(UserError, match='holds a run.*go on with --resume'):
        finetune(task='detection', images=str(shapes / 'train'), work_dir=str(root), **QUICK)
    again = finetune(work_dir=str(root), resume=True, device='cpu')
    assert path.read_text() == text
    assert (root / 'training/epoch_2.pth').is_file()
    assert set(again.metrics) == set(outcome.metrics)
    assert not trained_models
    # in a copy of the folder it goes on there
    copy, before = root.with_name('copy'), sorted(root.rglob('*'))
    shutil.copytree(root, copy)
    config = copy / path.relative_to(root)
    config.write_text(text.replace('max_epochs=2', 'max_epochs=3').replace('T_max=2', 'T_max=3'))
    finetune(work_dir=str(copy), resume=True, device='cpu')
    assert (copy / 'training/epoch_3.pth').is_file() and sorted(root.rglob('*')) == before
    # after a change of the data it does not
    annotations = of_shapes(shapes, 'train')[1]
    stat = os.stat(annotations)
    os.utime(annotations, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(UserError, match='changed since the run began'):
        finetune(work_dir=str(root), resume=True, device='cpu')


def test_a_segmentor(shapes, tmp_path):
    outcome = finetune(
        task='segmentation',
        images=str(shapes / 'train'),
        annotations=str(shapes / 'labels/train'),
        model='semantic_fpn_sparx_demo',
        work_dir=str(tmp_path / 'run'),
        cfg_options={
            **BACKBONE,
            'model.neck.in_channels': list(PICO['embed_dims']),
        },
        **QUICK,
    )
    cfg = load_config(outcome.config)
    # the background too
    assert cfg.model.decode_head.num_classes == len(CLASSES) + 1
    assert 'class_weight' not in cfg.model.decode_head.loss_decode
    assert 0 <= outcome.metrics['mIoU'] <= 100
    assert cv2.imread(outcome.picture) is not None


def test_a_classifier(imagenet, tmp_path):
    dims = PICO['embed_dims'][-1]
    outcome = finetune(
        task='classification',
        images=str(imagenet),
        work_dir=str(tmp_path / 'run'),
        cfg_options={**BACKBONE, 'model.neck.in_channels': dims, 'model.head.in_channels': dims},
        **{**QUICK, 'size': 32, 'batch_size': 6},
    )
    cfg = load_config(outcome.config)
    assert cfg.train_dataloader.dataset.metainfo.classes == tuple(sorted(CLASSES))
    assert cfg.model.head.num_classes == len(CLASSES)
    assert 0 <= outcome.metrics['accuracy/top1'] <= 100
    assert cv2.imread(outcome.picture) is not None


@pytest.fixture
def boxes(images, write):
    """A set of VOC's, without masks."""
    save_image(images / 'c.png')
    save_image(images / 'empty.png')
    files = {f'{name}.xml': voc(voc_object('cat', 1, 1, 20, 20)) for name in ('a', 'sub/b', 'c')}
    files['empty.xml'] = voc()
    return dict(images=str(images), annotations=str(write(files)))


def test_boxes_choose_a_detector_without_masks(boxes, tmp_path):
    outcome = finetune('detection', work_dir=str(tmp_path / 'run'), dry_run=True, **boxes, **QUICK)
    cfg = load_config(outcome.config)
    assert outcome.checkpoint is None and not (tmp_path / 'run/training').exists()
    assert cfg.val_evaluator.metric == 'bbox'
    text = Path(outcome.config).read_text()
    # the steps are those of the images that mmdet keeps
    counts = '3 images for training (2 with objects, which are trained), 1 for validation'
    assert f'# data: VOC, {counts}, 1 classes\n' in text and '# 1 epochs for 2 images;' in text
    many = dict(boxes, **QUICK, work_dir=str(tmp_path / 'run'), dry_run=True)
    with pytest.raises(UserError, match='--batch-size 3 is more than the 2 training images'):
        finetune('detection', **{**many, 'batch_size': 3})
    cfg.model.backbone.arch = dict(PICO)
    init_default_scope('mmdet')
    model = MODELS.build({**cfg.model, 'neck': {**cfg.model.neck, 'in_channels': [16, 24, 32, 40]}})
    assert type(model).__name__ == 'FasterRCNN' and not model.with_mask


def test_faults_that_the_data_check_finds(boxes, images, tmp_path):
    # the boxes are for 40 x 30 pixels
    save_image(images / 'a.png', (80, 60))
    for _ in range(2):
        # found again, because nothing was put right
        with pytest.raises(
            UserError, match='1 faults, listed above, the first: image .*a.png has 80'
        ):
            finetune('detection', work_dir=str(tmp_path / 'run'), dry_run=True, **boxes, **QUICK)


def test_data_are_checked_until_they_have_passed(boxes, tmp_path, monkeypatch):
    checks, check = [], module.report_data

    def interrupted(*args):
        checks.append(args)
        if len(checks) < 3:
            raise KeyboardInterrupt
        return check(*args)

    monkeypatch.setattr(module, 'report_data', interrupted)
    kwargs = dict(work_dir=str(tmp_path / 'run'), dry_run=True)
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            finetune('detection', resume=resume, **kwargs, **boxes, **QUICK)
    for _ in range(2):
        finetune('detection', **kwargs, **boxes, **QUICK)
    assert len(checks) == 3


def test_a_run_goes_on_from_another_folder(boxes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = {key: os.path.relpath(path) for key, path in boxes.items()}
    path = finetune('detection', work_dir='run', dry_run=True, **own, **QUICK).config
    root = os.path.abspath(os.path.dirname(path))
    monkeypatch.chdir(root)
    finetune(work_dir=root, resume=True, dry_run=True, epochs=9)
    assert 'training are not read: change them there' in capsys.readouterr().out
    assert load_config(f'{root}/config.py').train_cfg.max_epochs == QUICK['epochs']


def test_nothing_to_resume_begins_anew(boxes, tmp_path, capsys):
    with pytest.raises(UserError, match='--task is missing'):
        finetune(work_dir=str(tmp_path / 'run'), resume=True)
    assert 'nothing to resume in' in capsys.readouterr().out
