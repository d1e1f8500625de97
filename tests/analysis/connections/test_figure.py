"""The drawing of connections, as SVG and PNG."""

from itertools import combinations
from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
from archs import PICO
from detection import ROOT

from sparx_mm import SparXMamba
from sparx_mm.analysis import StageGraph, connection_graph, draw_connections, write_figure
from sparx_mm.analysis.connections.figure import COLORS, LEGEND
from sparx_mm.analysis.connections.layout import lay_out
from sparx_mm.errors import UserError

PLAIN = (StageGraph(8, ((), ())), StageGraph(16, ((),)))
WIDE = tuple(StageGraph(1234, ((),) * depth) for depth in (2, 99, 2, 1))
SVG_PATH = '{http://www.w3.org/2000/svg}path'


@pytest.fixture(scope='module')
def graph():
    return connection_graph(SparXMamba(PICO))


def test_svg_holds_the_layout(graph, tmp_path):
    write_figure(str(tmp_path / 'a.svg'), draw_connections(graph))
    named = [part for part in ElementTree.parse(tmp_path / 'a.svg').iter() if part.get('id')]
    parts = {part.get('id'): part for part in named}
    assert len(parts) == len(named)
    panels = lay_out(graph).panels
    nodes = {node.gid: node.kind for panel in panels for node in panel.nodes}
    arcs = {arc.gid: arc.kind for panel in panels for arc in panel.arcs}
    assert len(arcs) == 7
    drawn = {name for name in parts if name.startswith('stage')}
    assert drawn == {panel.gid for panel in panels} | set(nodes) | set(arcs)
    for name, kind in {**nodes, **arcs}.items():
        style = ''.join(part.get('style', '') for part in parts[name].iter()).lower()
        assert [key for key, color in COLORS.items() if color.lower() in style] == [kind], name
    # kinds of nodes differ in shape too: a circle is made of curves
    shapes = {}
    for name, kind in nodes.items():
        (path,) = parts[name].iter(SVG_PATH)
        shapes.setdefault(kind, set()).add(''.join(c for c in path.get('d') if c in 'MLCz'))
    assert shapes['ganglion'] == {'MLLLz'} and all('C' in s for s in shapes['normal'])
    # an arc is a curve, with a head at its end
    for name in arcs:
        line, head = (path.get('d') for path in parts[name].iter(SVG_PATH))
        assert 'C' in line and 'C' not in head
        tip, end = head.split()[4:6], line.split()[-2:]
        assert np.allclose(np.array(tip, float), np.array(end, float))


def test_the_legend_names_what_is_there(graph):
    words = {key: text for key, (text, _) in LEGEND.items()}
    for drawn, missing in ((graph, set()), (PLAIN, {'ganglion', 'arc'})):
        axes = draw_connections(drawn).axes[0]
        entries = [patch.get_gid() for patch in axes.patches]
        keys = {gid.split('-')[1] for gid in entries if gid.startswith('legend')}
        texts = {text.get_text() for text in axes.texts}
        assert keys == set(LEGEND) - missing
        assert {key for key, text in words.items() if text in texts} == keys


@pytest.mark.parametrize('name', ['pico', 'plain', 'wide'])
def test_no_text_is_clipped_or_over_another(graph, name):
    figure = draw_connections(dict(pico=graph, plain=PLAIN, wide=WIDE)[name])
    figure.draw_without_rendering()
    texts = {text: text.get_window_extent() for text in figure.axes[0].texts if text.get_text()}
    for box in texts.values():
        assert figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1
        assert figure.bbox.y0 < box.y0 and box.y1 < figure.bbox.y1
    assert not any(a.overlaps(b) for a, b in combinations(texts.values(), 2))
    patches = [(p.get_gid(), p.get_window_extent()) for p in figure.axes[0].patches]
    panels = [box for gid, box in patches if gid[5:].isdigit()]
    sizes = [box for text, box in texts.items() if 'channels' in text.get_text()]
    assert all(size.x1 < panel.x1 for panel, size in zip(panels, sizes, strict=True))
    # words of the legend do not run into its symbols
    said = {text for text, _ in LEGEND.values()}
    words = [box for text, box in texts.items() if text.get_text() in said]
    symbols = [box for gid, box in patches if gid.startswith('legend')]
    assert len(words) >= 3 and len(symbols) >= 3
    assert not any(a.overlaps(b) for a in symbols for b in words)


def test_png_is_the_picture_in_the_readme(tmp_path):
    path = tmp_path / 'deep/tiny.PNG'
    write_figure(str(path), draw_connections(connection_graph(SparXMamba('tiny'))))
    drawn, shown = (cv2.imread(str(p)) for p in (path, ROOT / 'resources/connections_tiny.png'))
    # other versions of FreeType draw the edges of letters otherwise
    assert abs(drawn.astype(float) - shown).mean() < 0.5
    border = [drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]]
    assert all((side == 255).all() for side in border)
    for color in COLORS.values():
        bgr = [int(color[i : i + 2], 16) for i in (5, 3, 1)]
        assert (drawn == bgr).all(-1).sum() > 1000


@pytest.mark.parametrize('ending', ['png', 'svg'])
def test_the_same_drawing_is_the_same_file(graph, tmp_path, ending):
    write_figure(str(tmp_path / f'a.{ending}'), draw_connections(graph))
    own = {'savefig.facecolor': 'black', 'font.size': 30, 'lines.linewidth': 9}
    with matplotlib.rc_context(own):
        write_figure(str(tmp_path / f'b.{ending}'), draw_connections(graph))
    assert (tmp_path / f'a.{ending}').read_bytes() == (tmp_path / f'b.{ending}').read_bytes()


@pytest.mark.parametrize(
    'name,message',
    [
        ('a.nothing', r"must end in one of \['.png', '.svg"),
        ('none', 'must end in one of'),
        ('file/a.png', 'give another place'),
        ('folder.png', 'give another place'),
    ],
)
def test_what_cannot_be_written(tmp_path, name, message):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.png').mkdir()
    with pytest.raises(UserError, match=message) as caught:
        write_figure(str(tmp_path / name), draw_connections(PLAIN))
    assert name in str(caught.value) and '\n' not in str(caught.value)
