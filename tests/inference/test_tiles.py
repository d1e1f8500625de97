"""Tiles cover an image, and what is found in them becomes one result."""

import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData

from sparx_mm.errors import UserError
from sparx_mm.inference.merging import LabelCanvas, merge_instances
from sparx_mm.inference.tiles import Tile, check_tiling, tile_rows
from sparx_mm.inference.writers import CocoWriter


@pytest.mark.parametrize('shape', [(64, 64), (100, 64), (65, 191), (30, 200), (10, 20)])
@pytest.mark.parametrize('overlap', [0, 0.25, 0.5])
def test_tiles_cover_an_image(shape, overlap):
    seen = np.zeros(shape, int)
    for row in tile_rows(*shape, 64, overlap):
        for tile in row:
            assert tile.height == min(64, shape[0]) and tile.width == min(64, shape[1])
            part = seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            assert part.shape == (tile.height, tile.width)
            part += 1
    assert seen.min() == 1
    rows = tile_rows(*shape, 64, overlap)
    step, wanted = 64 - round(overlap * 64), []
    for length, starts in zip(shape, ([row[0].y for row in rows], [tile.x for tile in rows[0]])):
        number = max(0, -(-(length - 64) // step)) + 1
        assert len(starts) == number and starts[0] == 0
        assert all(0 < after - before <= step for before, after in zip(starts, starts[1:]))
        wanted.append(number)
    assert [len(rows), len(rows[0])] == wanted


@pytest.mark.parametrize('tile,overlap', [(8, 0.2), (64, -0.1), (64, 0.95)])
def test_mistakes(tile, overlap):
    with pytest.raises(UserError):
        check_tiling(tile, overlap)


def instances(boxes, scores, labels, shape=None):
    found = InstanceData(
        bboxes=torch.tensor(boxes) if boxes else torch.zeros(0, 4),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    if shape:
        found.masks = torch.zeros(len(scores), *shape, dtype=torch.bool)
        for mask, box in zip(found.masks, boxes):
            mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    return found


TILES = [Tile(0, 0, 64, 64), Tile(0, 36, 64, 64)]


def test_an_object_in_two_tiles_is_one():
    first = instances([[40.0, 10, 60, 30]], [0.9], [1], (64, 64))
    second = instances([[4.0, 10, 24, 30], [30.0, 40, 50, 60]], [0.8, 0.7], [1, 2], (64, 64))
    merged = merge_instances([first, second], TILES, (64, 100))
    assert merged.bboxes.tolist() == [[40, 10, 60, 30], [66, 40, 86, 60]]
    assert merged.scores.tolist() == pytest.approx([0.9, 0.7])
    assert merged.masks.shape == (2, 64, 100)
    for mask, box in zip(merged.masks, merged.bboxes.int().tolist()):
        rows, columns = torch.where(mask)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert [int(edge) for edge in edges] == box


def test_a_part_that_its_tile_cuts_off_goes():
    """It overlaps the whole object too little for suppression."""
    part = [55.0, 10, 64, 30]
    first = instances([part], [0.9], [1])
    whole = instances([[19.0, 10, 44, 30]], [0.8], [1])
    merged = merge_instances([first, whole], TILES, (64, 100))
    assert merged.bboxes.tolist() == [[55, 10, 80, 30]]
    # of another class, or at the border of the image, it is an object of its own
    whole.labels[:] = 2
    assert len(merge_instances([first, whole], TILES, (64, 100))) == 2
    whole.labels[:] = 1
    assert len(merge_instances([first, whole], [TILES[0]._replace(x=36), TILES[1]], (64, 100))) == 2


def test_a_part_does_not_suppress_the_whole():
    """Its score is better, and it overlaps enough for suppression."""
    part = instances([[34.0, 10, 64, 50]], [0.9], [1])
    whole = instances([[4.0, 10, 54, 50], [60.0, 0, 64, 4]], [0.8, 0.95], [1, 2])
    merged = merge_instances([part, whole], TILES, (64, 100))
    assert merged.bboxes.tolist() == [[96, 0, 100, 4], [40, 10, 90, 50]]
    assert merged.scores.tolist() == pytest.approx([0.95, 0.8])


def test_rotated_boxes():
    first = instances([[50.0, 20, 20, 10, 0.3]], [0.9], [0])
    second = instances([[14.0, 20, 20, 10, 0.3]], [0.8], [0])
    merged = merge_instances([first, second], TILES, (64, 100))
    assert merged.bboxes.tolist() == [pytest.approx([50, 20, 20, 10, 0.3])]


def test_masks_without_boxes(tmp_path):
    """Of SOLO, whose boxes are zeros."""
    first = instances([[40.0, 10, 60, 30]], [0.9], [1], (64, 64))
    second = instances([[4.0, 10, 24, 30], [30.0, 40, 50, 60]], [0.8, 0.7], [1, 1], (64, 64))
    for found in (first, second):
        found.bboxes.zero_()
    none = instances([], [], [], (64, 64))
    none.labels = none.labels.float()
    tiles = [*TILES, Tile(0, 0, 64, 64)]
    merged = merge_instances([first, second, none], tiles, (64, 100))
    assert merged.bboxes.tolist() == [[40, 10, 60, 30], [66, 40, 86, 60]]
    assert merged.masks.flatten(1).sum(1).tolist() == [400, 400]
    assert merged.labels.dtype == torch.long
    writer = CocoWriter(str(tmp_path), dict(classes=['a', 'b']))
    writer.add('a.png', (64, 64), BaseDataElement(pred_instances=second))
    writer.close()
    content = json.loads((tmp_path / 'predictions.json').read_text())
    assert [one['bbox'] for one in content['annotations']] == [[4, 10, 20, 20], [30, 40, 20, 20]]


def test_nothing_found():
    none = instances([], [], [], (64, 64))
    merged = merge_instances([none, none], TILES, (64, 100))
    assert len(merged) == 0 and merged.masks.shape == (0, 64, 100)


@pytest.mark.parametrize('shape,overlap', [((64, 64), 0), ((150, 100), 0.25), ((70, 200), 0.5)])
def test_logits_are_averaged(shape, overlap):
    """A large image's canvas keeps a few rows; the result is that of all logits at once."""
    torch.manual_seed(0)
    rows = tile_rows(*shape, 64, overlap)
    total, count = torch.zeros(3, *shape), torch.zeros(shape)
    canvas = LabelCanvas(shape, lambda logits: logits.argmax(0, keepdim=True))
    for row in rows:
        for tile in row:
            one = torch.rand(3, tile.height, tile.width)
            canvas.add(tile, one)
            place = (slice(tile.y, tile.y + tile.height), slice(tile.x, tile.x + tile.width))
            total[(slice(None), *place)] += one
            count[place] += 1
    assert canvas.finish().equal((total / count).argmax(0, keepdim=True))
