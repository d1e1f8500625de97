"""An image that does not fit its annotations, or is none, ends in one line with its name."""

import copy
import pickle

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import TRANSFORMS
from pictures import orient, reset_tiff
from PIL import Image

from sparx_mm.engine.transforms.load_image import LoadCheckedImage, install
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack
PIXELS = np.random.default_rng(0).integers(0, 255, (48, 96, 3), np.uint8)


def load(path, width=96, height=48, instances=({},), **kwargs):
    sample = dict(img_path=str(path), width=width, height=height, instances=list(instances))
    return LoadCheckedImage(**kwargs)(sample)


def problem(path, **kwargs):
    with pytest.raises(UserError) as error:
        load(path, **kwargs)
    line = str(error.value)
    assert line.startswith(f'image {path} ') and '\n' not in line
    assert line.endswith(
        '; ' + 'tools/check_data.py CONFIG lists all such files, and '
        '--cfg-options skip_broken=True trains without them'
    )
    assert load(path, **{**kwargs, 'ignore_empty': True}) is None
    return line


def _jpeg():
    return cv2.imencode('.jpg', PIXELS)[1].tobytes()


def _png():
    return cv2.imencode('.png', PIXELS)[1].tobytes()


@pytest.mark.tries('an image that is empty')
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize(
    'content,message',
    [
        (None, 'does not exist: put it there'),
        (b'', 'is empty (0 bytes): put the whole'),
        (_jpeg()[:900], 'is truncated, damaged or no image (900 bytes)'),
        (_png()[:900], 'is truncated, damaged or no image'),
        (_png()[:300] + b'!' + _png()[301:], 'is truncated, damaged or no image'),
        (b'\n<!DOCTYPE html><html>', 'is no image but a text such as HTML'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'is a pointer of Git LFS'),
        (b'GIF8', 'is truncated, damaged or no image (4 bytes)'),
    ],
    ids=['missing', 'empty', 'jpeg', 'png', 'damaged', 'html', 'lfs', 'gif'],
)
def test_files_that_are_no_image(tmp_path, backend, content, message):
    path = tmp_path / 'a.jpg'
    if content is not None:
        path.write_bytes(content)
    assert message in problem(path, imdecode_backend=backend)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'LA', 'P', '1', 'CMYK'])
def test_kinds_of_images_that_mmcv_converts(tmp_path, mode):
    path = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    Image.fromarray(PIXELS).convert(mode).save(path)
    image = load(path)['img']
    assert image.shape == (48, 96, 3) and image.dtype == np.uint8
    assert np.array_equal(image, mmcv.imread(str(path)))
    assert image.max() > 100


@pytest.mark.tries('an image that is empty')
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('ending', ['jpg', 'tif'])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_images_that_are_turned_beside_their_boxes(tmp_path, orientation, ending, backend):
    path, options = tmp_path / f'a.{ending}', dict(imdecode_backend=backend)
    Image.fromarray(PIXELS).save(path)
    orient(path, orientation)
    line = problem(path, **options)
    assert (
        'is turned by its EXIF orientation: it is loaded with 48 x 96 pixels and its boxes are for '
        '96 x 48; '
    ) in line
    # boxes of the turned image, no boxes at all, and the remedy
    assert load(path, width=48, height=96, **options)['img'].shape[:2] == (96, 48)
    assert load(path, instances=[], **options) is not None
    if ending == 'tif':
        assert '; set the tag Orientation (274) in each TIFF to 1' in line
        reset_tiff(path, orientation)
    else:
        assert "; give color_type='color_ignore_orientation' to" in line
        options['color_type'] = 'color_ignore_orientation'
    assert load(path, **options)['img'].shape[:2] == (48, 96)


