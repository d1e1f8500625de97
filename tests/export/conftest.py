"""Small models with weights, and their files, for all tests of this folder."""

import sys

import pytest
import segmentation
import torch
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, init_default_scope
from stock import stock_config

from sparx_mm.export import export
from sparx_mm.run import load_config

sys.path.append(str(ROOT / 'docs'))
SIZE = (64, 96)


def save(cfg, folder):
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for name, parameter in model.named_parameters():
        if any(part in name for part in ('fc_cls', 'rpn_cls', 'retina_cls')):
            # so that scores differ, which those of an untrained head hardly do
            torch.nn.init.normal_(parameter, std=0.03 if 'retina' in name else 0.3)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'weights.pth')
    cfg.dump(folder / 'config.py')
    return str(folder / 'config.py'), str(folder / 'weights.pth')


@pytest.fixture(scope='session')
def detector(shapes, tmp_path_factory):
    cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_vmamba_t_1x.py', shapes)
    cfg.model.test_cfg.rcnn.score_thr = 0.05
    # of a thousand boxes some overlap by just the threshold, but for rounding
    cfg.model.test_cfg.rpn.update(nms_pre=50, max_per_img=50)
    return save(cfg, tmp_path_factory.mktemp('detector'))


@pytest.fixture(scope='session')
def retinanet(tmp_path_factory):
    cfg = stock_config('mmdet', 'retinanet/retinanet_r50_fpn_1x_coco.py')
    cfg.model.neck.out_channels = 32
    cfg.model.bbox_head.update(num_classes=3, in_channels=32, feat_channels=32, stacked_convs=1)
    cfg.model.test_cfg.nms_pre = 50
    return save(cfg, tmp_path_factory.mktemp('retinanet'))


@pytest.fixture(scope='session')
def segmentor(ade, tmp_path_factory):
    path = ROOT / 'configs/mmseg/upernet_vmamba_t.py'
    cfg = load_config(str(path), segmentation.tiny_options(path, ade))
    return save(cfg, tmp_path_factory.mktemp('segmentor'))


@pytest.fixture(scope='session')
def images(shapes):
    return shapes / 'val'


@pytest.fixture(scope='session')
def detector_file(detector, images, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('onnx') / 'detector.onnx')
    return export(*detector, str(images), out=path, size=SIZE)


@pytest.fixture(scope='session')
def segmentor_file(segmentor, images, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('onnx') / 'segmentor.onnx')
    return export(*segmentor, str(images), out=path, size=SIZE)
