"""Positions of everything in a drawing of connections.

The unit is the distance between two layers; x points right and y up.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from ...backbones.connections import STAGE_INPUT
from .graph import StageGraph

Point = tuple[float, float]

# half the width of a square, circle and diamond
SIZES = dict(input=0.25, normal=0.34, ganglion=0.42)
# limit of a row, because in a wider one numbers are hard to read at 800 pixels
MAX_WIDTH = 28.0
# width that the text of a stage needs
MIN_PANEL = 4.3
# space inside a stage: beside its first and last node, beyond its arcs, and for
# its two lines of text
SIDE, PAD, HEADER = 0.75, 0.3, 1.15
# space between stages and between rows, and reach of a path beyond the stages
GAP, ROW_GAP, OVERHANG = 0.4, 0.9, 0.45


class Node(NamedTuple):
    """A layer or the input of a stage; ``kind`` is a key of ``SIZES``."""

    gid: str
    kind: str
    text: str
    x: float
    y: float


class Arc(NamedTuple):
    """Points of a cubic Bezier curve from a node to a ganglion layer that reads it.

    ``kind`` is the kind of the node.
    """

    gid: str
    kind: str
    points: tuple[Point, Point, Point, Point]


class Panel(NamedTuple):
    """Lower left corner, size and contents of a stage."""

    gid: str
    title: str
    text: str
    x: float
    y: float
    width: float
    height: float
    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]


class Layout(NamedTuple):
    """Size, stages and main path of a drawing.

    ``paths`` has the piece of the path that ends in each node, by its gid, and
    the piece that leaves the last one, as ``'out'``.
    """

    width: float
    height: float
    panels: tuple[Panel, ...]
    paths: dict[str, tuple[Point, ...]]


def lay_out(graph: Sequence[StageGraph]) -> Layout:
    """Place stages from left to right, in several rows if they are too wide.

    Arcs from normal layers and from the input of the stage are above the
    layers, those from ganglion layers below.

    Args:
        graph (Sequence[StageGraph]): Stages, at least one.

    Returns:
        Layout: Positions. Stages are between (0, 0) and (width, height); paths
        extend up to ``OVERHANG`` beyond them at the left and right.
    """
    panels: list[Panel] = []
    # from the lowest row up
    y = 0.0
    for row in reversed(_break_rows([_panel_width(s) for s in graph])):
        below, above = (_reach([graph[i] for i in row], s) for s in (-1, 1))
        x, placed = 0.0, []
        for i in row:
            placed.append(_place_stage(i, graph[i], x, y, below, above))
            x += placed[-1].width + GAP
        panels = placed + panels
        y += placed[-1].height + ROW_GAP
    width = max(panel.x + panel.width for panel in panels)
    return Layout(width, y - ROW_GAP, tuple(panels), dict(_paths(panels)))


def _break_rows(widths):
    """Return as few rows as are narrow enough, and of those the narrowest."""
    count, choices = len(widths), []
    for breaks in range(count):
        for cuts in combinations(range(1, count), breaks):
            ends = (0, *cuts, count)
            rows = [range(a, b) for a, b in zip(ends, ends[1:])]
            width = max(sum(widths[i] for i in row) + GAP * (len(row) - 1) for row in rows)
            choices.append((max(width, MAX_WIDTH), breaks, width, rows))
    return min(choices, key=lambda choice: choice[:3])[3]


def _panel_width(stage):
    return max(len(stage.sources) + 2 * SIDE, MIN_PANEL)


def _reach(stages, side):
    """Return the height of a row above (1) or below (-1) its layers."""
    spans = [
        layer - source
        for stage in stages
        for source, layer in stage.edges
        if _side(stage, source) == side
    ]
    return SIZES['ganglion'] + PAD + _apex(max(spans, default=0))


def _side(stage, source):
    return -1 if _kind(stage, source) == 'ganglion' else 1


def _kind(stage, source):
    return 'input' if source == STAGE_INPUT else stage.kinds[source]


def _apex(span):
    """Return the height of an arc above the nodes."""
    return 0.45 * span**0.65


def _place_stage(index, stage, x, y, below, above):
    gid = f'stage{index}'
    width, depth = _panel_width(stage), len(stage.sources)
    # a short stage stands in the middle of its panel
    left = x + (width - depth) / 2
    nodes = [Node(f'{gid}-in', 'input', 'in', left, y + below)]
    for i, kind in enumerate(stage.kinds):
        nodes.append(Node(f'{gid}-layer{i}', kind, str(i), left + i + 1, y + below))
    return Panel(
        gid,
        f'stage {index}',
        f'{stage.channels} channels, depth {depth}',
        x,
        y,
        width,
        below + above + HEADER,
        tuple(nodes),
        tuple(_arcs(stage, nodes)),
    )


def _arcs(stage: StageGraph, nodes: Sequence[Node]) -> Iterator[Arc]:
    for layer, sources in enumerate(stage.sources):
        for side in (1, -1):
            # nearest first, so that short arcs end inside long ones
            read = sorted((s for s in sources if _side(stage, s) == side), reverse=True)
            # arcs leave a ganglion layer at one point, to the right of where
            # arcs arrive at it
            end = 0.27 if side > 0 else 0.1
            for landing, source in zip(_spread(len(read), end), read):
                leaving = 0.0 if side > 0 else 0.25
                yield _arc(nodes[source + 1], leaving, nodes[layer + 1], landing, side)


def _spread(count, end, start=-0.27):
    """Return offsets of arcs from the middle of the node where they end."""
    pitch = min(0.18, (end - start) / max(count - 1, 1))
    first = (start + end - pitch * (count - 1)) / 2
    return [first + pitch * i for i in range(count)]


def _arc(source, leaving, layer, landing, side):
    x0, y0 = source.x + leaving, _outline(source, leaving, side)
    x1, y1 = layer.x + landing, _outline(layer, landing, side)
    # the curve reaches 3/4 of the height of its inner points
    height = SIZES['ganglion'] + _apex(layer.x - source.x) * 4 / 3
    top = source.y + side * height
    return Arc(
        f'{source.gid}-to-{layer.gid.partition("-")[2]}',
        source.kind,
        ((x0, y0), (x0, top), (x1, top), (x1, y1)),
    )


def _outline(node, offset, side):
    """Return the height at which a vertical line beside a node's middle leaves it."""
    size = SIZES[node.kind]
    heights = dict(
        input=size, normal=max(size**2 - offset**2, 0) ** 0.5, ganglion=size - abs(offset)
    )
    return node.y + side * heights[node.kind]


def _paths(panels):
    for before, panel in zip([None, *panels], panels):
        first = panel.nodes[0]
        if before is None:
            yield first.gid, ((-OVERHANG, first.y), _left(first))
        elif before.y == panel.y:
            yield first.gid, (_right(before.nodes[-1]), _left(first))
        else:
            yield first.gid, tuple(_around_the_end(before, first))
        for a, b in zip(panel.nodes, panel.nodes[1:]):
            yield b.gid, (_right(a), _left(b))
    last = panel.nodes[-1]
    yield 'out', (_right(last), (panel.x + panel.width + OVERHANG, last.y))


def _around_the_end(panel, node):
    """Yield points from the end of a row to the first node of the next."""
    last = panel.nodes[-1]
    right, middle = panel.x + panel.width + OVERHANG, panel.y - ROW_GAP / 2
    yield from (_right(last), (right, last.y), (right, middle))
    yield from ((-OVERHANG, middle), (-OVERHANG, node.y), _left(node))


def _left(node):
    return node.x - SIZES[node.kind], node.y


def _right(node):
    return node.x + SIZES[node.kind], node.y
