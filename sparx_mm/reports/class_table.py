"""Tables and a figure of how the classes of a test went."""

from typing import TYPE_CHECKING

import numpy as np
from mmengine.evaluator import BaseMetric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# more classes have no room for their names, or for counts in the cells
NAMED, COUNTED = 60, 12
# most frequent confusions that are listed
LISTED = 12


def record_class_ap(metric: BaseMetric) -> dict[str, dict[str, float]]:
    """Let mmdet's metric for COCO measure the AP of each class too.

    It would give those of boxes and of masks the same name, so that it measures one after
    the other.

    Args:
        metric (CocoMetric): The metric; its method is wrapped.

    Returns:
        dict: AP by name of the class, by ``'bbox'`` and ``'segm'``, filled in by the test.
    """
    tables: dict[str, dict[str, float]] = {}
    compute, kinds, were_wanted = metric.compute_metrics, list(metric.metrics), metric.classwise

    def compute_each(results):
        measured = {}
        for kind in kinds:
            metric.metrics = [kind]
            for name, value in compute(results).items():
                if name.endswith('_precision'):
                    tables.setdefault(kind, {})[name.removesuffix('_precision')] = value
                if were_wanted or not name.endswith('_precision'):
                    measured[name] = value
        metric.metrics = kinds
        return measured

    metric.classwise = True
    metric.compute_metrics = compute_each
    return tables


def class_rows(
    matrix: np.ndarray,
    names: tuple[str, ...],
    of_pixels: bool,
    aps: dict[str, dict[str, float]],
) -> tuple[list[str], list[list[str]]]:
    """Make the table of the classes that occur, or are predicted.

    Args:
        matrix (ndarray): See `confusion_matrix`.
        names (tuple[str]): Names of the classes.
        of_pixels (bool): True for label maps, which have an IoU.
        aps (dict): See `record_class_ap`.

    Returns:
        tuple: Names of the columns, and the texts of each row.
    """
    head = ['class', 'pixels' if of_pixels else 'objects', 'precision', 'recall']
    head += ['IoU'] if of_pixels else [f'{kind} AP' for kind in aps]
    rows = []
    for i, name in enumerate(names):
        hits, true, guessed = matrix[i, i], matrix[i].sum(), matrix[:, i].sum()
        if not true + guessed:
            continue
        row = [name, f'{true:,}', _share(hits, guessed), _share(hits, true)]
        if of_pixels:
            row.append(_share(hits, true + guessed - hits))
        for table in aps.values():
            ap = table.get(name, float('nan'))
            row.append('-' if np.isnan(ap) else f'{ap:.3f}')
        rows.append(row)
    return head, rows


def confusion_rows(matrix: np.ndarray, names: tuple[str, ...]) -> list[list[str]]:
    """List the most frequent confusions.

    Args:
        matrix (ndarray): See `confusion_matrix`.
        names (tuple[str]): Names of the classes.

    Returns:
        list[list[str]]: True class, predicted class, count and share of the true class.
    """
    labels = [*names, 'none']
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows = []
    for at in np.argsort(-wrong, axis=None, kind='stable')[:LISTED]:
        i, j = np.unravel_index(at, wrong.shape)
        if wrong[i, j]:
            # false alarms have no true class that they could be a share of
            share = _share(wrong[i, j], matrix[i].sum()) if i < len(names) else '-'
            rows.append([labels[i], labels[j], f'{wrong[i, j]:,}', share])
    return rows


def draw_confusion(matrix: np.ndarray, names: tuple[str, ...]) -> 'Figure':
    """Draw the confusion matrix of the classes that occur, each row as shares.

    Args:
        matrix (ndarray): See `confusion_matrix`.
        names (tuple[str]): Names of the classes.

    Returns:
        Figure: Figure, which belongs to no window.
    """
    # imported lazily: most who import this package draw nothing
    from matplotlib import style
    from matplotlib.figure import Figure

    there = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    labels = [(*names, 'none')[i] for i in there]
    counts = matrix[np.ix_(there, there)]
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    side = float(np.clip(0.32 * len(labels) + 2.2, 4, 11))
    with style.context('default'):
        figure = Figure((side + 0.8, side), layout='constrained')
        axes = figure.subplots()
        image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
        figure.colorbar(image, label='share of the true class', shrink=0.8)
        axes.set_xlabel('predicted')
        axes.set_ylabel('true')
        if len(labels) <= NAMED:
            size = 9 if len(labels) <= 30 else 6
            axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
            axes.set_yticks(range(len(labels)), labels, fontsize=size)
        if len(labels) <= COUNTED:
            for (i, j), share in np.ndenumerate(shares):
                if counts[i, j]:
                    color = 'white' if share > 0.5 else 'black'
                    axes.text(
                        j, i, f'{share:.0%}', ha='center', va='center', color=color, fontsize=8
                    )
    return figure


def _share(part, whole) -> str:
    return f'{part / whole:.1%}' if whole else '-'
