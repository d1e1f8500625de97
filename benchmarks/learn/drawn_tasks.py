"""Tasks whose data are drawn: objects, pixels and boxes of shapes."""

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData

from sparx_mm.demo.drawing import DEMO, HARD, draw_sample
from sparx_mm.errors import UserError

from .data import CROP, Data, Part, cut_object, to_images, to_part, whole_and_middle

MAX_SHAPES, MIN_TRAIN = 16, 4
# however many are for training
TEST_IMAGES = 200
# what is asked for of each image needs shapes that are seen in small ones
OBJECTS_STYLE, OBJECT_PIXELS = HARD._replace(hidden=0.3), 150
# fewer, larger and more distinct shapes of the same kinds, because boxes take longer to learn
BOXES_SIDE = 96
BOXES_STYLE = DEMO._replace(outlines=HARD.outlines)


def _draw(seed, count, size, max_shapes=MAX_SHAPES, style=HARD):
    for index in range(count):
        yield draw_sample(np.random.default_rng((seed, index)), size, max_shapes, style)


def _counts(args):
    """Return the numbers of images for training and for the metrics."""
    if args.images < MIN_TRAIN:
        raise UserError(f'--images {args.images} are too few: give {MIN_TRAIN} or more')
    return args.images, TEST_IMAGES


def _drawn_objects(seed, count):
    """Cut shapes out of drawn images, with what lies around and on top of them."""
    images, labels = [], []
    for sample in _draw(seed, count, 2 * CROP, 8, OBJECTS_STYLE):
        for label, mask in zip(sample.labels, sample.masks):
            if mask.sum() >= OBJECT_PIXELS:
                images.append(cut_object(sample.image, cv2.boundingRect(mask.astype(np.uint8))))
                labels.append(label)
    return images, labels


def shapes_objects(args):
    """Draw objects of 12 classes, partly hidden, with noise.

    Args:
        args (Namespace): Command line, with ``images`` training images to cut them from.
    """
    parts = [_drawn_objects(*part) for part in zip((20, 21), _counts(args))]
    return Data(*whole_and_middle(*parts), tuple(HARD.outlines))


def shapes_pixels(args):
    """Draw images of small and thin shapes with a label for each pixel.

    Args:
        args (Namespace): Command line, with ``images`` training images.
    """
    parts = []
    for seed, count in zip((22, 23), _counts(args)):
        samples = list(_draw(seed, count, CROP + 32))
        parts.append(to_part([s.image for s in samples], [s.label_map for s in samples]))
    return Data(*parts, ('background', *HARD.outlines))


def draw_boxes(seed, count):
    """Draw the images of `shapes_boxes`.

    Args:
        seed (int): Seed of all of them.
        count (int): Number of images.
    """
    return _draw(seed, count, BOXES_SIDE, max_shapes=6, style=BOXES_STYLE)


def shapes_boxes(args):
    """Draw images of small and thin shapes, with a box around what is seen of each.

    Args:
        args (Namespace): Command line, with ``images`` training images.
    """
    parts = []
    for seed, count in zip((24, 25), _counts(args)):
        samples = list(draw_boxes(seed, count))
        parts.append(Part(to_images([s.image for s in samples]), list(map(_boxes, samples))))
    return Data(*parts, tuple(BOXES_STYLE.outlines), side=BOXES_SIDE, batch_part=0.5)


def _boxes(sample):
    seen = [i for i, mask in enumerate(sample.masks) if mask.any()]
    corners = [cv2.boundingRect(sample.masks[i].astype(np.uint8)) for i in seen]
    # left, top, width, height -> left, top, right, bottom
    boxes = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return InstanceData(bboxes=boxes, labels=torch.tensor([sample.labels[i] for i in seen]))
