"""Pairs of images and index PNGs, and the classes in them."""

import struct
import zlib

import numpy as np
import pytest
from own_data import save_image

from sparx_mm.errors import UserError
from sparx_mm.finetuning.label_maps import choose_classes, read_label_maps


def save_map(path, values, palette=None):
    """Write an index PNG; Pillow would drop ids beyond its palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.array(values, np.uint8)
    height, width = values.shape
    # 8 bits; grey, or indices of a palette
    header = struct.pack('>IIBBBBB', width, height, 8, 3 if palette else 0, 0, 0, 0)
    parts = {b'IHDR': header, b'PLTE': bytes(palette or ())}
    parts[b'IDAT'] = zlib.compress(b''.join(b'\0' + row.tobytes() for row in values))
    parts[b'IEND'] = b''
    text = b'\x89PNG\r\n\x1a\n'
    for kind, data in parts.items():
        if data or kind == b'IEND':
            check = struct.pack('>I', zlib.crc32(kind + data))
            text += struct.pack('>I', len(data)) + kind + data + check
    path.write_bytes(text)


@pytest.fixture
def folders(tmp_path):
    for name in ('a', 'b'):
        save_image(tmp_path / f'images/{name}.jpg', (2, 2))
    save_map(tmp_path / 'maps/a_mask.png', [[0, 1], [255, 255]], [0, 0, 0, 200, 10, 20])
    save_map(tmp_path / 'maps/b_mask.png', [[0, 0], [0, 0]])
    return str(tmp_path / 'images'), str(tmp_path / 'maps')


def test_pairs_ids_and_colors(folders):
    maps = read_label_maps(*folders)
    assert (maps.names, maps.image_suffix, maps.map_suffix) == (['a', 'b'], '.jpg', '_mask.png')
    # 255 is ignored
    assert maps.ids == [{0, 1}, {0}]
    assert maps.palette == [(0, 0, 0), (200, 10, 20)]
    assert choose_classes(maps) == ['0', '1']
    assert choose_classes(maps, ['sky', 'road', 'tree']) == ['sky', 'road', 'tree']


def test_images_without_a_map_are_left_out(folders, tmp_path):
    save_image(tmp_path / 'images/c.jpg')
    maps = read_label_maps(*folders)
    assert maps.names == ['a', 'b']
    assert maps.notes == ['images left out, because they have no label map: 1']


def test_images_named_after_a_png(tmp_path):
    save_image(tmp_path / 'images/a.png.jpg', (2, 1))
    save_map(tmp_path / 'maps/a.png', [[0, 1]])
    maps = read_label_maps(str(tmp_path / 'images'), str(tmp_path / 'maps'))
    assert (maps.names, maps.map_suffix) == (['a.png'], '')


def beyond_the_palette(root):
    save_map(root / 'maps/a_mask.png', [[0, 2]], [0, 0, 0, 200, 10, 20])


def in_colors(root):
    save_image(root / 'maps/a_mask.png')


def other_ending(root):
    save_image(root / 'images/c.png')


def without_image(root):
    (root / 'images/b.jpg').unlink()


def as_jpeg(root):
    for name in ('a', 'b'):
        (root / f'maps/{name}_mask.png').rename(root / f'maps/{name}.jpg')


@pytest.mark.parametrize(
    'spoil,message',
    [
        (beyond_the_palette, r'a_mask.png has pixels of 2, and its palette has 2 colors'),
        (in_colors, 'a_mask.png is no index PNG'),
        (other_ending, r'several endings \(2 .jpg, 1 .png\)'),
        (without_image, 'images missing: b_mask.png of 2 label maps has no image'),
        (as_jpeg, 'holds no label map, a .png, but for example a.jpg'),
    ],
)
def test_bad_folders_end_in_one_line(folders, tmp_path, spoil, message):
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        read_label_maps(*folders)


def test_ids_that_are_no_class(folders, tmp_path):
    save_map(tmp_path / 'maps/b_mask.png', [[7, 0]])
    maps = read_label_maps(*folders)
    with pytest.raises(
        UserError, match='b_mask.png has pixels of 7, and there are 2 classes, 0 to 1'
    ):
        choose_classes(maps, ['sky', 'road'])


def test_masks_of_0_and_255(folders, tmp_path):
    save_map(tmp_path / 'maps/a_mask.png', [[0, 255]])
    with pytest.raises(UserError, match='hold 0 only, beside 255, which is ignored'):
        choose_classes(read_label_maps(*folders))
