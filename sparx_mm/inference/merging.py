"""Results of tiles, put together: instances by suppression, label maps from averaged logits."""

from collections.abc import Callable

import torch
from mmengine.structures import InstanceData

from .boxes import find_boxes
from .tiles import Tile

# share of a box that a box of another tile must cover to be the same object
COVERED = 0.5
# boxes of one class that overlap more are one object
IOU = 0.5


def merge_instances(
    found: list[InstanceData], tiles: list[Tile], shape: tuple[int, int]
) -> InstanceData:
    """Put the instances of tiles into the image, each object once.

    Boxes of one class that overlap are suppressed, those that their tile cuts off first. Such a
    box is dropped too if a larger one of its class in another tile covers most of it.

    Args:
        found (list[InstanceData]): Boxes (N, 4), or (N, 5) rotated, with scores, labels and
            perhaps masks (N, H, W) of each tile.
        tiles (list[Tile]): The tiles. One that is the whole image cuts off nothing.
        shape (tuple[int, int]): Height and width of the image.

    Returns:
        InstanceData: Instances of the image, the best score first.
    """
    # imported lazily: a segmentor needs no operators of mmcv
    from mmcv.ops import batched_nms

    boxes = [find_boxes(one) for one in found]
    for box, tile in zip(boxes, tiles):
        centre_only = box.shape[1] == 5
        box[:, 0:2] += box.new_tensor([tile.x, tile.y])
        if not centre_only:
            box[:, 2:4] += box.new_tensor([tile.x, tile.y])
    owner = torch.cat([torch.full((len(box),), i) for i, box in enumerate(boxes)])
    boxes = torch.cat(boxes)
    scores = torch.cat([one.scores for one in found])
    # SOLO's labels of nothing are floats
    labels = torch.cat([one.labels.long() for one in found])
    kept = torch.zeros(0, dtype=torch.long)
    upright = _enclose(boxes)
    touches = _touch_borders(upright, owner, tiles, shape)
    if len(boxes):
        kind = 'nms_rotated' if boxes.shape[1] == 5 else 'nms'
        # a part of an object suppresses none that is whole
        ranks = torch.where(touches, scores - scores.max() - 1, scores)
        _, kept = batched_nms(boxes, ranks, labels, dict(type=kind, iou_threshold=IOU))
        kept = kept[scores[kept].argsort(descending=True, stable=True)]
    kept = kept[~_cut_off(upright[kept], labels[kept], owner[kept], touches[kept])]
    merged = InstanceData(bboxes=boxes[kept], scores=scores[kept], labels=labels[kept])
    if 'masks' in found[0]:
        merged.masks = _place_masks(found, tiles, owner, kept, shape)
    return merged


def _enclose(boxes: torch.Tensor) -> torch.Tensor:
    """Return the upright boxes (N, 4) around boxes."""
    if boxes.shape[1] == 4:
        return boxes
    x, y, width, height, angle = boxes.unbind(1)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return torch.stack([x - half_x, y - half_y, x + half_x, y + half_y], 1)


def _touch_borders(boxes, owner, tiles, shape) -> torch.Tensor:
    """Tell which boxes end at an inner border of their tile."""
    height, width = shape
    borders = boxes.new_tensor([[t.x, t.y, t.x + t.width, t.y + t.height] for t in tiles])[owner]
    # the image's own borders cut nothing off
    inner = torch.stack(
        [
            borders[:, 0] > 0,
            borders[:, 1] > 0,
            borders[:, 2] < width,
            borders[:, 3] < height,
        ],
        1,
    )
    return (((boxes - borders).abs() <= 2) & inner).any(1)


def _cut_off(boxes, labels, owner, touches) -> torch.Tensor:
    """Tell which boxes of those that end at an inner border are a part of another box."""
    cut = touches.clone()
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).prod(1)
    # one at a time, because all pairs of a large image's boxes would not fit into memory
    for i in cut.nonzero().flatten().tolist():
        least = torch.maximum(boxes[i, :2], boxes[:, :2])
        most = torch.minimum(boxes[i, 2:], boxes[:, 2:])
        shared = (most - least).clamp(min=0).prod(1)
        other = (owner != owner[i]) & (labels == labels[i]) & (area > area[i])
        cut[i] = ((shared > COVERED * area[i]) & other).any()
    return cut


def _place_masks(found, tiles, owner, kept, shape) -> torch.Tensor:
    """Put the masks of the instances that are kept into images of their own."""
    masks = torch.zeros(len(kept), *shape, dtype=torch.bool)
    begins = torch.tensor([0] + [len(one) for one in found]).cumsum(0)
    for mask, index in zip(masks, kept.tolist()):
        tile = tiles[owner[index]]
        own = found[owner[index]].masks[index - begins[owner[index]]]
        mask[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = torch.as_tensor(own)
    return masks


class LabelCanvas:
    """Label map of a large image, from the logits of its tiles.

    Logits of pixels that several tiles have are averaged. Rows of tiles come from the top,
    and only logits of the rows that the next ones may still change are kept, because those of
    a whole large image would not fit into memory.

    Args:
        shape (tuple[int, int]): Height and width of the image.
        decide (Callable): Maps logits of shape (C, H, W) to a label map of shape (1, H, W).
    """

    def __init__(self, shape: tuple[int, int], decide: Callable) -> None:
        self.labels = torch.zeros(1, *shape, dtype=torch.int64)
        self._decide, self._top, self._sum, self._count = decide, 0, None, None

    def add(self, tile: Tile, logits: torch.Tensor) -> None:
        """Add a tile.

        Args:
            tile (Tile): The tile; none that is added later begins above it.
            logits (Tensor): Its logits (C, h, w).
        """
        self._settle(tile.y)
        self._extend(len(logits), tile.y + tile.height - self._top)
        top = tile.y - self._top
        rows, columns = slice(top, top + tile.height), slice(tile.x, tile.x + tile.width)
        self._sum[:, rows, columns] += logits.float()
        self._count[rows, columns] += 1

    def finish(self) -> torch.Tensor:
        """Return the label map, of shape (1, H, W), after the last row."""
        self._settle(self.labels.shape[1])
        return self.labels

    def _extend(self, channels: int, height: int) -> None:
        """Make room for the sums of so many rows."""
        kept, old = self._sum, 0 if self._sum is None else self._sum.shape[1]
        if old >= height:
            return
        width = self.labels.shape[2]
        self._sum, counts = torch.zeros(channels, height, width), torch.zeros(height, width)
        if old:
            self._sum[:, :old], counts[:old] = kept, self._count
        self._count = counts

    def _settle(self, row: int) -> None:
        """Decide the labels of all rows before one."""
        done = row - self._top
        if self._sum is not None and done > 0:
            mean = self._sum[:, :done].div_(self._count[:done])
            self.labels[:, self._top : row] = self._decide(mean)
            self._sum, self._count = self._sum[:, done:], self._count[done:]
        self._top = row
