"""Positions of nodes, arcs and paths in a drawing of connections."""

from itertools import combinations

import numpy as np
import pytest

from sparx_mm.analysis import StageGraph
from sparx_mm.analysis.connections.layout import HEADER, MAX_WIDTH, OVERHANG, SIZES, lay_out
from sparx_mm.backbones.connections import stage_connections


def network(depths, strides, starts, windows=(None,) * 4):
    rules = zip(depths, strides, starts, windows)
    return [StageGraph(96, stage_connections(*r)) for r in rules]


GRAPHS = dict(
    tiny=network((2, 2, 7, 2), (1, 1, 2, 1), (None, 1, 0, 0), (None, None, 3, None)),
    small=network((2, 2, 17, 2), (1, 1, 3, 1), (None, 1, 0, 0), (None, None, 3, None)),
    swin_base=network((2, 2, 27, 3), (1, 1, 3, 1), (None, 1, 0, 2), (None, None, 2, None)),
    unbounded=network((2, 2, 27, 3), (1,) * 4, (0,) * 4),
    plain=network((2, 2, 7, 2), (1,) * 4, (None,) * 4),
    one_layer=network((1,), (1,), (None,)),
)


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]


def curve(points):
    t = np.linspace(0, 1, 201)[:, None]
    a, b, c, d = np.array(points)
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def depth_in(node, points):
    """Return how far points are inside a node, negative outside."""
    offset = abs(points - [node.x, node.y])
    distance = dict(input=offset.max(-1), normal=np.hypot(*offset.T), ganglion=offset.sum(-1))[
        node.kind
    ]
    return SIZES[node.kind] - distance


def test_a_node_for_each_layer_and_an_arc_for_each_source(graph):
    layout = lay_out(graph)
    assert len(layout.panels) == len(graph)
    for i, (stage, panel) in enumerate(zip(graph, layout.panels)):
        names = ['in'] + [f'layer{j}' for j in range(len(stage.sources))]
        assert [n.gid for n in panel.nodes] == [f'stage{i}-{n}' for n in names]
        assert [n.kind for n in panel.nodes] == ['input', *stage.kinds]
        assert sorted(arc.gid for arc in panel.arcs) == sorted(
            f'stage{i}-{names[source + 1]}-to-layer{layer}' for source, layer in stage.edges
        )
        assert panel.text == f'96 channels, depth {len(stage.sources)}'


def test_arcs_run_between_their_nodes_and_touch_no_other(graph):
    for panel in lay_out(graph).panels:
        nodes = {node.gid.partition('-')[2]: node for node in panel.nodes}
        ends = [arc.points[-1] for arc in panel.arcs]
        assert len(set(ends)) == len(ends)
        for arc in panel.arcs:
            source, _, layer = arc.gid.partition('-')[2].partition('-to-')
            points = curve(arc.points)
            assert arc.kind == nodes[source].kind
            for node, point in ((nodes[source], points[:1]), (nodes[layer], points[-1:])):
                assert abs(depth_in(node, point)) < 1e-9
            for node in panel.nodes:
                assert depth_in(node, points).max() < 1e-9
            # what ganglion layers give is below, all else above
            below = points[1:-1, 1] < panel.nodes[0].y
            assert (below == (arc.kind == 'ganglion')).all()
            x, y = points.T
            assert panel.x < x.min() and x.max() < panel.x + panel.width
            assert panel.y < y.min()
            assert y.max() < panel.y + panel.height - HEADER


def test_stages_do_not_overlap(graph):
    layout = lay_out(graph)
    for panel in layout.panels:
        assert 0 <= panel.x and panel.x + panel.width <= layout.width
        assert 0 <= panel.y and panel.y + panel.height <= layout.height
        for node in panel.nodes:
            size = SIZES[node.kind]
            assert panel.x < node.x - size
            assert node.x + size < panel.x + panel.width
        for a, b in zip(panel.nodes, panel.nodes[1:]):
            assert b.x - a.x > SIZES[a.kind] + SIZES[b.kind]
    for a, b in combinations(layout.panels, 2):
        assert a.x + a.width < b.x or b.y + b.height < a.y


def test_the_path_visits_every_node_once(graph):
    layout = lay_out(graph)
    nodes = [node for panel in layout.panels for node in panel.nodes]
    *paths, last = layout.paths.items()
    assert [gid for gid, _ in paths] == [node.gid for node in nodes]
    assert last[0] == 'out'
    for node, (_, path), (_, after) in zip(nodes, paths, [*paths[1:], last]):
        size = SIZES[node.kind]
        assert path[-1] == (node.x - size, node.y)
        assert after[0] == (node.x + size, node.y)
    for path in layout.paths.values():
        for (x0, y0), (x1, y1) in zip(path, path[1:]):
            assert x0 == x1 or y0 == y1
            assert -OVERHANG <= x1 <= layout.width + OVERHANG
            # down, and back to the left, is outside of the stages
            if x0 == x1 or x1 < x0:
                assert not any(
                    panel.x <= max(x0, x1)
                    and panel.y <= max(y0, y1)
                    and min(x0, x1) <= panel.x + panel.width
                    and min(y0, y1) <= panel.y + panel.height
                    for panel in layout.panels
                )


@pytest.mark.parametrize(
    'name,rows',
    [
        ('tiny', [4]),
        ('small', [2, 2]),
        ('swin_base', [2, 1, 1]),
        ('one_layer', [1]),
    ],
)
def test_rows(name, rows):
    layout = lay_out(GRAPHS[name])
    heights = [panel.y for panel in layout.panels]
    assert [heights.count(y) for y in dict.fromkeys(heights)] == rows
    assert heights == sorted(heights, reverse=True)
    longest = max(panel.width for panel in layout.panels)
    assert layout.width <= max(MAX_WIDTH, longest)
