"""The shipped segmentors run in mmseg's own inference APIs."""

import cv2
import numpy as np
import pytest
from mmseg.apis import MMSegInferencer, inference_model, init_model
from segmentation import CONFIGS, tiny_config

pytestmark = pytest.mark.stack
# one of each pipeline
PIPELINES = {path.stem: path for path in CONFIGS if path.stem.split('_')[-1] in ('t', 'shapes')}


@pytest.fixture
def image(tmp_path):
    """An image of 48 x 64 px in a file."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    return pixels, str(tmp_path / 'a.png')


@pytest.mark.parametrize('name', PIPELINES)
def test_inference_model(ade, image, name):
    cfg = tiny_config(PIPELINES[name], ade)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    model = init_model(cfg, None, device='cpu')
    by_path, by_array = (inference_model(model, one) for one in image[::-1])
    labels = by_path.pred_sem_seg.data
    assert labels.shape == (1, 48, 64) and (labels == by_array.pred_sem_seg.data).all()


def test_inferencer(ade, image):
    cfg = tiny_config(PIPELINES['semantic_fpn_sparx_t'], ade)
    inferencer = MMSegInferencer(cfg, device='cpu')
    assert inferencer(image[1])['predictions'].shape == (48, 64)
