"""A label map that does not fit ends in one line that names its file."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS
from PIL import Image
from segmentation import CONFIGS

from sparx_mm.config_nodes import walk
from sparx_mm.engine import CheckSegMap
from sparx_mm.engine.transforms.check_seg_map import read_pixels
from sparx_mm.errors import UserError
from sparx_mm.run import load_config

pytestmark = pytest.mark.stack
SHAPE = (6, 8)
STEPS = [dict(type='LoadAnnotations'), dict(type='CheckSegMap', num_classes=3)]


@pytest.fixture
def load(tmp_path):
    """Write pixels into a file, load it with mmseg and check it."""

    def load(
        pixels, shape=SHAPE, reduce_zero_label=False, label_map=None, steps=STEPS, name='a.png'
    ):
        results = dict(
            img_path=f'{tmp_path}/a.jpg',
            seg_map_path=f'{tmp_path}/{name}',
            ori_shape=shape,
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
            seg_fields=[],
        )
        if pixels is not None:
            if isinstance(pixels, np.ndarray):
                pixels = Image.fromarray(pixels)
            pixels.save(results['seg_map_path'])
        for step in steps:
            step = TRANSFORMS.build(dict(step, _scope_='mmseg'))
            results = step(results)
        return results['gt_seg_map']

    return load


def _ids(*values, dtype=np.uint8, shape=SHAPE):
    """Make a map of the first value, with one pixel of each other one."""
    pixels = np.full(shape, values[0], dtype)
    pixels.flat[: len(values)] = values
    return pixels


def test_a_file_that_pillow_fails_at(tmp_path):
    path = tmp_path / 'a.png'
    pixels = np.random.default_rng(0).integers(0, 9, (400, 400), np.uint8)
    Image.fromarray(pixels).save(path, compress_level=0)
    start, *rest = path.read_bytes().split(b'IDAT', 2)
    # the second part of the pixels has lost its name
    path.write_bytes(start + b'IDAT' + b'\0\0\0\0'.join(rest))
    with pytest.raises(SyntaxError):
        Image.open(path).load()
    assert read_pixels(str(path)) is None


@pytest.mark.parametrize('ids', [(0,), (0, 1, 2), (0, 255), (255, 2)])
def test_maps_that_fit(load, ids):
    assert np.array_equal(load(_ids(*ids)), _ids(*ids))


@pytest.mark.parametrize('kind', ['P', '1'])
def test_other_kinds_of_index_maps(load, kind):
    image = Image.fromarray(_ids(0, 1)).convert(kind)
    if kind == 'P':
        image.putpalette([0, 0, 0, 200, 0, 0])
    assert load(image).max() <= 1


def test_label_0_without_a_class(load):
    loaded = load(_ids(0, 1, 3, 255), reduce_zero_label=True)
    assert loaded.flat[:5].tolist() == [255, 0, 2, 255, 255]


@pytest.mark.parametrize('shape', [(1, 1), (1, 8), (6, 1)])
def test_images_of_one_row_or_column(load, shape):
    assert load(_ids(2, shape=shape), shape=shape).shape == shape


@pytest.mark.tries('a label map of another size')
@pytest.mark.parametrize(
    'shape,size', [((8, 6), '6 x 8'), ((6, 7), '7 x 6'), ((6, 1), '6'), ((1, 1), '1')]
)
def test_another_size(load, tmp_path, shape, size):
    with pytest.raises(UserError) as error:
        load(_ids(0, shape=shape))
    assert str(error.value).startswith(
        f'label map {tmp_path}/a.png has {size} pixels and its image '
        f'{tmp_path}/a.jpg has 8 x 6 (width x height)'
    )


def test_the_image_may_be_resized_before(load, tmp_path):
    cv2.imwrite(f'{tmp_path}/a.jpg', np.zeros((*SHAPE, 3), np.uint8))
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(16, 12)), *STEPS]
    assert load(_ids(0), shape=None, steps=steps).shape == SHAPE


@pytest.mark.tries('a label map of another size')
@pytest.mark.parametrize('mode,channels', [('RGB', 3), ('LA', 2), ('RGBA', 4)])
def test_colours(load, tmp_path, mode, channels):
    with pytest.raises(UserError, match=f'{tmp_path}/a.png has {channels} channels'):
        load(Image.fromarray(_ids(0)).convert(mode))


@pytest.mark.tries('a label map of another size')
@pytest.mark.parametrize('reduced', [False, True])
def test_ids_without_a_class(load, tmp_path, reduced):
    highest = 2 + reduced
    load(_ids(0, highest), reduce_zero_label=reduced)
    for wrong in (highest + 1, 254):
        with pytest.raises(UserError) as error:
            load(_ids(0, wrong), reduce_zero_label=reduced)
        assert str(error.value).startswith(
            f'label map {tmp_path}/a.png has pixels of id {wrong}: ids are '
            f'0 to {highest}, and 255 for what is ignored'
        )


@pytest.mark.parametrize('reduced', [False, True])
@pytest.mark.parametrize('num_classes', [1, 150])
def test_classes_that_were_chosen(load, reduced, num_classes):
    """Of the data set's five, two are learned; their ids are changed."""
    chosen = dict(
        reduce_zero_label=reduced,
        label_map=dict(zip(range(5), (255, 1, 255, 0, 255))),
        steps=[STEPS[0], dict(STEPS[1], num_classes=num_classes)],
    )
    ids = np.arange(5, dtype=np.uint8) + reduced
    loaded = load(_ids(*ids), **chosen)
    assert loaded.flat[:5].tolist() == [255, 1, 255, 0, 255]
    # nothing of the chosen ones is in it
    assert (load(_ids(2 + reduced), **chosen) == 255).all()
    highest = 4 + reduced
    with pytest.raises(UserError, match=f'of id {highest + 1}: ids are 0 to {highest},'):
        load(_ids(0, highest + 1), **chosen)
    with pytest.raises(UserError, match='is 255 in every pixel'):
        load(_ids(255), **chosen)


