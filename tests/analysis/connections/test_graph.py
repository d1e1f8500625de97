"""The graph of a network: what its layers read."""

import json

import parity
import pytest
from archs import PICO, PICO_VMAMBA
from torch import nn

from sparx_mm import SparXMamba, VMamba
from sparx_mm.analysis import StageGraph, connection_graph
from sparx_mm.errors import UserError


@pytest.mark.parametrize('variant', 'tsb')
def test_released_networks(variant):
    graph = connection_graph(SparXMamba(parity.ARCHS[variant]))
    rows = json.loads((parity.DATA / 'sparx/connections.json').read_text())[variant]
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


def test_a_backbone_without_connections():
    graph = connection_graph(VMamba(PICO_VMAMBA))
    assert [stage.kinds for stage in graph] == [('normal',) * d for d in PICO_VMAMBA['depths']]
    assert not any(stage.edges for stage in graph)


def test_a_model_without_a_backbone():
    with pytest.raises(UserError, match='Conv2d has no backbone of sparx_mm: give'):
        connection_graph(nn.Conv2d(1, 1, 1))
