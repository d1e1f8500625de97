"""When boxes, scores and masks are the same."""

import numpy as np
import pytest

from sparx_mm.export.agreement import disagreement, limit

BOXES = np.float32([[[0, 0, 20, 20, 0.9], [30, 0, 50, 40, 0.6], [0, 0, 0, 0, 0]]])
LABELS = np.array([[1, 0, -1]])
MASKS = np.random.default_rng(0).random((1, 3, 28, 28)).astype(np.float32)


def moved(pixels, score):
    return BOXES + np.float32([pixels, 0, pixels, 0, score]) * (BOXES[..., 4:] > 0)


@pytest.mark.parametrize(
    'got, missed',
    [
        ((BOXES, LABELS, MASKS), 0),
        ((moved(0.1, 1e-4), LABELS, MASKS + 1e-3), 0),
        ((moved(3, 0), LABELS, MASKS), 1),
        ((moved(0, 2e-3), LABELS, MASKS), 1),
        ((BOXES, LABELS[:, [1, 0, 2]], MASKS), 1),
        ((BOXES, LABELS, 1 - MASKS), 1),
        ((BOXES, LABELS, MASKS[:, ::-1]), 0.5),
        ((BOXES[:, :1], LABELS[:, :1], MASKS[:, :1]), 1 / 3),
        ((BOXES[:, :0], LABELS[:, :0], MASKS[:, :0]), 1),
        ((BOXES * np.nan, LABELS, MASKS), 1),
    ],
)
def test_boxes_scores_and_masks_are_compared(got, missed):
    assert disagreement('boxes', (BOXES, LABELS, MASKS), got) == pytest.approx(missed)


@pytest.mark.parametrize('precision, score', [('float16', 0.04), ('int8', 0.2)])
def test_fewer_bits_may_move_scores(precision, score):
    expected, got = (BOXES, LABELS), (moved(0, -score), LABELS)
    assert disagreement('boxes', expected, got, 0.1) == 1
    assert disagreement('boxes', expected, got, 0.1, precision) == 0


@pytest.mark.parametrize('kind, most', [('boxes', 0.5), ('labels', 0.5), ('logits', 1)])
def test_int8_that_has_another_class_everywhere_is_refused(kind, most):
    assert limit(kind, 'int8') == most
    assert disagreement('labels', [np.zeros(4)], [np.ones(4)]) == 1


@pytest.mark.parametrize('where', [0, 1])
def test_numbers_that_are_none_differ(where):
    pair = [[np.ones(4)], [np.ones(4)]]
    assert disagreement('maps', *pair) == 0
    pair[where][0][2] = np.nan
    assert disagreement('maps', *pair) == np.inf
    assert disagreement('maps', [np.ones(2), np.zeros(3)], [np.ones(2)]) == np.inf


def without(number):
    return tuple(np.delete(values, number, 1) for values in (BOXES, LABELS, MASKS))


@pytest.mark.parametrize(
    'got, variants, missed',
    [
        # torch has the second box or not, as rounding decides
        (without(1), [without(1)], 0),
        (without(1), [without(1), (BOXES, LABELS, MASKS)], 0),
        # whether it has the first one does not depend on that of the second
        (without([0, 1]), [without(1)], 1 / 2),
        # torch always has it
        (without(1), [(BOXES, LABELS, MASKS)], 1 / 3),
        (without(1), [without(0)], 1 / 3),
        # a box that torch has in no case
        ((moved(3, 0), LABELS, MASKS), [without(1)], 3 / 4),
        # more ties than boxes that are compared say nothing
        (without([0, 1]), [without([0, 1])], 1),
    ],
)
def test_a_tie_may_fall_either_way(got, variants, missed):
    found = disagreement('boxes', (BOXES, LABELS, MASKS), got, variants=variants)
    assert found == pytest.approx(missed)
