"""Detection beside the other tasks of `benchmarks/learning.py`."""

import math
from argparse import Namespace

import numpy as np
import pytest
import torch
from archs import PICO, PICO_PLAINMAMBA
from mmengine.structures import InstanceData

SPARX = dict(type='SparXMamba', arch=dict(PICO, depths=(1, 1, 1, 1), connections=None))
PLAINMAMBA = dict(type='PlainMamba', arch=PICO_PLAINMAMBA)


@pytest.fixture
def data():
    from learn import tasks

    return tasks.load('shapes-boxes', Namespace(images=8))


def found(labels, scores=None, shift=0):
    """Return three boxes, the first of them 20 wide and moved to the right."""
    boxes = [[10.0 + shift, 10, 30 + shift, 30], [40, 20, 60, 70], [5, 50, 25, 90]]
    one = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
    if scores:
        one.scores = torch.tensor(scores)
    return one


def test_the_metric_by_hand(capsys):
    from learn.detection import Detector

    labels, scores = [found([0, 3, 3])], [0.9, 0.8, 0.7]
    assert Detector.metric([found([0, 3, 3], scores)], labels) == 1
    assert Detector.metric([found([0, 3, 3], scores)[:0]], labels) == 0
    # of another class
    assert Detector.metric([found([7, 3, 3], scores)], labels) == 0.5
    # IoU of 15 / 25, and of 12 / 28
    assert Detector.metric([found([0, 3, 3], scores, shift=5)], labels) == 1
    assert Detector.metric([found([0, 3, 3], scores, shift=8)], labels) == 0.5
    assert capsys.readouterr().out == ''


def frame(image, boxes):
    return [image[:, y:bottom, x:right] for x, y, right, bottom in boxes.int().tolist()]


def test_boxes_frame_what_is_seen_of_shapes(data):
    from learn import drawn_tasks

    sample = next(drawn_tasks.draw_boxes(24, 1))
    label = data.train.labels[0]
    assert label.labels.tolist() == sample.labels
    for i, mask in enumerate(torch.tensor(np.stack(sample.masks))[:, None]):
        (framed,) = frame(mask, label.bboxes[i : i + 1])
        assert framed.sum() == mask.sum()
        assert all(edge.any() for axis in (1, 2) for edge in framed.transpose(0, axis)[[0, -1]])


def test_boxes_are_mirrored_with_their_images(data):
    from learn.data import Batches

    alone = data.train.take(torch.tensor([0]))
    framed = frame(alone.images[0], alone.labels[0].bboxes)
    images, labels = next(Batches(data._replace(train=alone), 16, 0))
    mirrored = 0
    for image, label in zip(images, labels):
        is_mirrored = not torch.equal(image, alone.images[0])
        mirrored += is_mirrored
        assert label.labels.equal(alone.labels[0].labels)
        for now, before in zip(frame(image, label.bboxes), framed, strict=True):
            assert torch.equal(now.flip(-1) if is_mirrored else now, before)
    # of half of the images of another task's batch
    assert len(images) == 8 and 0 < mirrored < 8


@pytest.mark.parametrize('config', [SPARX, PLAINMAMBA], ids=['stages', 'one size'])
def test_any_maps_are_trained_and_measured(data, config):
    from learn import comparisons, training

    held = data.hold_out(3)
    assert (len(held.train.labels), len(held.test.labels)) == (7, 1)
    losses = []
    for name in ('float32', 'bfloat16'):
        recipe = training.Recipe(1e-3, 1, 0, condition=comparisons.CONDITIONS[name])
        result = training.train(config, held, recipe)
        assert result['finite'] and all(0 <= row[3] <= 1 for row in result['curve'])
        losses.append(result['curve'][-1][2])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.1)


def test_one_image_is_learned(data):
    from learn import training

    alone = data.train.take(torch.tensor([0]))
    data = data._replace(train=alone, test=alone, batch_part=1 / 32)
    trainer = training.Trainer(SPARX, data, training.Recipe(1e-2, 40, 0))
    assert trainer.measure(alone) == 0
    for i in range(40):
        trainer.step(i)
    assert trainer.measure(alone) == trainer.measure(alone) > 0.5


def test_what_has_diverged_finds_nothing(data):
    from learn import training

    trainer = training.Trainer(SPARX, data, training.Recipe(1e-3, 2, 0))
    for parameter in trainer.model.parameters():
        torch.nn.init.constant_(parameter, float('nan'))
    assert trainer.measure(data.test) == 0
    assert math.isnan(trainer.step(0))