@pytest.mark.tries('an image that is empty')
def test_images_of_another_size_than_their_boxes(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(_png())
    load(path, width=95, height=49)
    line = problem(path, width=192)
    assert 'has 96 x 48 pixels and its boxes are for 192 x 48 (width x height): put the' in line
    assert 'EXIF' not in problem(path, width=48, height=96)
    # as of segmentation and classification sets
    assert LoadCheckedImage()(dict(img_path=str(path)))['ori_shape'] == (48, 96)


@pytest.mark.tries('an image that is empty')
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_images_of_16_bits(tmp_path, channels, name):
    path = tmp_path / name
    pixels = PIXELS[..., :channels].squeeze().astype(np.uint16)
    cv2.imwrite(str(path), pixels)
    highest = pixels.max()
    line = problem(path)
    assert f'16 bits a channel (values to {highest}) and is read as 8, in which it is black' in line
    assert problem(path, to_float32=True) == line
    unchanged = load(path, to_float32=True, color_type='unchanged')['img']
    assert unchanged.dtype == np.float32 and np.array_equal(unchanged.squeeze(), pixels)
    # as of a sensor of 12 bits
    cv2.imwrite(str(path), pixels * 16)
    assert 'black' in problem(path)
    # those that fill the range keep their upper bits
    cv2.imwrite(str(path), pixels * 257)
    assert load(path)['img'].max() > 200
    # night
    cv2.imwrite(str(path), pixels * 0)
    load(path)
    cv2.imwrite(str(path), (pixels // 64).astype(np.uint8))
    load(path)


GRAY = PIXELS[..., 0]
# a sensor of 12 bits with one pixel that is broken
HOT = GRAY.astype(np.uint16) * 16
HOT[0, 0] = 65535


@pytest.mark.tries('an image that is empty')
@pytest.mark.parametrize(
    'pixels,backend,message',
    [
        (GRAY.astype(np.uint16) * 200 + 300, 'pillow', '16 bits .* in which it is white: conv'),
        (
            GRAY.astype(np.uint16) * 4,
            'pillow',
            '16 bits .* .values to 1016. and is .* nearly white',
        ),
        (HOT, 'cv2', '16 bits a channel .values to 65535. .* in which it is nearly black'),
        (GRAY.astype(np.int32) + 300, 'pillow', '32 bits a channel .* it is white'),
        (GRAY.astype(np.int32) + 300, 'cv2', '32 bits a channel .*, which its loader does not'),
        (np.float32(GRAY) / 254, 'pillow', r'floats of 32 bits a channel \(values to 1\) .* black'),
        (np.float32(GRAY) + 300, 'pillow', 'floats of 32 bits .* in which it is white: convert'),
        (np.float32(GRAY), 'cv2', 'floats of 32 bits .* to 254., which its loader does not'),
        (np.float32(PIXELS), 'pillow', 'floats of 32 bits .*, which its loader does not conv'),
    ],
)
def test_more_than_8_bits(tmp_path, pixels, backend, message):
    path = tmp_path / 'a.tif'
    cv2.imwrite(str(path), pixels)
    with pytest.raises(UserError, match=message):
        raise UserError(problem(path, imdecode_backend=backend))


def test_more_than_8_bits_that_are_seen(tmp_path):
    """What is left of an image is the better part of it."""
    path = tmp_path / 'a.tif'
    for pixels in (np.where(GRAY > 200, 300, GRAY.astype(np.uint16)), np.float32(GRAY)):
        cv2.imwrite(str(path), pixels)
        assert load(path, imdecode_backend='pillow')['img'].max() >= 254
    # a page of text
    cv2.imwrite(str(path), np.full_like(PIXELS, 255))
    assert load(path, imdecode_backend='pillow')['img'].min() == 255


def test_a_tiff_that_no_loader_reads(tmp_path):
    path = tmp_path / 'a.tif'
    cv2.imwrite(str(path), GRAY)
    path.write_bytes(path.read_bytes()[:40])
    line = problem(path)
    assert 'is a TIFF that is truncated, damaged or of a kind that its loader does not' in line
    assert '(40 bytes): put the whole image there, or convert it to 8 bits' in line


def test_a_wrong_argument_is_no_fault_of_the_image(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(_png())
    with pytest.raises(ValueError, match='backend: none is not supported'):
        load(path, imdecode_backend='none')


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'mmrotate'])
def test_the_name_in_a_config(scope):
    install(scope)
    name = 'mmdet.LoadImageFromFile' if scope == 'mmrotate' else 'LoadImageFromFile'
    loader = TRANSFORMS.build(dict(type=name, ignore_empty=True, _scope_=scope))
    assert isinstance(loader, LoadCheckedImage)
    # a worker that is spawned, and a copy of a data set
    assert pickle.loads(pickle.dumps(loader)).ignore_empty
    assert copy.deepcopy(loader).ignore_empty


@pytest.mark.tries('an image that is empty')
def test_skipped_images_are_counted(tmp_path, caplog):
    """mmengine's data sets take another one."""
    install()
    for i, content in enumerate((b'', _png(), b'no')):
        (tmp_path / f'{i}.png').write_bytes(content)

    class Images(BaseDataset):
        def load_data_list(self):
            return [dict(img_path=f'{tmp_path}/{i}.png') for i in range(3)]

    images = Images(pipeline=[dict(type='LoadImageFromFile', ignore_empty=True)])
    for i in (0, 1, 2):
        assert images[i]['img_path'] == f'{tmp_path}/1.png'
    skipped = int(images.pipeline.transforms[0].skips.total)
    assert skipped >= 2
