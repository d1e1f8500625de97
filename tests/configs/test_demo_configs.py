"""The demo's configs: what is drawn, on the same backbone."""

import numpy as np
from detection import ROOT

from sparx_mm.config_nodes import walk
from sparx_mm.demo import CLASSES
from sparx_mm.run import load_config

SEGMENTOR = ROOT / 'configs/mmseg/semantic_fpn_sparx_demo_shapes.py'
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_demo_shapes.py'


def test_the_segmentor_has_the_classes_that_are_drawn():
    cfg = load_config(str(SEGMENTOR))
    names = ('background', *CLASSES)
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert tuple(dataset.metainfo.classes) == names
        checks = [step.num_classes for step in dataset.pipeline if step.type == 'CheckSegMap']
        assert checks == [len(names)]
    assert cfg.model.decode_head.num_classes == len(names)
    for _, loss in walk(cfg.model.decode_head.loss_decode):
        assert len(loss.get('class_weight', names)) == len(names)


def test_the_detector_has_the_classes_that_are_drawn():
    cfg = load_config(str(DETECTOR))
    for loader in ('train', 'val', 'test'):
        assert tuple(cfg[f'{loader}_dataloader'].dataset.metainfo.classes) == CLASSES
    for head in ('bbox_head', 'mask_head'):
        assert cfg.model.roi_head[head].num_classes == len(CLASSES)


def test_the_colors_of_classes_differ():
    cfg = load_config(str(SEGMENTOR))
    palette = np.array(cfg.test_dataloader.dataset.metainfo.palette, float)
    assert palette.shape == (len(CLASSES) + 1, 3)
    distances = np.linalg.norm(palette[:, None] - palette[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 100


def test_the_segmentor_starts_from_the_detector():
    segmentor, detector = (load_config(str(path)) for path in (SEGMENTOR, DETECTOR))
    assert segmentor.backbone == detector.backbone
    # the last checkpoint of what `make demo` trains
    epochs = detector.train_cfg.max_epochs
    assert segmentor.model.backbone.init_cfg == dict(
        type='Pretrained',
        checkpoint=f'work_dirs/demo/detection/training/epoch_{epochs}.pth',
        prefix='backbone.',
    )
