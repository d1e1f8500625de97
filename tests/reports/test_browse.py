"""Pictures of data sets, by our tool and by those of mmdet and mmseg."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from classification import CONFIG as CLASSIFIER
from classification import tiny_config as tiny_classifier
from detection import CONFIG as DETECTOR
from detection import tiny_config as tiny_detector
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample
from rotated import CONFIG as ROTATED
from rotated import tiny_config as tiny_rotated
from segmentation import CONFIG as ADE
from segmentation import tiny_config as tiny_segmentor

from sparx_mm.demo.sheet import GAP
from sparx_mm.errors import UserError
from sparx_mm.reports import browse
from sparx_mm.reports.browse import NAME, TILE, split_sample
from sparx_mm.reports.samples import MIN_HEIGHT, Painter
from sparx_mm.run import load_dataset


def _dataset(kind, request):
    """Build the training set of a kind; None where its library is missing."""
    make, config, data, package = {
        'boxes': (tiny_detector, DETECTOR, 'shapes', 'mmdet'),
        'label maps': (tiny_segmentor, ADE, 'ade', 'mmseg'),
        'labels': (tiny_classifier, CLASSIFIER, 'imagenet', 'mmpretrain'),
        'rotated boxes': (tiny_rotated, ROTATED, 'dota', 'mmrotate'),
    }[kind]
    if find_spec(package) is None:
        pytest.skip(f'{package} is not installed')
    return load_dataset(make(config, request.getfixturevalue(data)), 'train')


@pytest.mark.stack
@pytest.mark.parametrize('kind', ['boxes', 'label maps', 'labels', 'rotated boxes'])
def test_the_ground_truth_is_drawn_on_what_is_trained_on(kind, request, tmp_path):
    dataset = _dataset(kind, request)
    sheet = browse(dataset, str(tmp_path), [0, 2])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3 and names[-1] == 'contact_sheet.jpg'
    assert names[0].startswith('000000_') and names[1].startswith('000002_')
    assert cv2.imread(sheet).shape[0] == TILE + NAME + GAP
    image, sample = split_sample(dataset[0])
    picture = Painter(dataset.metainfo).draw(image, sample, truth=True)
    assert len(picture) == MIN_HEIGHT
    plain = cv2.resize(image, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    changed = (np.abs(picture.astype(int) - plain) > 2).any(2)
    if kind == 'boxes':
        # masks and boxes are where the augmented ones are
        masks = sample.gt_instances.masks.resize(picture.shape[:2], 'nearest').masks.any(0)
        assert changed[masks.astype(bool)].mean() > 0.9
    assert 0.01 < changed.mean() < (1.01 if kind == 'label maps' else 0.9)


def test_a_label_map_of_a_long_image(tmp_path):
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 20, 100, dtype=torch.long)))
    packed = dict(inputs=torch.zeros(3, 20, 100, dtype=torch.uint8), data_samples=sample)
    metainfo = dict(classes=('a', 'b'), palette=[(9, 9, 9), (90, 9, 9)])
    dataset = type('Samples', (list,), dict(metainfo=metainfo))([packed])
    assert cv2.imread(browse(dataset, str(tmp_path), [0])) is not None


def test_augmentations_are_drawn_by_their_seed(shapes, tmp_path):
    dataset = load_dataset(tiny_detector(DETECTOR, shapes), 'train')
    sheets = [
        cv2.imread(browse(dataset, str(tmp_path / str(i)), [0], repeat=3, seed=seed))
        for i, seed in enumerate((0, 0, 1))
    ]
    assert sorted(path.name[-6:] for path in (tmp_path / '0').glob('0*')) == [
        '_0.jpg',
        '_1.jpg',
        '_2.jpg',
    ]
    assert (sheets[0] == sheets[1]).all()
    assert sheets[0].shape != sheets[2].shape or (sheets[0] != sheets[2]).any()


@pytest.mark.parametrize(
    'packed',
    [
        None,
        dict(inputs=[torch.zeros(3, 4, 4)] * 2, data_samples=BaseDataElement()),
        dict(img=torch.zeros(3, 4, 4)),
    ],
)
def test_pipelines_without_one_image_are_one_line(packed):
    with pytest.raises(UserError, match='must end in PackDetInputs'):
        split_sample(packed)


@pytest.mark.parametrize('channels,shown', [(1, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_images_of_any_channels(channels, shown):
    inputs = torch.rand(channels, 4, 5) - 0.5
    image, sample = split_sample(dict(inputs=inputs, data_samples=BaseDataElement()))
    assert image.shape == (4, 5, 3) and sample.ori_shape == (4, 5)
    # from the least value to the greatest
    assert (image.min(), image.max()) == (0, 255) or channels == 4
    for i, channel in enumerate(shown):
        order = inputs[channel].flatten().argsort()
        assert (np.diff(image[..., i].ravel()[order.numpy()].astype(int)) >= 0).all()


@pytest.mark.stack
def test_a_rotated_box_that_leaves_the_image_does_not_shrink_it():
    pytest.importorskip('mmrotate')
    image = np.random.default_rng(0).integers(50, 200, (64, 64, 3), np.uint8)
    boxes = torch.tensor([[60.0, 10, 80, 8, 0.5]])
    sample = BaseDataElement(
        metainfo=dict(ori_shape=(64, 64)),
        gt_instances=InstanceData(bboxes=boxes, labels=torch.tensor([0])),
    )
    meta = dict(classes=('ship',), palette=[(255, 0, 0)])
    picture = Painter(meta).draw(image, sample, truth=True)
    whole = cv2.resize(image, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    changed = (np.abs(picture.astype(int) - whole) > 2).any(2)
    # the lower half is as it was
    assert 0.001 < changed[:200].mean() < 0.2 and not changed[200:].any()


@pytest.mark.stack
@pytest.mark.parametrize(
    'program,kind',
    [
        ('mmdet/.mim/tools/analysis_tools/browse_dataset.py', 'boxes'),
        ('mmseg/.mim/tools/analysis_tools/browse_dataset.py', 'label maps'),
    ],
)
def test_the_libraries_own_programs_draw_our_configs(
    program, kind, request, run_program, tmp_path, monkeypatch
):
    library, _, rest = program.partition('/')
    program = Path(find_spec(library).origin).parent / rest
    if kind == 'boxes':
        cfg = tiny_detector(DETECTOR, request.getfixturevalue('shapes'))
    else:
        cfg = tiny_segmentor(ADE, request.getfixturevalue('ade'))
    cfg.dump(tmp_path / 'config.py')
    assert program.is_file()
    run_program(program, tmp_path / 'config.py', '--output-dir', tmp_path / 'out', '--not-show')
    assert (
        len([path for path in (tmp_path / 'out').rglob('*.*') if path.suffix in ('.png', '.jpg')])
        == 4
    )
