"""The picture of predictions beside ground truth."""

import resource

import cv2
import numpy as np
import pytest
import torch
from detection import CONFIG, tiny_config
from mmengine.structures import InstanceData

from sparx_mm.demo import draw_predictions, write_picture
from sparx_mm.demo.sheet import GAP, HEADER
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
    cfg = tiny_config(CONFIG, shapes, work_dir)
    return build_runner(cfg, ('test',)).test_dataloader.dataset


def rows(picture, height):
    """Return the images of both rows, without their titles."""
    row = HEADER + height + GAP
    assert len(picture) == 2 * row
    return picture[HEADER : row - GAP], picture[row + HEADER : -GAP]


def read_image(dataset, index, height):
    """Read an image in the size that it has in a picture."""
    image = cv2.imread(dataset[index]['data_samples'].img_path)
    return cv2.resize(image, (height, height), interpolation=cv2.INTER_CUBIC)


def test_predictions_above_the_threshold_are_drawn_below(dataset):
    drawn = [draw_predictions(_Oracle(), dataset, [0, 1], thr, height=96) for thr in (0.05, 0.5)]
    truths, predictions = zip(*(rows(picture, 96) for picture in drawn))
    assert drawn[0].dtype == np.uint8 and drawn[0].shape[1:] == (2 * (96 + GAP), 3)
    # half of the predictions have a score of 0.1
    for column, index in ((0, 0), (96 + GAP, 1)):
        image = read_image(dataset, index, 96)
        tiles = [row[:, column : column + 96] for row in (truths[0], *predictions)]
        changed = [(tile != image).any(2).mean() for tile in tiles]
        assert changed[0] > 0.1 and changed[1] > changed[2] > 0


def test_without_predictions_it_is_the_image(dataset):
    truth, prediction = rows(draw_predictions(_Oracle(), dataset, [0], 0.95, height=96), 96)
    image = read_image(dataset, 0, 96)
    assert (prediction[:, :96] == image).all()
    assert (truth[:, :96] != image).any(2).mean() > 0.1


def test_masks_and_names_are_drawn_where_the_shapes_are(dataset):
    """Half of each pixel is a color of the class, and names are on black."""
    truth, _ = rows(draw_predictions(_Oracle(), dataset, [0], 0.95, height=384), 384)
    drawn = (truth[:, :384] != read_image(dataset, 0, 384)).any(2)
    instances = dataset[0]['data_samples'].gt_instances
    # from 64 to 384 pixels
    covered = instances.masks.masks.any(0).repeat(6, axis=0).repeat(6, axis=1)
    assert drawn[covered].mean() > 0.95
    black = (truth[:, :384] < 60).all(2)
    for box in (6 * instances.bboxes.tensor).int().tolist():
        left, top = max(box[0], 0), max(box[1], 0)
        assert black[top : top + 16, left : left + 30].mean() > 0.4


def test_write_picture(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    path = tmp_path / 'deep/a.png'
    write_picture(str(path), picture)
    assert (cv2.imread(str(path)) == picture).all()
    for wrong in (tmp_path / 'a.nothing', path / 'a.png'):
        with pytest.raises(UserError, match='cannot be written'):
            write_picture(str(wrong), picture)
    # a disk that fills up
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(UserError, match='small.png cannot be written .File too large.: give'):
            write_picture(str(tmp_path / 'small.png'), picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
