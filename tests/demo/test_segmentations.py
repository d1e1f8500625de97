"""The picture of a segmentor's predictions below the ground truth."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from segmentation import CONFIG, ROOT, tiny_config

from sparx_mm.demo import draw_predictions
from sparx_mm.demo.sheet import GAP, HEADER, LINE, SQUARE, draw_legend
from sparx_mm.errors import UserError
from sparx_mm.run import build_runner

# twice that of a drawn image
HEIGHT = 128
SHAPES = ROOT / 'configs/mmseg/semantic_fpn_sparx_demo_shapes.py'


class _Model(torch.nn.Module):
    """Model that predicts one class everywhere."""

    def __init__(self, label):
        super().__init__()
        self.label = label

    def test_step(self, data):
        (sample,) = data['data_samples']
        labels = torch.full_like(sample.gt_sem_seg.data.long(), self.label)
        sample.pred_sem_seg = PixelData(data=labels)
        return [sample]


@pytest.fixture(scope='module')
def dataset(shapes, ade, tmp_path_factory):
    """Return a function that reads the test set of a config."""

    def dataset(path):
        root = shapes if path == SHAPES else ade
        cfg = tiny_config(path, root, str(tmp_path_factory.mktemp('work')))
        return build_runner(cfg, ('test',)).test_dataloader.dataset

    return dataset


def _rows(picture):
    """Return the images of both rows, and the legend."""
    row = HEADER + HEIGHT + GAP
    return (picture[HEADER : row - GAP], picture[row + HEADER : 2 * row - GAP], picture[2 * row :])


def _image(sample):
    """Read an image in the size that it has in the picture: (H, W, 3)."""
    image = cv2.imread(sample.img_path)
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _mixed(image, colors):
    """Mix colors (BGR) with the greys of an image."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    return 0.4 * grey + 0.6 * np.array(colors, float)


def test_classes_are_painted_in_the_colors_of_the_data_set(dataset):
    dataset = dataset(SHAPES)
    colors = np.array(dataset.metainfo['palette'])[:, ::-1]
    picture = draw_predictions(_Model(4), dataset, [1, 2], height=HEIGHT)
    assert picture.dtype == np.uint8
    truth, prediction, legend = _rows(picture)
    assert truth.shape == prediction.shape == (HEIGHT, 2 * (HEIGHT + GAP), 3)
    present = set()
    for column, index in enumerate((1, 2)):
        sample = dataset[index]['data_samples']
        left = column * (HEIGHT + GAP)
        tile = np.s_[:, left : left + HEIGHT]
        labels = sample.gt_sem_seg.data[0].numpy()
        labels = labels.repeat(2, axis=0).repeat(2, axis=1)
        for row, expected in ((truth, colors[labels]), (prediction, colors[4])):
            wrong = abs(row[tile] - _mixed(_image(sample), expected))
            # cut off to whole numbers twice
            assert wrong.max() < 2
        present.update(labels.flat)
    assert len(present) > 2
    # and these are the classes of the legend, and star, which is predicted
    for label, color in enumerate(colors):
        named = (legend == color).all(2).sum() > 100
        assert named == (label in present | {4}), label


def test_ignored_pixels_are_dark(dataset):
    dataset = dataset(CONFIG)
    picture = draw_predictions(_Model(255), dataset, [0], height=HEIGHT)
    truth, prediction, _ = _rows(picture)
    sample = dataset[0]['data_samples']
    dark = _mixed(_image(sample), (0, 0, 0))
    width = dark.shape[1]
    assert (abs(prediction[:, :width] - dark) < 2).all()
    ignored = sample.gt_sem_seg.data[0].numpy() == 255
    assert 0 < ignored.sum() < ignored.size
    ignored = ignored.repeat(2, axis=0).repeat(2, axis=1)
    drawn = (abs(truth[:, :width] - dark) >= 2).any(2)
    assert not drawn[ignored].any() and drawn[~ignored].mean() > 0.9


def test_images_of_different_sizes_stand_in_one_row(dataset):
    dataset = dataset(CONFIG)
    sizes = [sample['data_samples'].ori_shape for sample in dataset]
    assert len(set(sizes)) == 3
    picture = draw_predictions(_Model(149), dataset, range(3), height=HEIGHT)
    widths = [round(w * HEIGHT / h) for h, w in sizes]
    legend = _rows(picture)[2]
    assert picture.shape[1] == sum(widths) + 3 * GAP
    # the largest area first
    names, palette = (dataset.metainfo[key] for key in ('classes', 'palette'))
    first = [(names[149], palette[149][::-1])]
    line = np.s_[:LINE, : 6 + SQUARE]
    assert (legend[line] == draw_legend(first, picture.shape[1])[line]).all()


def test_without_annotations(dataset):
    dataset = dataset(SHAPES)
    steps = dataset.pipeline.transforms
    dataset.pipeline.transforms = [
        step for step in steps if not type(step).__name__.endswith(('LoadAnnotations', 'SegMap'))
    ]

    class Blind(torch.nn.Module):
        def test_step(self, data):
            return data['data_samples']

    with pytest.raises(UserError, match='needs LoadAnnotations'):
        draw_predictions(Blind(), dataset, [0])
