"""The picture of predictions beside ground truth."""

import cv2
import numpy as np
import pytest
import torch
from detection import CONFIGS, tiny_config
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from sparx_mm.demo import draw_predictions, write_picture
from sparx_mm.demo.detections import DetectionPainter
from sparx_mm.errors import UserError
from sparx_mm.run import build_runner


class _Oracle(torch.nn.Module):
    """Predicts the ground truth, half of it with a low score."""

    def test_step(self, data):
        (sample,) = data['data_samples']
        truth = sample.gt_instances
        scores = torch.full((len(truth),), 0.9)
        scores[1::2] = 0.1
        sample.pred_instances = InstanceData(
            bboxes=truth.bboxes.tensor,
            labels=truth.labels,
            masks=torch.from_numpy(truth.masks.masks > 0),
            scores=scores,
        )
        return [sample]


@pytest.fixture(scope='module')
def dataset(shapes, tmp_path_factory):
    work_dir = str(tmp_path_factory.mktemp('work'))
    cfg = tiny_config(CONFIGS[0], shapes, work_dir)
    return build_runner(cfg, ('test',)).test_dataloader.dataset


def test_ground_truth_is_above_predictions(dataset):
    all_shown = draw_predictions(_Oracle(), dataset, [0, 1], 0.05, height=96)
    # two rows of a header of 28 and an image of 96 px, each with a gap of 6
    assert all_shown.shape == (2 * (28 + 96 + 6), 2 * (96 + 6), 3)
    assert all_shown.dtype == np.uint8
    some_shown = draw_predictions(_Oracle(), dataset, [0, 1], 0.5, height=96)
    none_shown = draw_predictions(_Oracle(), dataset, [0, 1], 0.95, height=96)
    top = slice(0, 130)
    assert (all_shown[top] == some_shown[top]).all()
    bottoms = [p[130 + 28 :] for p in (all_shown, some_shown, none_shown)]
    assert (bottoms[0] != bottoms[1]).any()
    assert (bottoms[1] != bottoms[2]).any()
    # without predictions it is the image itself
    sample = dataset[0]['data_samples']
    image = cv2.resize(cv2.imread(sample.img_path), (96, 96), interpolation=cv2.INTER_CUBIC)
    assert (bottoms[2][:96, :96] == image).all()


def test_masks_are_painted_where_they_are(dataset):
    picture = draw_predictions(_Oracle(), dataset, [0], 0.95, height=64)
    truth = dataset[0]['data_samples'].gt_instances
    painted = (picture[28:92, :64] != picture[126:190, :64]).any(2)
    covered = truth.masks.masks.any(0)
    # inside a mask half of each pixel is its class's color
    assert painted[covered].mean() > 0.95


def test_boxes_of_a_long_image():
    # 7x900 is shown as 2x288: boxes scale apart in x and y
    painter = DetectionPainter(('a',), 0.5)
    boxes = InstanceData(bboxes=torch.tensor([[450.0, 0.0, 899.0, 6.0]]), labels=torch.tensor([0]))
    sample = DetDataSample(metainfo=dict(ori_shape=(7, 900)))
    sample.gt_instances = boxes
    sample.pred_instances = InstanceData(**boxes, scores=torch.tensor([0.0]))
    truth, found = painter.paint(np.zeros((2, 288, 3), np.uint8), sample)
    columns = np.flatnonzero((truth != found).any((0, 2)))
    assert columns.min() in (143, 144) and columns.max() == 287


def test_write_picture(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    path = tmp_path / 'deep/a.png'
    write_picture(str(path), picture)
    assert (cv2.imread(str(path)) == picture).all()
    for wrong in (tmp_path / 'a.nothing', path / 'a.png'):
        with pytest.raises(UserError, match='cannot be written'):
            write_picture(str(wrong), picture)