@pytest.mark.parametrize(
    'dtype,name', [(np.uint16, 'a.png'), (np.int32, 'a.tif'), (np.float32, 'a.tif')]
)
@pytest.mark.parametrize('reduced', [False, True])
def test_ids_of_more_than_8_bits(load, tmp_path, dtype, name, reduced):
    pixels = _ids(0, 2, 255, dtype=dtype)
    load(pixels, reduce_zero_label=reduced, name=name)
    pixels[-1, -1] = 257
    with pytest.raises(UserError, match=f'{tmp_path}/{name} has pixels of id 257'):
        load(pixels, reduce_zero_label=reduced, name=name)
    pixels[-1, -1] = 4
    with pytest.raises(UserError, match='has pixels of id 4'):
        load(pixels, reduce_zero_label=reduced, name=name)


@pytest.mark.tries('a label map of another size')
@pytest.mark.parametrize('reduced', [False, True])
def test_nothing_but_255(load, tmp_path, reduced):
    with pytest.raises(UserError) as error:
        load(_ids(255), reduce_zero_label=reduced)
    assert str(error.value).startswith(f'label map {tmp_path}/a.png is 255 in every pixel')
    assert str(error.value).endswith(f'{tmp_path}/a.jpg')


def test_nothing_that_has_a_class(load):
    """0 only, where 0 has no class."""
    assert (load(_ids(0), reduce_zero_label=True) == 255).all()


@pytest.mark.parametrize(
    'ids,reduced,message',
    [
        (_ids(2), False, None),
        (_ids(3), True, 'of id 4: ids are 0 to 3'),
        (_ids(255), True, None),
        (_ids(255), False, 'is 255 in every'),
        (_ids(0, -1, dtype=np.int64), False, 'of id -1: ids are 0 to 2'),
    ],
)
def test_files_that_are_elsewhere(ids, reduced, message):
    """What was loaded is checked; more cannot be told without the file."""
    results = dict(
        img_path='s3://a.jpg',
        seg_map_path='s3://a.png',
        ori_shape=SHAPE,
        gt_seg_map=ids,
        reduce_zero_label=reduced,
    )
    if message is None:
        assert CheckSegMap(3)(results) is results
    else:
        with pytest.raises(UserError, match=f'label map s3://a.png .*{message}'):
            CheckSegMap(3)(results)


def test_a_label_map_that_was_not_loaded():
    with pytest.raises(UserError, match='a.png belongs .* right after LoadAnnotations'):
        CheckSegMap(3)(dict(ori_shape=SHAPE, seg_map_path='a.png'))


@pytest.mark.parametrize('path', [dict(), dict(seg_map_path=None), dict(seg_map_path='')])
def test_an_image_that_has_no_label_map(path):
    results = dict(ori_shape=SHAPE, **path)
    assert CheckSegMap(3)(results) is results


@pytest.mark.parametrize('number', [0, 256])
def test_numbers_of_classes(number):
    with pytest.raises(ValueError, match=f'1 to 255, got {number}'):
        CheckSegMap(number)
    assert repr(CheckSegMap(150)) == 'CheckSegMap(num_classes=150)'


def test_the_configs_check_what_they_load():
    """Each LoadAnnotations is followed, with as many classes as the head."""
    assert CONFIGS
    for path in CONFIGS:
        cfg = load_config(str(path))
        loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        pipelines = [loader.dataset.pipeline for loader in loaders]
        if 'tta_pipeline' in cfg:
            pipelines.append(cfg.tta_pipeline)
        for pipeline in pipelines:
            steps = [step for _, step in walk(pipeline) if 'type' in step]
            types = [step.type for step in steps]
            check = steps[types.index('LoadAnnotations') + 1]
            assert check == dict(type='CheckSegMap', num_classes=cfg.model.decode_head.num_classes)


def test_the_engine_registers_it():
    code = (
        'import sparx_mm.engine\n'
        'from mmengine.registry import TRANSFORMS\n'
        'assert "CheckSegMap" in TRANSFORMS'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
