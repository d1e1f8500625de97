"""Data sets of images in memory, and batches of them."""

import zlib
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData

# side of what a network is trained on, and of the images that are cut to it
CROP, MARGIN = 64, 8
IGNORED = 255


class Part(NamedTuple):
    """Images of one size with their labels.

    Args:
        images (Tensor): uint8, (N, 3, H, W).
        labels (Tensor or list[InstanceData]): uint8: classes (N,), or label maps (N, H, W),
            where 255 is ignored; or the boxes of each image, (M, 4) in pixels, left, top,
            right and bottom, with their classes (M,).
    """

    images: torch.Tensor
    labels: torch.Tensor | list

    def take(self, index):
        """Return some of the images.

        Args:
            index (Tensor): Their numbers.
        """
        labels = self.labels
        chosen = labels[index] if torch.is_tensor(labels) else [labels[i] for i in index]
        return Part(self.images[index], chosen)

    def split(self, size):
        """Return the images in batches.

        Args:
            size (int): Images of a batch; the last one may have fewer.
        """
        return [self.take(index) for index in torch.arange(len(self.images)).split(size)]


class Data(NamedTuple):
    """Data set of a task.

    Args:
        train (Part): Training images.
        test (Part): Images that decide.
        classes (tuple[str]): Names by label.
        groups (Tensor, optional): What each training image comes from, a photograph or a
            drive, as a number (N,): all of it is held out together. Default: nothing is shared.
        is_uneven (bool): Some classes have many more images than others. Default: False.
        side (int): Side of the squares that training images are cut to. Default: ``CROP``.
        batch_part (float): Images of a batch of this task over those of a whole batch.
            Default: 1.
    """

    train: Part
    test: Part
    classes: tuple[str, ...]
    groups: torch.Tensor | None = None
    is_uneven: bool = False
    side: int = CROP
    batch_part: float = 1.0

    @property
    def kind(self):
        """``'classes'`` of images, of ``'pixels'``, or of ``'boxes'``"""
        labels = self.train.labels
        if not torch.is_tensor(labels):
            return 'boxes'
        return 'pixels' if labels.ndim == 3 else 'classes'

    def fingerprint(self):
        """Return what tells these images, labels and the metric from others, as 8 digits."""
        digest = zlib.crc32(repr((self.classes, self.is_uneven, self.side)).encode())
        for part in self[:2]:
            labels = part.labels
            if not torch.is_tensor(labels):
                labels = torch.cat([torch.cat([o.bboxes.flatten(), o.labels]) for o in labels])
            for tensor in (part.images, labels):
                digest = zlib.crc32(tensor.contiguous().numpy(), digest)
        return f'{digest:08x}'

    def hold_out(self, seed, part=0.2):
        """Return the training images alone, some of them as those that decide.

        Args:
            seed (int): Seed of the choice.
            part (float): Part of the images, or of their groups, that is held out. Default: 0.2.
        """
        groups = self.groups
        if groups is None:
            groups = torch.arange(len(self.train.images))
        names, groups = groups.unique(return_inverse=True)
        generator = torch.Generator().manual_seed(seed)
        places = torch.randperm(len(names), generator=generator).argsort()[groups]
        order = places.argsort(stable=True)
        held = int((places < max(1, int(len(names) * part))).sum())
        train, test = self.train.take(order[held:]), self.train.take(order[:held])
        if self.kind == 'classes':
            test = Part(middle(test.images, self.side), test.labels)
        return self._replace(train=train, test=test, groups=None)


def to_images(images):
    """Stack images to a tensor of shape (N, 3, H, W), of (0, 3, 0, 0) if there are none.

    Args:
        images (Sequence[ndarray]): uint8, (H, W, 3).
    """
    if not images:
        return torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    # (N, H, W, 3) -> (N, 3, H, W)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def to_part(images, labels):
    """Make a `Part` of arrays.

    Args:
        images (Sequence[ndarray]): uint8, (H, W, 3).
        labels (Sequence): Classes, or label maps (H, W).
    """
    return Part(to_images(images), torch.from_numpy(np.array(labels, np.uint8)))


