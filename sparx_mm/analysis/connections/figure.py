"""Draw the connections of a network with matplotlib."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import UserError
from .graph import StageGraph
from .layout import SIZES, Node, lay_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# by ending: no date and no name of the program, so that the same drawing is
# the same file
METADATA = {'.png': dict(Software=None), '.svg': dict(Date=None, Creator=None)}
# from the palette of Okabe and Ito, which color-blind readers can tell apart
COLORS = dict(input='#4D4D4D', normal='#0072B2', ganglion='#D55E00')
INK, PATH, PANEL = '#222222', '#8C8C8C', '#F1F2F4'
# inches of one unit of the layout
UNIT = 0.5
# units: margin at the left and right, margin at the top and bottom
SIDE, EDGE = 0.65, 0.35
# size of text in points; units: mean width of a letter, height of a legend line
FONT, LETTER, LINE = 11.5, 0.16, 1.05
# text of the legend, and its distance from the middle of the symbol in units
LEGEND = dict(
    input=('stage input', 0.45),
    normal=('normal layer', 0.55),
    ganglion=('ganglion layer', 0.6),
    path=('main path', 0.75),
    arc=('also read by a ganglion layer', 0.95),
)


def draw_connections(graph: Sequence[StageGraph]) -> 'Figure':
    """Draw which layers of a network read which.

    Stages, layers and arcs have their names (``stage2``, ``stage2-layer4``,
    ``stage2-layer0-to-layer4``) as matplotlib's ``gid``, which becomes their
    ``id`` in an SVG.

    Args:
        graph (Sequence[StageGraph]): Stages of the network, see
            `connection_graph`.

    Returns:
        Figure: Drawing on white, which belongs to no window.

    Example:
        >>> from sparx_mm import SparXMamba
        >>> from sparx_mm.analysis import connection_graph, draw_connections
        >>> figure = draw_connections(connection_graph(SparXMamba('base')))
    """
    # imported lazily, here and below: most who import this package draw nothing
    from matplotlib import style
    from matplotlib.figure import Figure

    layout = lay_out(graph)
    entries, right, lines = _place_legend(layout)
    width = max(layout.width, right) + 2 * SIDE
    bottom, top = -lines * LINE - EDGE, layout.height + EDGE
    # arcs get thinner where there are many
    most = max(len(sources) for stage in graph for sources in stage.sources)
    weight = min(1.5, 12 / max(most, 1))
    with style.context('default'):
        figure = Figure((width * UNIT, (top - bottom) * UNIT), facecolor='w')
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-SIDE, width - SIDE), ylim=(bottom, top))
        axes.set_axis_off()
        for panel in layout.panels:
            _draw_panel(axes, panel)
            for arc in panel.arcs:
                _draw_arc(axes, arc.gid, arc.kind, arc.points, weight)
            for node in panel.nodes:
                _draw_node(axes, node)
        for gid, points in layout.paths.items():
            _draw_path(axes, f'path-{gid}', points)
        for x, y, key, kinds in entries:
            _draw_entry(axes, x, y, key, kinds)
    return figure


def write_figure(path: str, figure: 'Figure') -> None:
    """Write a drawing, and make its folder if there is none.

    Args:
        path (str): File name that ends in ``.png`` or ``.svg``.
        figure (Figure): Drawing, see `draw_connections`.

    Raises:
        UserError: If the name has another ending, or if the file cannot be
            written.
    """
    from matplotlib import style

    ending = osp.splitext(path)[1].lower()
    if ending not in METADATA:
        raise UserError(
            f'the picture {path} cannot be written: its name must end in one of {sorted(METADATA)}'
        )
    try:
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        # the salt makes generated ids the same each time
        with style.context(['default', {'svg.hashsalt': 'sparx_mm'}]):
            figure.savefig(path, dpi=150, metadata=METADATA[ending])
    except OSError as error:
        raise UserError(
            f'the picture {path} cannot be written: {error.strerror}; give another place'
        ) from error


def _draw_panel(axes, panel):
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (panel.x, panel.y),
            panel.width,
            panel.height,
            boxstyle='round,pad=0,rounding_size=0.25',
            color=PANEL,
            linewidth=0,
            gid=panel.gid,
            zorder=1,
        )
    )
    x, top = panel.x + 0.25, panel.y + panel.height
    _write(axes, x, top - 0.43, panel.title, weight='bold')
    _write(axes, x, top - 0.88, panel.text)


def _draw_node(axes, node):
    from matplotlib.patches import Circle, Polygon

    size, x, y = SIZES[node.kind], node.x, node.y
    style = dict(color=COLORS[node.kind], gid=node.gid, zorder=4, linewidth=0)
    if node.kind == 'normal':
        axes.add_patch(Circle((x, y), size, **style))
    else:
        corners = dict(
            input=((-1, -1), (-1, 1), (1, 1), (1, -1)), ganglion=((-1, 0), (0, 1), (1, 0), (0, -1))
        )[node.kind]
        axes.add_patch(Polygon([(x + size * a, y + size * b) for a, b in corners], **style))
    axes.text(
        x,
        y,
        node.text,
        color='w',
        size=9 if node.kind == 'input' else 12,
        weight='bold',
        ha='center',
        va='center_baseline',
        zorder=5,
    )


def _draw_arc(axes, gid, kind, points, weight):
    from matplotlib.path import Path

    codes = [Path.MOVETO] + 3 * [Path.CURVE4]
    _draw_arrow(axes, gid, Path(points, codes), COLORS[kind], weight, 2)


def _draw_path(axes, gid, points):
    from matplotlib.path import Path

    _draw_arrow(axes, gid, Path(points), PATH, 2.2, 3)


def _draw_arrow(axes, gid, path, color, weight, zorder):
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle='-|>,head_length=4,head_width=2',
            mutation_scale=min(weight, 1),
            color=color,
            linewidth=weight,
            joinstyle='miter',
            capstyle='butt',
            gid=gid,
            zorder=zorder,
        )
    )


def _write(axes, x, y, text, weight='normal'):
    axes.text(x, y, text, color=INK, size=FONT, weight=weight, va='center')


def _place_legend(layout):
    """Return entries for what is drawn, their right end, and the number of lines."""
    nodes = {node.kind for panel in layout.panels for node in panel.nodes}
    arcs = {arc.kind for panel in layout.panels for arc in panel.arcs}
    kinds = dict(path=['path'], arc=[kind for kind in SIZES if kind in arcs])
    kinds.update((kind, [kind]) for kind in nodes)
    x = right = 0.0
    line, entries = 1, []
    for key, (text, start) in LEGEND.items():
        if not kinds.get(key):
            continue
        # a symbol extends to the left as far as its text is away at the right
        length = 2 * start + LETTER * len(text)
        if x > 0 and x + length > layout.width:
            x, line = 0.0, line + 1
        entries.append((x + start, -LINE * (line - 0.25), key, kinds[key]))
        right, x = max(right, x + length), x + length + 0.5
    return entries, right, line


def _draw_entry(axes, x, y, key, kinds):
    gid, (text, start) = f'legend-{key}', LEGEND[key]
    if key in SIZES:
        _draw_node(axes, Node(gid, key, '', x, y))
    elif key == 'path':
        _draw_path(axes, gid, ((x - 0.5, y), (x + 0.5, y)))
    else:
        for i, kind in enumerate(kinds):
            # one inside the other
            half, low, high = 0.7 - 0.2 * i, y - 0.25, y + 0.55 - 0.22 * i
            points = ((x - half, low), (x - half, high), (x + half, high), (x + half, low))
            _draw_arc(axes, f'{gid}-{kind}', kind, points, 1.5)
    _write(axes, x + start, y, text)
