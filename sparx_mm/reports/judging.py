"""What a model got right and wrong in one image, by the kind of its predictions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..errors import UserError

# score from which instances are counted and drawn, and overlap of one that is found
SCORE_THR, IOU_THR = 0.3, 0.5
NO_TRUTH = (
    '--report needs the ground truth of the test set, and its pipeline loads none: give it '
    'LoadAnnotations, or leave --report out'
)


class Verdict(NamedTuple):
    """What a model got right and wrong in one image.

    Args:
        quality (float, optional): 0 to 1. None if there is nothing in the image and nothing was
            predicted.
        pairs (ndarray): Number of times that a class was taken for another: rows of true
            class, predicted class, count. The class after the last one is none: a miss as a
            prediction, a false alarm as the truth. Shape (n, 3), int64.
        note (str): The same for a reader.
    """

    quality: float | None
    pairs: np.ndarray
    note: str


def judge(sample: dict, classes: Sequence[str]) -> Verdict:
    """Judge the predictions for one image.

    Args:
        sample (dict): Data sample of a metric: of a detector, a segmentor or a classifier.
        classes (Sequence[str]): Names of the classes.

    Returns:
        Verdict: For a detector, the mean overlap of what it found, lessened by misses and
        false alarms (panoptic quality); for a segmentor, the mean IoU of the classes in the
        image; for a classifier, the score of the true class.

    Raises:
        UserError: If there is no ground truth, or if the predictions are of another kind.
    """
    for field, truth, judge_it in (
        ('pred_instances', 'gt_instances', _judge_instances),
        ('pred_sem_seg', 'gt_sem_seg', _judge_label_map),
        ('pred_score', 'gt_label', _judge_label),
    ):
        if field in sample:
            if not len(sample.get(truth, ())):
                raise UserError(NO_TRUTH)
            return judge_it(sample, classes)
    raise UserError('--report is for detectors, segmentors and classifiers')


def match(overlaps: np.ndarray, labels: np.ndarray, true_labels: np.ndarray) -> list[tuple]:
    """Match predictions and objects, those of the same class first, then by their overlap.

    Args:
        overlaps (ndarray): IoU of predictions and objects: (n, m).
        labels (ndarray): Classes of the predictions: (n, ).
        true_labels (ndarray): Classes of the objects: (m, ).

    Returns:
        list[tuple[int, int]]: Pairs of a prediction and an object, of at least `IOU_THR`; each
        is in one pair at most.
    """
    guesses, objects = np.nonzero(overlaps >= IOU_THR)
    rank = overlaps + (labels[:, None] == true_labels[None])
    pairs, used, found = [], set(), set()
    for k in np.argsort(-rank[guesses, objects], kind='stable'):
        i, j = int(guesses[k]), int(objects[k])
        if i not in used and j not in found:
            used.add(i)
            found.add(j)
            pairs.append((i, j))
    return pairs


def _judge_instances(sample, classes) -> Verdict:
    truth, guess = sample['gt_instances'], sample['pred_instances']
    keep = guess['scores'].cpu() >= SCORE_THR
    boxes, true_boxes = tensor_of(guess['bboxes'])[keep], tensor_of(truth['bboxes'])
    labels, true_labels = guess['labels'].cpu()[keep].numpy(), truth['labels'].cpu().numpy()
    overlaps = _overlaps(boxes, true_boxes)
    pairs = match(overlaps, labels, true_labels)
    hits = [(i, j) for i, j in pairs if labels[i] == true_labels[j]]
    ignored = _ignored(sample, boxes) & ~np.isin(np.arange(len(labels)), [i for i, _ in pairs])
    none = len(classes)
    rows = [(true_labels[j], labels[i]) for i, j in pairs]
    missed = set(range(len(true_labels))) - {j for _, j in pairs}
    false = set(np.flatnonzero(~ignored)) - {i for i, _ in pairs}
    rows += [(true_labels[j], none) for j in missed] + [(none, labels[i]) for i in false]
    count = len(true_labels) + len(labels) - ignored.sum()
    quality = float(2 * sum(overlaps[pair] for pair in hits) / count) if count else None
    wrong = len(pairs) - len(hits)
    facts = dict(found=len(hits), missed=len(missed), false=len(false))
    facts['of another class'] = wrong
    note = ', '.join(f'{n} {what}' for what, n in facts.items() if n or what == 'found')
    return Verdict(quality, _count_pairs(*np.array(rows, np.int64).reshape(-1, 2).T), note)


def tensor_of(boxes) -> torch.Tensor:
    """Return boxes as a tensor on the CPU, those of mmdet's and mmrotate's classes too.

    Args:
        boxes (Tensor or BaseBoxes): Boxes of shape (n, 4) or (n, 5).
    """
    return getattr(boxes, 'tensor', boxes).detach().cpu().float()


def _overlaps(boxes, others, mode='iou') -> np.ndarray:
    if boxes.shape[-1] == 5:
        from mmcv.ops import box_iou_rotated

        return box_iou_rotated(boxes, others, mode=mode, clockwise=True).numpy()
    # imported lazily: a segmentor is judged without mmdet
    from mmdet.structures.bbox import bbox_overlaps

    return bbox_overlaps(boxes, others, mode=mode).numpy()


def _ignored(sample, boxes) -> np.ndarray:
    """Return True for predictions that are mostly inside of regions to be ignored."""
    regions = sample.get('ignored_instances', {}).get('bboxes', ())
    if not len(regions) or not len(boxes):
        return np.zeros(len(boxes), bool)
    return _overlaps(boxes, tensor_of(regions), 'iof').max(1) > IOU_THR


def _judge_label_map(sample, classes) -> Verdict:
    truth = sample['gt_sem_seg']['data'].cpu().numpy().ravel().astype(np.int64)
    guess = sample['pred_sem_seg']['data'].cpu().numpy().ravel().astype(np.int64)
    labelled = truth < len(classes)
    truth, guess = truth[labelled], guess[labelled]
    pairs = _count_pairs(truth, guess)
    right = pairs[pairs[:, 0] == pairs[:, 1]]
    hits = dict(right[:, [0, 2]].tolist())
    true, guessed = np.bincount(truth), np.bincount(guess)
    ious = [
        hits.get(c, 0) / (_at(true, c) + _at(guessed, c) - hits.get(c, 0))
        for c in np.union1d(truth, guess).tolist()
    ]
    note = f'mIoU {np.mean(ious):.1%}' if ious else 'no labels'
    wrong = pairs[pairs[:, 0] != pairs[:, 1]]
    if len(wrong):
        a, b, n = wrong[wrong[:, 2].argmax()].tolist()
        note += f'; {classes[a]} taken for {classes[b]} in {n / len(truth):.1%} of the pixels'
    return Verdict(float(np.mean(ious)) if ious else None, pairs, note)


def _at(counts, label) -> int:
    return counts[label] if label < len(counts) else 0


def _judge_label(sample, classes) -> Verdict:
    labels, scores = sample['gt_label'].flatten().tolist(), sample['pred_score'].flatten()
    if len(labels) != 1:
        raise UserError('--report is for classifiers of one label an image')
    (true,), guess = labels, int(scores.argmax())
    note = f'{classes[guess]}, score {float(scores[guess]):.2f}'
    if guess != true:
        note = f'{classes[true]}, score {float(scores[true]):.2f}, taken for {note}'
    return Verdict(float(scores[true]), np.array([[true, guess, 1]]), note)


def _count_pairs(truth, guess) -> np.ndarray:
    """Count pairs of labels: (n,), (n,) -> (k, 3)."""
    if not len(truth):
        return np.zeros((0, 3), np.int64)
    number = int(max(truth.max(), guess.max())) + 1
    counts = np.bincount(truth * number + guess, minlength=number**2)
    codes = counts.nonzero()[0]
    return np.stack([codes // number, codes % number, counts[codes]], 1)
