"""SAHI cuts images into slices for our detector as it does for mmdet's own."""

import copy

import cv2
import numpy as np
import pytest
import torch
from detection import ROOT, tiny_config
from mmdet.apis import inference_detector

import sparx_mm
from sparx_mm.demo import CLASSES

sahi = pytest.importorskip('sahi', reason='sahi (extra clients) is not installed')
SIDE = 64


@pytest.fixture(scope='module')
def files(shapes, tmp_path_factory):
    """Config and checkpoint of a Mask R-CNN with random weights, and an image of two slices."""
    folder = tmp_path_factory.mktemp('sahi')
    cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = sparx_mm.load(copy.deepcopy(cfg), device='cpu').model
    # SAHI refuses masks without an area, and random ones are dots
    model.roi_head.mask_head.conv_logits.bias.data += 5
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'a.pth')
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, 2 * SIDE, 3), np.uint8)
    cv2.imwrite(str(folder / 'a.png'), pixels)
    return folder, pixels


def test_slices(files):
    from sahi.predict import get_sliced_prediction

    folder, pixels = files
    detector = sahi.AutoDetectionModel.from_pretrained(
        model_type='mmdet',
        model_path=str(folder / 'a.pth'),
        config_path=str(folder / 'config.py'),
        confidence_threshold=0.0,
        device='cpu',
    )
    assert detector.category_names == CLASSES
    found = get_sliced_prediction(
        str(folder / 'a.png'),
        detector,
        slice_height=SIDE,
        slice_width=SIDE,
        overlap_height_ratio=0,
        overlap_width_ratio=0,
        perform_standard_pred=False,
        # each slice's boxes as they are
        postprocess_type='NMS',
        postprocess_match_threshold=1.0,
        verbose=0,
    ).object_prediction_list
    model = sparx_mm.load(str(folder / 'config.py'), str(folder / 'a.pth'), device='cpu').model
    wanted = []
    for x in (0, SIDE):
        crop = np.ascontiguousarray(pixels[:, x : x + SIDE])
        instances = inference_detector(model, crop).pred_instances
        wanted += [(round(float(score), 4)) for score in instances.scores]
    scores = [round(float(one.score.value), 4) for one in found]
    assert len(scores) > 10 and set(scores) <= set(wanted)
    assert any(one.bbox.minx > SIDE for one in found) and all(one.mask for one in found)
