"""Other detectors of mmdet train, validate and resume on our backbones."""

import pytest
import torch
from archs import PICO
from mmengine.config import Config
from stock import make_coco, stock_config

from sparx_mm.config_nodes import walk
from sparx_mm.run import runner as run

pytestmark = pytest.mark.stack
DETECTORS = [
    'atss/atss_r50_fpn_1x_coco.py',
    'dino/dino-4scale_r50_8xb2-12e_coco.py',
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'htc/htc-without-semantic_r50_fpn_1x_coco.py',
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'solov2/solov2_r50_fpn_1x_coco.py',
    'yolox/yolox_tiny_8xb8-300e_coco.py',
]
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# what a model's numbers come down to
MOST = dict(num_queries=20, num_layers=2, num_points=256, nms_pre=50, max_per_img=20)


@pytest.fixture(scope='module')
def folder(tmp_path_factory, shapes):
    """COCO's layout, where the configs expect it."""
    root = tmp_path_factory.mktemp('detectors')
    make_coco(root / 'data/coco', shapes)
    return root


def _shrink(cfg: Config) -> None:
    """Let a config train two batches of two images of 64 px."""
    for key in (*LOADERS, 'custom_hooks', 'model'):
        for _, node in walk(cfg.get(key) or {}):
            for name in ('scale', 'img_scale', 'image_size', 'crop_size', 'size'):
                if isinstance(node.get(name), (list, tuple)):
                    node[name] = (64, 64)
            if node.get('type') == 'RandomChoiceResize':
                node['scales'] = [(64, 64)]
    for key in LOADERS:
        cfg[key].update(num_workers=0, batch_size=2)
    for _, node in walk(cfg.model):
        for name in set(MOST) & set(node):
            node[name] = min(node[name], MOST[name])
    loop = cfg.train_cfg
    if 'max_iters' in loop:
        cfg.train_cfg = dict(type=loop.type, max_iters=2, val_interval=2)
    else:
        cfg.train_cfg = dict(type=loop.get('type', 'EpochBasedTrainLoop'), max_epochs=1)
    cfg.model.backbone.update(type='SparXMamba', arch=dict(PICO))
    if 'bbox_head' in cfg.model and cfg.model.bbox_head.type == 'YOLOXHead':
        # strides of 8 to 32, which are other stages of its own backbone
        cfg.model.backbone.out_indices = (1, 2, 3)
        cfg.model.neck.in_channels = [24, 32, 40]


@pytest.mark.faults
@pytest.mark.tries("one of OpenMMLab's configs")
@pytest.mark.parametrize('name', DETECTORS)
def test_trains_validates_and_resumes(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(folder)
    cfg = stock_config('mmdet', name)
    _shrink(cfg)
    for end in (1, 2):
        for key, unit in (('max_epochs', 1), ('max_iters', 2)):
            if key in cfg.train_cfg:
                cfg.train_cfg[key] = end * unit
        cfg.experiment_name = f'{tmp_path.name}-{end}'
        cfg.default_hooks.checkpoint.update(interval=1)
        cfg.dump(tmp_path / 'c.py')
        runner = run.train(
            str(tmp_path / 'c.py'),
            work_dir=str(tmp_path / 'out'),
            resume='auto' if end == 2 else None,
        )
        assert runner.iter == 2 * end
        log = ''.join(path.read_text() for path in (tmp_path / 'out').rglob('*.log'))
        # mmdet gives no numbers of a detector that finds nothing yet
        assert 'coco/' in log or 'results of the whole dataset is empty' in log
        weights = runner.model.state_dict().values()
        assert all(torch.isfinite(weight).all() for weight in weights)
