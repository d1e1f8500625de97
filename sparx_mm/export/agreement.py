"""How far an exported network is from torch: numbers for maps, boxes for detectors."""

from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-4


def disagreement(
    kind: str, expected: Sequence[np.ndarray], got: Sequence[np.ndarray], score_thr: float = 0.3
) -> float:
    """Measure how far outputs are from those of torch.

    Args:
        kind (str): Kind of the network; see `Network`.
        expected (Sequence[ndarray]): Outputs of torch.
        got (Sequence[ndarray]): Outputs of the file.
        score_thr (float): Score from which boxes are compared. Default: 0.3.

    Returns:
        float: For maps and logits the largest difference over the largest value; for
        labels the part of pixels that have another one; for boxes the part of those above
        the threshold, of either, that the other has not.
    """
    if kind == 'labels':
        return float(np.mean(expected[0] != got[0]))
    if kind == 'boxes':
        return _missed_boxes(expected, got, score_thr)
    return max(
        float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))
        if np.isfinite(b).all()
        else float('inf')
        for a, b in zip(expected, got)
    )


def _missed_boxes(expected, got, score_thr):
    missed = total = 0
    for image in range(len(expected[0])):
        ours, theirs = ((out[0][image], out[1][image]) for out in (expected, got))
        scores = ours[0][:, 4]
        # of an untrained network the five best ones, so that something is compared
        least = min(score_thr, scores[min(4, len(scores) - 1)])
        for (boxes, labels), (others, classes) in ((ours, theirs), (theirs, ours)):
            for box, label in zip(boxes, labels):
                # not those whose score is the threshold's but for rounding
                if box[4] <= 0 or box[4] < least + 1e-3:
                    continue
                total += 1
                same = (classes == label) & (others[:, 4] > 0)
                missed += not (same & (_overlaps(box, others) > 0.9)).any()
    return missed / max(total, 1)


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    inside = np.prod(np.clip(high - low, 0, None), 1)
    areas = [np.prod(b[..., 2:4] - b[..., :2], -1) for b in (box, others)]
    return inside / np.maximum(areas[0] + areas[1] - inside, 1e-9)
