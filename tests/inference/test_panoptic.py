"""Panoptic predictions as COCO's JSON and PNGs."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from stock import stock_config

import sparx_mm
from sparx_mm.errors import UserError
from sparx_mm.inference import infer
from sparx_mm.inference.panoptic import PanopticWriter, is_panoptic

METAINFO = dict(classes=('person', 'car', 'sky'), thing_classes=('person', 'car'))


def sample():
    """Two cars, sky, and pixels of no class, as mmdet numbers them."""
    labels = torch.full((1, 6, 8), 3)
    labels[0, :2] = 2
    labels[0, 3:5, 1:4], labels[0, 3:, 5:] = 1001, 2001
    return DetDataSample(pred_panoptic_seg=PixelData(sem_seg=labels)), labels[0].numpy()


def test_segments_are_written(tmp_path):
    writer = PanopticWriter(str(tmp_path), METAINFO)
    predicted, labels = sample()
    writer.add('deep/a.jpg', (6, 8), predicted)
    writer.close()
    content = json.loads((tmp_path / 'predictions.json').read_text())
    assert [(c['name'], c['isthing']) for c in content['categories']] == [
        ('person', 1),
        ('car', 1),
        ('sky', 0),
    ]
    assert content['images'] == [dict(id=1, file_name='deep/a.jpg', height=6, width=8)]
    (annotation,) = content['annotations']
    blue, green, red = np.moveaxis(
        cv2.imread(str(tmp_path / 'panoptic' / annotation['file_name'])).astype(int), 2, 0
    )
    ids = red + 256 * green + 65536 * blue
    assert (ids == 0).tolist() == (labels == 3).tolist()
    found = {
        (one['category_id'], one['area'], tuple(one['bbox'])) for one in annotation['segments_info']
    }
    assert found == {(3, 16, (0, 0, 8, 2)), (2, 6, (1, 3, 3, 2)), (2, 9, (5, 3, 3, 3))}
    for one in annotation['segments_info']:
        assert (ids == one['id']).sum() == one['area']


@pytest.mark.parametrize(
    'model, expected',
    [
        (dict(), False),
        (dict(panoptic_fusion_head=1, test_cfg=None), True),
        (dict(panoptic_fusion_head=1, test_cfg=dict(panoptic_on=True)), True),
        (dict(panoptic_fusion_head=1, test_cfg=dict(panoptic_on=False)), False),
    ],
)
def test_models_that_give_segments(model, expected):
    assert bool(is_panoptic(SimpleNamespace(**model))) == expected


def test_a_png_that_cannot_be_written_is_said(tmp_path):
    writer = PanopticWriter(str(tmp_path), METAINFO)
    (tmp_path / 'panoptic/a.png').mkdir(parents=True)
    with pytest.raises(UserError, match=r'the picture .*panoptic/a\.png cannot be written'):
        writer.add('a.jpg', (6, 8), sample()[0])
    writer.close()
    content = json.loads((tmp_path / 'predictions.json').read_text())
    assert not content['images'] and not content['annotations']


@pytest.fixture(scope='module')
def maskformer(tmp_path_factory):
    """A MaskFormer of random weights, which is sure of no class."""
    cfg = stock_config('mmdet', 'maskformer/maskformer_r50_ms-16xb1-75e_coco.py')
    head = cfg.model.panoptic_head
    head.num_queries = 4
    head.pixel_decoder.encoder.num_layers = head.transformer_decoder.num_layers = 1
    next(s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize').scale = (64, 64)
    folder = tmp_path_factory.mktemp('maskformer')
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = sparx_mm.load(cfg, device='cpu').model
    torch.save(dict(state_dict=model.state_dict()), folder / 'a.pth')
    return str(folder / 'config.py'), str(folder / 'a.pth')


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    return str(tmp_path / 'a.png')


@pytest.mark.slow
def test_an_image_without_a_segment_is_drawn_plain(maskformer, image, tmp_path):
    out = tmp_path / 'out'
    assert infer(*maskformer, [image], out_dir=str(out), device='cpu').images == 1
    assert (cv2.imread(str(out / 'drawn/a.png')) == cv2.imread(image)).all()
    content = json.loads((out / 'predictions.json').read_text())
    assert content['annotations'] == [dict(image_id=1, file_name='a.png', segments_info=[])]
    assert not cv2.imread(str(out / 'panoptic/a.png')).any()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(tile=32), 'a panoptic model takes an image; leave --tile out'),
        (dict(tta=True), '--tta: mmdet merges boxes alone, and this model is panoptic'),
    ],
)
def test_what_no_panoptic_model_can_do(options, message, maskformer, image, tmp_path):
    with pytest.raises(UserError, match=message):
        infer(*maskformer, [image], out_dir=str(tmp_path / 'out'), device='cpu', **options)
