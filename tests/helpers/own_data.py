"""Annotations whose boxes are known to the pixel, in the formats that people have."""

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30


def save_image(path, size=(WIDTH, HEIGHT)):
    """Write a grey image, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 120, np.uint8)).save(path)


def voc(*objects):
    """Write a file of VOC's."""
    size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>'
    return f'<annotation>{size}{"".join(objects)}</annotation>'


def voc_object(name, *corners, difficult=0):
    """Write an object of VOC's."""
    keys = ('xmin', 'ymin', 'xmax', 'ymax')
    box = ''.join(f'<{key}>{value}</{key}>' for key, value in zip(keys, corners))
    return (
        f'<object><name>{name}</name><difficult>{difficult}</difficult>'
        f'<bndbox>{box}</bndbox></object>'
    )


def labelme(*shapes):
    """Make the content of a file of LabelMe's from label, kind, points and group."""
    keys = ('label', 'shape_type', 'points', 'group_id')
    return dict(
        version='5.5.0',
        shapes=[dict(zip(keys, shape)) for shape in shapes],
        imagePath='a.png',
        imageWidth=WIDTH,
        imageHeight=HEIGHT,
    )


def boxes_of(content):
    """Return class, box and area of the objects of each image."""
    names = {one['id']: one['name'] for one in content.coco['categories']}
    found = {one['file_name']: [] for one in content.coco['images']}
    files = {one['id']: one['file_name'] for one in content.coco['images']}
    for one in content.coco['annotations']:
        box = tuple(round(value, 6) for value in one['bbox'])
        found[files[one['image_id']]].append((names[one['category_id']], box))
    return found
