"""A picture of the curves of a comparison."""

import textwrap

import numpy as np

from sparx_mm.errors import UserError


def draw(curves, path):
    """Draw the curves of a comparison over iterations and CPU time, a row for each task.

    Args:
        curves (dict[str, dict[str, list[tuple[Run, dict]]]]): Results by task and network.
        path (Path): File to write, of a format that its ending names.

    Raises:
        UserError: If it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4 * len(curves) + 1), layout='constrained')
    panels = figure.subplots(len(curves), 2, squeeze=False, sharey='row')
    names = list(dict.fromkeys(name for runs in curves.values() for name in runs))
    for line, (task, runs) in zip(panels, curves.items()):
        for axes, column, label in zip(line, (0, 1), ('iterations', 'CPU seconds of one thread')):
            for i, name in enumerate(names):
                style = dict(color=f'C{i % 10}', linestyle=('-', '--')[i // 10 % 2])
                whole = [r['curve'] for _, r in runs.get(name, ()) if r['finite']]
                if not whole:
                    axes.plot([], [], label=name, **style)
                    continue
                # (seeds, measurements, columns)
                points = np.array([[[p[0], p[1], p[3]] for p in curve] for curve in whole])
                x, y = points[..., column].mean(0), points[..., 2]
                axes.plot(x, y.mean(0), label=name, **style)
                axes.fill_between(x, y.min(0), y.max(0), color=style['color'], alpha=0.12, lw=0)
            # as wide as a panel
            axes.set(title=textwrap.fill(task, 52), xlabel=label)
            axes.grid(alpha=0.3)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=5, fontsize='small')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, facecolor='white')
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error.strerror})') from error
