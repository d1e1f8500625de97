"""How far an exported network is from torch: numbers for maps, boxes for detectors."""

from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-4
# of boxes that match: difference of the scores, and part of a mask that may differ
_BOX_TOLERANCES = dict(float32=(1e-3, 0.02), float16=(0.05, 0.1), int8=(0.3, 0.5))


def limit(kind: str, precision: str) -> float:
    """Look up the largest disagreement of a file that is kept.

    In fewer bits numbers are for the user to judge, and what is this far off is broken.

    Args:
        kind (str): Kind of the network; see `Network`.
        precision (str): Precision of the file.

    Returns:
        float: The limit.
    """
    of_int8 = 1.0 if kind in ('maps', 'logits') else 0.5
    return dict(float32=TOLERANCE, float16=0.5, int8=of_int8)[precision]


def disagreement(
    kind: str,
    expected: Sequence[np.ndarray],
    got: Sequence[np.ndarray],
    score_thr: float = 0.3,
    precision: str = 'float32',
    variants: Sequence[Sequence[np.ndarray]] = (),
) -> float:
    """Measure how far outputs are from those of torch.

    Args:
        kind (str): Kind of the network; see `Network`.
        expected (Sequence[ndarray]): Outputs of torch.
        got (Sequence[ndarray]): Outputs of the file.
        score_thr (float): Score from which boxes are compared. Default: 0.3.
        precision (str): Precision of the file, on which depends how far the scores and masks
            of a box may be off. Default: ``'float32'``.
        variants (Sequence[Sequence[ndarray]]): Outputs of torch for inputs that differ by
            little more than rounding. A box that some of torch's outputs have and others have
            not is a tie, which rounding decides, and may be missing; half of the boxes at
            most are let through so. Default: ().

    Returns:
        float: For maps and logits the largest difference over the largest value; for
        labels the part of pixels that have another one; for boxes the part of those above
        the threshold, of either, that the other has not with that class, score and mask.
        Infinite if outputs are missing.
    """
    if len(expected) != len(got):
        return float('inf')
    if kind == 'labels':
        return float(np.mean(expected[0] != got[0]))
    if kind == 'boxes':
        return _missed_boxes(expected, got, score_thr, _BOX_TOLERANCES[precision], variants)
    return max(
        float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12))
        if np.isfinite(a - b).all()
        else float('inf')
        for a, b in zip(expected, got)
    )


def _missed_boxes(expected, got, score_thr, tolerances, variants):
    missed = ties = total = 0
    for image in range(len(expected[0])):
        ours, theirs, *others = (
            [values[image] for values in out] for out in (expected, got, *variants)
        )
        # of an untrained network the five best ones, so that something is compared
        least = ours[0][:5, 4].min(initial=score_thr)
        for found, other in ((ours, theirs), (theirs, ours)):
            for i, (*_, score) in enumerate(found[0]):
                # not those whose score is the threshold's but for rounding
                if score <= 0 or score < least + 1e-3:
                    continue
                total += 1
                if not _has(other, found, i, *tolerances):
                    missed += 1
                    by_torch = {_has(out, found, i, *tolerances) for out in (ours, *others)}
                    ties += by_torch == {True, False}
    return (missed - (ties if ties <= total / 2 else 0)) / max(total, 1)


def _has(found, other, i, score_tolerance, mask_tolerance) -> bool:
    """Tell if boxes, labels and masks of an image have the i-th of ``other``."""
    (boxes, labels, *masks), (others, classes, *shapes) = found, other
    box = others[i]
    same = (labels == classes[i]) & (boxes[:, 4] > 0)
    same &= np.abs(boxes[:, 4] - box[4]) <= score_tolerance
    return any(
        all(_apart(a[j], b[i]) <= mask_tolerance for a, b in zip(masks, shapes, strict=True))
        for j in np.flatnonzero(same & (_overlaps(box, boxes) > 0.9))
    )


def _apart(mask: np.ndarray, other: np.ndarray) -> float:
    """Return the part of two masks, of 0 and 1 or of probabilities, that one of them has."""
    union = np.maximum(mask, other).sum(dtype=float)
    return (union - np.minimum(mask, other).sum(dtype=float)) / max(union, 1e-9)


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    inside = np.prod(np.clip(high - low, 0, None), 1)
    areas = [np.prod(b[..., 2:4] - b[..., :2], -1) for b in (box, others)]
    return inside / np.maximum(areas[0] + areas[1] - inside, 1e-9)