def middle(images, side):
    """Cut the middle square out of images.

    Args:
        images (Tensor): Images of shape (N, 3, H, W).
        side (int): Side of the square.
    """
    top, left = (images.shape[2] - side) // 2, (images.shape[3] - side) // 2
    return images[:, :, top : top + side, left : left + side]


def whole_and_middle(train, test):
    """Make the parts of a classification: training images whole, and the middle of the others.

    Args:
        train (tuple): Arguments of `to_part`.
        test (tuple): Arguments of `to_part`.

    Returns:
        tuple[Part, Part]: The parts.
    """
    train, test = to_part(*train), to_part(*test)
    return train, Part(middle(test.images, CROP), test.labels)


def cut_object(image, box, side=CROP + MARGIN, context=1.3):
    """Cut a square around an object, and scale it.

    Args:
        image (ndarray): Image of shape (H, W, 3).
        box (Sequence[float]): Left, top, width and height of the object.
        side (int): Side of the result. Default: ``CROP + MARGIN``.
        context (float): Side of the square over the object's longer one. Default: 1.3.

    Returns:
        ndarray: Square, which repeats the edge of the image where it leaves it.
    """
    left, top, width, height = box
    half = context * max(width, height) / 2
    scale = side / (2 * half)
    place = np.array(
        [
            [scale, 0, -scale * (left + width / 2 - half)],
            [0, scale, -scale * (top + height / 2 - half)],
        ]
    )
    if scale < 0.5:
        # as averaging, which a warp does not do
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        ratio = np.array(image.shape[1::-1]) / small.shape[1::-1]
        image, place = small, np.hstack([place[:, :2] * ratio, place[:, 2:]])
    return cv2.warpAffine(image, place, (side, side), borderMode=cv2.BORDER_REPLICATE)


def mirror(label, kind, width):
    """Mirror a label with its image.

    Args:
        label (Tensor or InstanceData): Label of one image.
        kind (str): See `Data.kind`.
        width (int): Width of the image.
    """
    if kind == 'pixels':
        return label.flip(-1)
    if kind == 'boxes':
        left, top, right, bottom = label.bboxes.unbind(1)
        boxes = torch.stack([width - right, top, width - left, bottom], 1)
        return InstanceData(bboxes=boxes, labels=label.labels)
    return label


class Batches:
    """Endless training batches: random crops, mirrored by chance, in random order.

    Args:
        data (Data): Data set.
        batch (int): Number of images of a whole batch, of which the task may take a part.
        seed (int): Seed of order, crops and mirrors.
    """

    def __init__(self, data, batch, seed):
        self.data, self.batch = data, max(1, round(batch * data.batch_part))
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.long)

    def _random(self, limit):
        return torch.randint(limit, (self.batch,), generator=self.generator).tolist()

    def __next__(self):
        """Return images (B, 3, side, side), uint8, and labels of them."""
        part, side = self.data.train, self.data.side
        while len(self.order) < self.batch:
            more = torch.randperm(len(part.images), generator=self.generator)
            self.order = torch.cat([self.order, more])
        index, self.order = self.order[: self.batch], self.order[self.batch :]
        height, width = part.images.shape[2:]
        places = zip(
            index.tolist(),
            self._random(height - side + 1),
            self._random(width - side + 1),
            self._random(2),
        )
        images, labels = [], []
        for i, top, left, mirrored in places:
            window = (..., slice(top, top + side), slice(left, left + side))
            image, label = part.images[i][window], part.labels[i]
            if self.data.kind == 'pixels':
                label = label[window]
            if mirrored:
                image, label = image.flip(-1), mirror(label, self.data.kind, side)
            images.append(image)
            labels.append(label)
        if self.data.kind != 'boxes':
            labels = torch.stack(labels).long()
        return torch.stack(images), labels
