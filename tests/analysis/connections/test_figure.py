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
from sparx_mm.analysis.connections.figure import COLORS
from sparx_mm.errors import UserError

PLAIN = (StageGraph(8, ((), ())), StageGraph(16, ((),)))
WIDE = tuple(StageGraph(1234, ((),) * depth) for depth in (2, 99, 2, 1))


@pytest.fixture(scope='module')
def graph():
    return connection_graph(SparXMamba(PICO))


def elements(path):
    """The parts of an SVG that have a name, by it."""
    root = ElementTree.parse(path).getroot()
    named = [part for part in root.iter() if part.get('id')]
    names = [part.get('id') for part in named]
    assert len(set(names)) == len(names)
    return dict(zip(names, named))


def styles(element):
    return ''.join(part.get('style', '') for part in element.iter()).lower()


def test_svg_holds_the_graph(graph, tmp_path):
    write_figure(str(tmp_path / 'a.svg'), draw_connections(graph))
    parts = elements(tmp_path / 'a.svg')
    nodes, arcs = {}, {}
    for i, stage in enumerate(graph):
        nodes[f'stage{i}-in'] = 'input'
        for layer, kind in enumerate(stage.kinds):
            nodes[f'stage{i}-layer{layer}'] = kind
        for source, layer in stage.edges:
            name = 'in' if source < 0 else f'layer{source}'
            kind = 'input' if source < 0 else stage.kinds[source]
            arcs[f'stage{i}-{name}-to-layer{layer}'] = kind
    assert len(arcs) == 7
    drawn = {name for name in parts if name.startswith('stage')}
    panels = {f'stage{i}' for i in range(len(graph))}
    assert drawn == panels | set(nodes) | set(arcs)
    for name, kind in {**nodes, **arcs}.items():
        assert COLORS[kind].lower() in styles(parts[name]), name
        others = {color for key, color in COLORS.items() if key != kind}
        assert not any(c.lower() in styles(parts[name]) for c in others), name
    # kinds of nodes differ in shape too: a circle is made of curves
    shapes = {}
    for name, kind in nodes.items():
        (path,) = parts[name].iter('{http://www.w3.org/2000/svg}path')
        commands = ''.join(c for c in path.get('d') if c in 'MLCz')
        assert shapes.setdefault(kind, commands) == commands
    assert 'C' in shapes['normal'] and shapes['ganglion'] == 'MLLLz'
    # an arc is a curve, and the head at its end
    for name in arcs:
        line, head = parts[name].iter('{http://www.w3.org/2000/svg}path')
        assert 'C' in line.get('d') and 'fill: none' in line.get('style')
        assert 'C' not in head.get('d') and 'z' in head.get('d')
        end = [float(x) for x in line.get('d').split()[-2:]]
        tip = [float(x) for x in head.get('d').split()[4:6]]
        assert np.allclose(tip, end)


@pytest.mark.parametrize(
    'name,missing',
    [
        ('pico', set()),
        ('plain', {'ganglion', 'arc-input', 'arc-normal', 'arc-ganglion'}),
    ],
)
def test_the_legend_names_what_is_there(graph, tmp_path, name, missing):
    figure = draw_connections(dict(pico=graph, plain=PLAIN)[name])
    write_figure(str(tmp_path / 'a.svg'), figure)
    keys = {
        name.partition('-')[2] for name in elements(tmp_path / 'a.svg') if name.startswith('legend')
    }
    assert (
        keys
        == {'input', 'normal', 'ganglion', 'path', 'arc-input', 'arc-normal', 'arc-ganglion'}
        - missing
    )
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert ('ganglion layer' in texts) == (name == 'pico')


@pytest.mark.parametrize('name', ['pico', 'plain', 'wide'])
def test_no_text_is_clipped_or_over_another(graph, name):
    figure = draw_connections(dict(pico=graph, plain=PLAIN, wide=WIDE)[name])
    figure.draw_without_rendering()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert figure.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1
        assert figure.bbox.y0 < box.y0 and box.y1 < figure.bbox.y1
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    patches = {patch.get_gid(): patch for patch in figure.axes[0].patches}
    panels = [patch for gid, patch in patches.items() if gid[5:].isdigit()]
    sizes = [box for text, box in zip(texts, boxes) if 'channels' in text.get_text()]
    for panel, box in zip(panels, sizes, strict=True):
        assert box.x1 < panel.get_window_extent().x1
    # what the legend says does not run into its symbols
    symbols = [
        patch.get_window_extent() for gid, patch in patches.items() if gid.startswith('legend')
    ]
    words = [
        box
        for text, box in zip(texts, boxes)
        if text.get_text() in ('stage input', 'normal layer', 'ganglion layer', 'main path')
        or text.get_text().startswith('also')
    ]
    assert symbols and len(words) >= 3
    assert not any(a.overlaps(b) for a in symbols for b in words)


def test_png(graph, tmp_path):
    path = tmp_path / 'deep/a.PNG'
    write_figure(str(path), draw_connections(graph))
    picture = cv2.imread(str(path))
    height, width, _ = picture.shape
    assert 1000 < width < 3000 and 200 < height < width
    # white around, and every color somewhere
    border = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    assert all((side == 255).all() for side in border)
    for color in COLORS.values():
        bgr = [int(color[i : i + 2], 16) for i in (5, 3, 1)]
        assert (picture == bgr).all(-1).sum() > 1000


def test_the_picture_in_the_readme_is_of_tiny(tmp_path):
    path = tmp_path / 'tiny.png'
    write_figure(str(path), draw_connections(connection_graph(SparXMamba('tiny'))))
    drawn = cv2.imread(str(path)).astype(float)
    shown = cv2.imread(str(ROOT / 'resources/connections_tiny.png'))
    # other versions of FreeType draw the edges of letters otherwise
    assert abs(drawn - shown).mean() < 0.5


@pytest.mark.parametrize('ending', ['png', 'svg'])
def test_the_same_drawing_is_the_same_file(graph, tmp_path, ending):
    write_figure(str(tmp_path / f'a.{ending}'), draw_connections(graph))
    own = {'savefig.facecolor': 'black', 'font.size': 30, 'lines.linewidth': 9}
    with matplotlib.rc_context(own):
        write_figure(str(tmp_path / f'b.{ending}'), draw_connections(graph))
    written = [(tmp_path / f'{name}.{ending}').read_bytes() for name in 'ab']
    assert written[0] == written[1]


def test_what_cannot_be_written(graph, tmp_path):
    figure = draw_connections(PLAIN)
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.png').mkdir()
    for name, message in [
        ('a.nothing', r"must end in one of \['.png', '.svg"),
        ('none', 'must end in one of'),
        ('file/a.png', 'give another place'),
        ('folder.png', 'give another place'),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            write_figure(str(tmp_path / name), figure)
        assert name in str(caught.value) and '\n' not in str(caught.value)
