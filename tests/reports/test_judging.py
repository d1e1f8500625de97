"""What a report counts as right and wrong."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from sparx_mm.errors import UserError
from sparx_mm.reports.cases import SHOWN, Case, CaseRecorder, confusion_matrix, rank
from sparx_mm.reports.judging import Verdict, judge

CLASSES = ('cat', 'dog', 'sea')


def detector(truth, guess, ignored=()):
    """Make a sample of a detector.

    Args:
        truth (list): Pairs of a label and a box.
        guess (list): Triples of a label, a box and a score.
        ignored (list): Boxes.
    """

    def boxes(rows):
        return torch.tensor([row[1] for row in rows], dtype=torch.float32).reshape(-1, 4)

    def labels(rows):
        return torch.tensor([row[0] for row in rows], dtype=torch.long)

    return dict(
        gt_instances=dict(bboxes=HorizontalBoxes(boxes(truth)), labels=labels(truth)),
        pred_instances=dict(
            bboxes=boxes(guess),
            labels=labels(guess),
            scores=torch.tensor([row[2] for row in guess]),
        ),
        ignored_instances=dict(bboxes=HorizontalBoxes(boxes([(0, box) for box in ignored]))),
    )


A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 10]


@pytest.mark.parametrize(
    'sample,quality,pairs,note',
    [
        # right, with two thirds of overlap
        (detector([(0, A)], [(0, [0, 0, 10, 15], 0.9)]), 2 / 3, [[0, 0, 1]], '1 found'),
        # a score that is too low
        (detector([(0, A)], [(0, A, 0.2)]), 0, [[0, 3, 1]], '0 found, 1 missed'),
        # another class
        (detector([(0, A)], [(1, A, 0.9)]), 0, [[0, 1, 1]], '0 found, 1 of another class'),
        # the same twice
        (
            detector([(0, A)], [(0, A, 0.9), (0, A, 0.8)]),
            2 / 3,
            [[0, 0, 1], [3, 0, 1]],
            '1 found, 1 false',
        ),
        # the right class goes before a better overlap of a wrong one
        (
            detector([(0, A)], [(1, A, 0.9), (0, [0, 0, 10, 12.5], 0.5)]),
            2 * 0.8 / 3,
            [[0, 0, 1], [3, 1, 1]],
            '1 found, 1 false',
        ),
        # in a region to be ignored, and elsewhere
        (
            detector([(0, A)], [(0, A, 0.9), (1, B, 0.9), (1, C, 0.9)], ignored=[B]),
            2 / 3,
            [[0, 0, 1], [3, 1, 1]],
            '1 found, 1 false',
        ),
        (detector([], []), None, [], '0 found'),
        (detector([], [(1, A, 0.9)]), 0, [[3, 1, 1]], '0 found, 1 false'),
    ],
)
def test_instances(sample, quality, pairs, note):
    verdict = judge(sample, CLASSES)
    assert verdict.quality == pytest.approx(quality)
    assert verdict.pairs.tolist() == pairs
    assert verdict.note == note


def test_rotated_boxes_are_compared_with_their_angles():
    pytest.importorskip('mmcv._ext')
    sample = detector([(0, A)], [(0, A, 0.9)])
    box = torch.tensor([[50.0, 50, 40, 10, 0]])
    turned = torch.tensor([[50.0, 50, 40, 10, np.pi / 2]])
    sample['gt_instances']['bboxes'] = box
    sample['ignored_instances'] = {}
    for guess, found in ((box, [[0, 0, 1]]), (turned, [[0, 3, 1], [3, 0, 1]])):
        sample['pred_instances']['bboxes'] = guess
        assert judge(sample, CLASSES).pairs.tolist() == found


def test_label_maps_as_the_metric_of_mmseg_counts_them():
    from mmseg.evaluation import IoUMetric

    random = torch.Generator().manual_seed(0)
    metric, matrix = IoUMetric(), np.zeros((4, 4), np.int64)
    metric.dataset_meta = dict(classes=CLASSES)
    for _ in range(3):
        truth, guess = torch.randint(0, 3, (2, 1, 8, 9), generator=random)
        truth[0, 0] = 255
        sample = dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=guess))
        verdict = judge(sample, CLASSES)
        matrix += confusion_matrix([Case('', verdict, None)], 3)
        metric.process({}, [sample])
        counts = [c.numpy() for c in metric.results[-1]]
        assert verdict.quality == pytest.approx((counts[0] / counts[1]).mean())
    hits, union, guessed, true = (sum(column).numpy() for column in zip(*metric.results))
    assert (matrix.diagonal()[:3] == hits).all()
    assert (matrix.sum(1)[:3] == true).all() and (matrix.sum(0)[:3] == guessed).all()
    sample = dict(
        gt_sem_seg=dict(data=torch.tensor([[[0, 0, 0, 0, 2, 255]]])),
        pred_sem_seg=dict(data=torch.tensor([[[0, 0, 0, 1, 2, 2]]])),
    )
    verdict = judge(sample, CLASSES)
    # 3 of 4 cats, no dog, all of the sea
    assert verdict.quality == pytest.approx((0.75 + 0 + 1) / 3)
    assert verdict.note == 'mIoU 58.3%; cat taken for dog in 20.0% of the pixels'


def test_labels_of_images():
    sample = dict(gt_label=torch.tensor([1]), pred_score=torch.tensor([0.7, 0.2, 0.1]))
    verdict = judge(sample, CLASSES)
    assert verdict.quality == pytest.approx(0.2) and verdict.pairs.tolist() == [[1, 0, 1]]
    assert verdict.note == 'dog, score 0.20, taken for cat, score 0.70'
    sample['gt_label'] = torch.tensor([1, 2])
    with pytest.raises(UserError, match='one label an image'):
        judge(sample, CLASSES)


@pytest.mark.parametrize(
    'sample,message',
    [
        (dict(pred_instances={}), '--report needs the ground truth'),
        (dict(pred_sem_seg={}), '--report needs the ground truth'),
        (dict(pred_panoptic_seg={}), 'for detectors, segmentors and classifiers'),
    ],
)
def test_what_cannot_be_judged_is_one_line(sample, message):
    with pytest.raises(UserError, match=message):
        judge(sample, CLASSES)


def test_samples_of_the_best_and_worst_images_are_kept():
    recorder = CaseRecorder()
    recorder.dataset_meta = dict(classes=CLASSES)
    scores = np.random.default_rng(0).permutation(np.linspace(0, 1, 40))
    for score in scores:
        sample = dict(
            img_path=f'{score:.3f}',
            ori_shape=(4, 4),
            gt_label=torch.tensor([0]),
            pred_label=torch.tensor([0]),
            pred_score=torch.tensor([score, 1 - score]),
        )
        recorder.process({}, [sample])
    assert recorder.evaluate(len(scores)) == {}
    assert [float(case.path) for case in recorder.cases] == scores.round(3).tolist()
    assert sum(case.sample is not None for case in recorder.cases) == 2 * SHOWN
    best, worst = rank(recorder.cases)
    ordered = [f'{score:.3f}' for score in sorted(scores)]
    assert [case.path for case in worst] == ordered[:SHOWN]
    assert [case.path for case in best] == ordered[: -SHOWN - 1 : -1]


def test_few_images_are_not_shown_twice():
    none = Verdict(None, np.zeros((0, 3), int), '')
    cases = [Case(str(i), none._replace(quality=i / 3), object()) for i in range(3)]
    best, worst = rank([*cases, Case('empty', none, object())])
    assert [case.path for case in (*best, *worst)] == ['2', '0', '1']
