"""The graph of a network: what its layers read."""

import json

import parity
import pytest
from archs import PICO
from torch import nn

from sparx_mm import SparXMamba
from sparx_mm.analysis import StageGraph, connection_graph
from sparx_mm.errors import UserError


@pytest.mark.parametrize('variant', 'tsb')
def test_released_networks(variant):
    graph = connection_graph(SparXMamba(parity.ARCHS[variant]))
    rows = json.loads((parity.DATA / 'connections.json').read_text())[variant]
    expected = {(row['stage'], source, row['layer']) for row in rows for source in row['sources']}
    edges = [
        (i, f'in{i}' if source < 0 else f'b{source}', layer)
        for i, stage in enumerate(graph)
        for source, layer in stage.edges
    ]
    assert set(edges) == expected and len(edges) == len(expected)
    ganglions = [
        (i, layer)
        for i, stage in enumerate(graph)
        for layer, kind in enumerate(stage.kinds)
        if kind == 'ganglion'
    ]
    assert ganglions == [(row['stage'], row['layer']) for row in rows]
    for row in rows:
        stage = graph[row['stage']]
        read = len(stage.sources[row['layer']])
        assert stage.channels * read == row['channels']


def test_a_model_around_a_backbone():
    backbone = SparXMamba(PICO, out_indices=(0, 2))
    model = nn.ModuleDict(dict(neck=nn.Conv2d(1, 1, 1), backbone=backbone))
    # the last stage is not built
    assert connection_graph(model) == (
        StageGraph(16, ((),)),
        StageGraph(24, ((), (-1, 0))),
        StageGraph(32, ((-1,), (), (1, 0))),
    )


def test_a_model_without_a_backbone():
    with pytest.raises(UserError, match='Conv2d has no SparX backbone: give'):
        connection_graph(nn.Conv2d(1, 1, 1))
