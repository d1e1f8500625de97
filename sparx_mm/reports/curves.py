"""Curves of several runs in one figure."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from .run_logs import RunLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the metrics that runs are usually compared by
MAIN = re.compile(r'(^|[/_])(mAP|AP|mIoU|top1)$')
# palette of Okabe and Ito, which color-blind readers can tell apart
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
LINES = ('-', '--', ':', '-.')
# inches of a panel
WIDTH, HEIGHT = 5.6, 3.4


def choose_keys(runs: Sequence[RunLog], keys: Sequence[str] = ()) -> list[str]:
    """Choose the curves to draw.

    Args:
        runs (Sequence[RunLog]): The runs.
        keys (Sequence[str]): Names of curves, or the parts after their last slash.
            Empty: the loss and the main metrics. Default: ().

    Returns:
        list[str]: Names of curves that one of the runs has.

    Raises:
        UserError: If no run has a curve.
    """
    there = list(dict.fromkeys(key for run in runs for key in run.curves))
    if not keys:
        metrics = list(dict.fromkeys(key for run in runs for key in run.metrics))
        main = [key for key in metrics if MAIN.search(key)] or metrics[:1]
        return [key for key in there if key == 'loss' or key in main] or there[:1]
    chosen = []
    for key in keys:
        found = [name for name in there if key in (name, name.rpartition('/')[2])]
        if not found:
            raise UserError(f'no run has a curve {key}; there are {", ".join(sorted(there))}')
        chosen += found
    return list(dict.fromkeys(chosen))


def draw_curves(runs: Sequence[RunLog], keys: Sequence[str], columns: int = 3) -> 'Figure':
    """Draw a panel for each curve, with a line for each run.

    Args:
        runs (Sequence[RunLog]): The runs.
        keys (Sequence[str]): Names of curves, see `choose_keys`.
        columns (int): Maximum number of panels beside each other. Default: 3.

    Returns:
        Figure: Figure, which belongs to no window.
    """
    # imported lazily: most who import this package draw nothing
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = min(columns, len(keys))
    rows = math.ceil(len(keys) / columns)
    with style.context('default'):
        figure = Figure((WIDTH * columns, HEIGHT * rows), layout='constrained')
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for axes in list(panels)[len(keys) :]:
            axes.remove()
        for axes, key in zip(figure.axes, keys):
            axes.set_title(key, fontsize=11)
            axes.set_xlabel('iteration')
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid(alpha=0.3)
            axes.spines[['top', 'right']].set_visible(False)
            for i, run in enumerate(runs):
                points = run.curves.get(key)
                if points:
                    axes.plot(
                        *zip(*points),
                        LINES[i // len(COLORS) % len(LINES)],
                        color=COLORS[i % len(COLORS)],
                        # a curve of few points would hardly be seen
                        marker='o' if len(points) < 30 else None,
                        markersize=3.5,
                        linewidth=1.5,
                        label=run.name,
                    )
        if len(runs) > 1:
            handles = {
                label: handle
                for axes in figure.axes
                for handle, label in zip(*axes.get_legend_handles_labels())
            }
            figure.legend(
                handles.values(), handles, loc='outside lower center', ncols=2, frameon=False
            )
    return figure
