"""Long runs hold no more at their end than at their beginning."""

import json
import subprocess
import sys
import time

import detection
import pytest
import torch
from detection import ROOT
from footprint import Resources
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook

from sparx_mm.demo import CLASSES
from sparx_mm.engine.optim.amp import use_amp
from sparx_mm.run.runner import build_runner

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3000)]
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
ITERATIONS, INFERENCES = 2000, 1000
# iterations between two samples
EVERY = 50
# channels and proposals of a detector that takes a fraction of a second
FEW = dict(
    model__neck__out_channels=32,
    model__rpn_head__in_channels=32,
    model__rpn_head__feat_channels=32,
    model__roi_head__bbox_roi_extractor__out_channels=32,
    model__roi_head__mask_roi_extractor__out_channels=32,
    model__roi_head__bbox_head__in_channels=32,
    model__roi_head__bbox_head__fc_out_channels=64,
    model__roi_head__mask_head__in_channels=32,
    model__roi_head__mask_head__conv_out_channels=32,
    model__train_cfg__rpn_proposal__nms_pre=100,
    model__train_cfg__rpn_proposal__max_per_img=20,
    model__train_cfg__rcnn__sampler__num=16,
    model__test_cfg__rpn__nms_pre=100,
    model__test_cfg__rpn__max_per_img=20,
)
# KiB an iteration: a third of an image of 64 px, and five times the noise of the slope
FLAT = 4


class Watch(Hook):
    """Sample the resources of a run."""

    def __init__(self):
        self.resources = Resources()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.every_n_train_iters(runner, EVERY):
            self.resources.sample()


@pytest.fixture
def some_empty(shapes, tmp_path):
    """The drawn set, whose every second image has no object."""
    path = shapes / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    empty = {image['id'] for image in content['images'][::2]}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] not in empty]
    (tmp_path / 'some_empty.json').write_text(json.dumps(content))
    return tmp_path / 'some_empty.json'


def make_config(shapes, work_dir, ann_file=None, iterations=ITERATIONS):
    cfg = detection.tiny_config(CONFIG, shapes, str(work_dir), **FEW)
    data = cfg.train_dataloader.dataset
    if ann_file is not None:
        data.ann_file = str(ann_file)
    data.filter_cfg = dict(filter_empty_gt=False)
    scales = [(w, h) for w in range(33, 97, 7) for h in range(32, 80, 9)]
    for step in data.pipeline:
        if step['type'] == 'Resize':
            step.update(_delete_=True)
            step.clear()
            step.update(type='RandomChoiceResize', scales=scales, keep_ratio=False)
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.logger.interval = 100
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=500, save_best=None)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    for schedule in cfg.param_scheduler:
        schedule.update(by_epoch=False)
    return cfg


@pytest.mark.tries('thousands of iterations')
def test_training_of_random_sizes(shapes, some_empty, tmp_path, capsys):
    torch.set_num_threads(1)
    cfg = make_config(shapes, tmp_path / 'run', some_empty)
    use_amp(cfg, 'bfloat16')
    runner = build_runner(cfg, ('train',))
    watch = Watch()
    runner.register_hook(watch)
    start = time.monotonic()
    runner.train()
    resources = watch.resources
    slope = resources.slope() / EVERY
    with capsys.disabled():
        print(
            f'\n{ITERATIONS} iterations in {time.monotonic() - start:.0f} s: '
            f'{resources.memory[0] >> 20} to {resources.memory[-1] >> 20} MiB, slope of the '
            f'second half {slope:.2f} KiB an iteration, gained {resources.gained()}'
        )
    assert slope < FLAT
    assert all(count <= 0 for count in resources.gained().values())


@pytest.mark.tries('thousands of iterations')
def test_inference_of_changing_sizes(shapes, tmp_path, capsys):
    torch.set_num_threads(1)
    cfg = make_config(shapes, tmp_path / 'run')
    model = build_runner(cfg).model.eval()
    resources = Resources()
    generator = torch.Generator().manual_seed(0)
    for i in range(INFERENCES):
        height, width = torch.randint(20, 160, (2,), generator=generator).tolist()
        meta = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        image = torch.randint(0, 255, (3, height, width), generator=generator).byte()
        data = DetDataSample(metainfo=meta)
        with torch.no_grad():
            (found,) = model.test_step(dict(inputs=[image], data_samples=[data]))
        assert found.pred_instances.masks.shape[1:] == (height, width)
        if i % EVERY == EVERY - 1:
            resources.sample()
    slope = resources.slope() / EVERY
    with capsys.disabled():
        print(
            f'\n{INFERENCES} inferences: {resources.memory[0] >> 20} to '
            f'{resources.memory[-1] >> 20} MiB, slope of the second half {slope:.2f} KiB an '
            f'inference, gained {resources.gained()}'
        )
    assert slope < FLAT
    assert all(count <= 0 for count in resources.gained().values())


@pytest.mark.tries('other programs on the cores')
def test_two_trainings_beside_each_other(shapes, tmp_path, capsys):
    cfg = make_config(shapes, tmp_path / 'none', iterations=20)
    cfg.dump(tmp_path / 'config.py')
    assert len(CLASSES) == cfg.model.roi_head.bbox_head.num_classes

    def start(name):
        tool = str(ROOT / 'tools/train.py')
        command = [sys.executable, tool, 'config.py', '--work-dir', name]
        return subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def seconds(*names):
        begin = time.monotonic()
        for process in [start(name) for name in names]:
            output, _ = process.communicate()
            assert process.returncode == 0, output
        for name in names:
            assert (tmp_path / name / 'iter_20.pth').exists()
        return time.monotonic() - begin

    alone, both = seconds('alone'), seconds('one', 'two')
    with capsys.disabled():
        print(f'\none training {alone:.0f} s, two beside each other {both:.0f} s')
    # each has half of the cores, or all of them half of the time
    assert both < 4 * alone
