"""Images that are turned at the same size are counted: nobody can tell whose labels are right."""

import shutil
from itertools import product

import detection
import mmcv
import numpy as np
import pytest
import segmentation
from detection import ROOT
from pictures import orient, reset_tiff
from PIL import Image

from sparx_mm.data_checks import check_data, orientation
from sparx_mm.data_checks.orientation import describe_turned
from sparx_mm.data_checks.report import report_data
from sparx_mm.engine.transforms.exif import Orientation, read_orientation

pytestmark = pytest.mark.stack
DETECTOR = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
SEGMENTOR = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'
LOADS = dict(pipeline=[dict(type='mmdet.LoadImageFromFile')])


@pytest.fixture
def draw(tmp_path):
    """Save an image with an orientation."""

    def draw(value, width=40, ending='jpg'):
        path = str(tmp_path / f'{value}_{width}.{ending}')
        pixels = np.zeros((40, width, 3), np.uint8)
        pixels[:10, : width // 2] = 255
        Image.fromarray(pixels).save(path)
        orient(path, value)
        return path

    return draw


@pytest.mark.tries('an image that EXIF turns')
@pytest.mark.parametrize(
    'backend,ending',
    [*product(['cv2', 'pillow'], ['jpg', 'png', 'tif', 'webp']), ('tifffile', 'tif')],
)
@pytest.mark.parametrize('value', range(1, 9))
def test_what_mmcv_turns_is_counted(draw, value, ending, backend):
    if backend == 'tifffile':
        pytest.importorskip(backend)

    def load(path, flag):
        return mmcv.imread(path, flag=flag, backend=backend) > 99

    def describe(flag):
        step = dict(type='LoadImageFromFile', color_type=flag, imdecode_backend=backend)
        return describe_turned('a.json', [path], dict(pipeline=[step]))

    stored, path = load(draw(1, ending=ending), 'color'), draw(value, ending=ending)
    for flag in ('color', 'grayscale', 'unchanged', 'color_ignore_orientation'):
        loaded = load(path, flag)
        same = stored if loaded.ndim == 3 else stored[..., 0]
        assert bool(describe(flag)) is not np.array_equal(loaded, same)
    # the remedy that the line names
    flag = 'color'
    for line in describe(flag):
        if ending == 'tif':
            assert line.endswith(
                'set the tag Orientation (274) in each TIFF to 1, because a TIFF '
                'is turned whatever the color_type is'
            )
            reset_tiff(path, value)
        else:
            flag = 'color_ignore_orientation'
            assert line.endswith(f"give color_type='{flag}' to LoadImageFromFile in all pipelines")
    assert describe(flag) == [] and np.array_equal(load(path, flag), stored)


def test_a_set_of_two_formats(draw):
    paths = [draw(3), draw(3, ending='tif')]
    (line,) = describe_turned('a.json', paths, LOADS)
    assert ' 2 of 2 images are' in line and 'in all pipelines and set the tag' in line


def test_what_changes_the_size_is_compared_elsewhere(draw):
    paths = [draw(value, width=60) for value in range(1, 9)]
    (line,) = describe_turned('a.json', paths, LOADS)
    assert line.startswith(
        'a.json: 3 of 8 images are turned or mirrored by their EXIF orientation when they are '
        f'loaded, the first is {paths[1]}: boxes that were drawn on the stored pixels do not fit'
    )
    assert line.endswith(
        "color_type='color_ignore_orientation' to LoadImageFromFile in all pipelines"
    )


@pytest.mark.parametrize(
    'step',
    [
        dict(color_type='color_ignore_orientation'),
        dict(color_type='unchanged'),
        dict(imdecode_backend='tifffile'),
        dict(type='LoadImageFromZip'),
    ],
)
def test_loaders_that_do_not_turn(draw, step):
    node = dict(pipeline=[{'type': 'LoadImageFromFile', **step}])
    assert describe_turned('a.json', [draw(3)], node) == []
    assert describe_turned('a.json', [draw(3)], {}) == []


def test_files_without_an_orientation(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'no')
    assert (
        read_orientation(f'{tmp_path}/a.jpg') == read_orientation(f'{tmp_path}/b') == Orientation()
    )


def test_files_that_pillow_fails_at(tmp_path):
    path = tmp_path / 'a.png'
    # a block that ends within its header
    Image.new('RGB', (4, 4)).save(path, exif=b'Exif\0\0MM')
    assert read_orientation(str(path)) == Orientation()


def test_a_sample_is_spread_over_the_set(draw, monkeypatch):
    monkeypatch.setattr(orientation, 'SAMPLE', 3)
    plain, turned = draw(1), draw(3)
    paths = [plain, plain, plain, plain, turned, plain, plain]
    assert describe_turned('a', paths, LOADS) == []
    (line,) = describe_turned('a', [turned, *paths], LOADS)
    assert line.startswith('a: 1 of 3 images looked at are')
    (line,) = describe_turned('a', [turned, *paths], LOADS, every=True)
    assert line.startswith('a: 2 of 8 images are')
    assert describe_turned('a', [], LOADS) == []


def test_sets_of_detectors(shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / 'shapes')
    for name in ('000001.png', '000003.png'):
        orient(root / 'train' / name, 6)
    cfg = detection.tiny_config(DETECTOR, root)
    (line,) = [line for line in check_data(cfg, ['train', 'val']) if 'EXIF' in line]
    assert line.startswith(f'{root}/annotations/instances_train.json: 2 of 4 images are turned')
    train, val, _ = report_data(cfg)
    (note,) = [note for note in train.notes if 'EXIF' in note]
    assert '2 of 4 images' in note and not train.faults
    assert not any('EXIF' in note for note in val.notes)


def test_sets_of_segmentors(tmp_path):
    segmentation.make_ade(tmp_path / 'ade', num_train=2, num_val=1)
    cfg = segmentation.tiny_config(SEGMENTOR, tmp_path / 'ade')
    first, second = sorted((tmp_path / 'ade/images/training').iterdir())
    orient(first, 3)
    (line,) = check_data(cfg, ['train', 'val'])
    assert '1 of 2 images are turned' in line and 'label maps that were drawn on the' in line
    train, *_ = report_data(cfg)
    assert line.partition(': ')[2] in train.notes[0]
    # 64 x 60 pixels
    orient(second, 6)
    assert '1 of 2 images' in check_data(cfg, ['train'])[0]
    (fault,) = report_data(cfg)[0].faults
    assert 'the image is turned by its EXIF orientation: give color_type=' in fault.text
