"""The connection rule: the released networks, and its properties."""

import json

import parity
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparx_mm import SparXMamba
from sparx_mm.backbones.connections import STAGE_INPUT, ganglion_indices, stage_connections


@pytest.mark.parametrize('variant', 'tsb')
def test_released_networks(variant):
    arch = SparXMamba(parity.ARCHS[variant]).arch
    rule = arch['connections']
    rows = []
    for stage, depth in enumerate(arch['depths']):
        plan = stage_connections(
            depth, rule['strides'][stage], rule['starts'][stage], rule['windows'][stage]
        )
        for layer, sources in enumerate(plan):
            if sources:
                rows.append(
                    dict(
                        stage=stage,
                        layer=layer,
                        sources=[f'in{stage}' if s == STAGE_INPUT else f'b{s}' for s in sources],
                        channels=len(sources) * arch['embed_dims'][stage],
                    )
                )
    expected = json.loads((parity.DATA / 'sparx/connections.json').read_text())
    assert rows == expected[variant]


@st.composite
def rules(draw):
    depth = draw(st.integers(1, 40))
    return dict(
        depth=depth,
        stride=draw(st.integers(1, 8)),
        start=draw(st.none() | st.integers(0, depth - 1)),
        window=draw(st.none() | st.integers(1, 8)),
        input_in_window=draw(st.booleans()),
    )


@given(rules())
def test_placement(rule):
    plan = stage_connections(**rule)
    assert len(plan) == rule['depth']
    ganglions = [i for i, sources in enumerate(plan) if sources]
    if rule['start'] is None:
        assert ganglions == []
    else:
        # the last layer is one, they are S apart, and no more would fit
        assert ganglions[-1] == rule['depth'] - 1
        assert {b - a for a, b in zip(ganglions, ganglions[1:])} <= {rule['stride']}
        first = ganglions[0]
        assert rule['start'] <= first < rule['start'] + rule['stride']


@given(rules())
def test_sources(rule):
    plan = stage_connections(**rule)
    ganglions = [i for i, sources in enumerate(plan) if sources]
    for layer, sources in enumerate(plan):
        assert len(set(sources)) == len(sources)
        assert all(s == STAGE_INPUT or 0 <= s < layer for s in sources)
        if not sources:
            continue
        previous = [g for g in ganglions if g < layer]
        if not previous:
            assert sources == (STAGE_INPUT, *range(layer))
            continue
        # intra-connections: just the normal layers since the last ganglion
        intra = [s for s in sources if s not in ganglions and s >= 0]
        assert intra == list(range(previous[-1] + 1, layer))
        # inter-connections: the nearest ganglion layers, oldest first
        inter = list(sources[len(intra) :])
        window = rule['window']
        members = [STAGE_INPUT] * rule['input_in_window'] + previous
        assert inter == (members if window is None else members[-window:])


@given(rules())
def test_every_normal_layer_reaches_a_ganglion_once(rule):
    # between the first and the last ganglion no normal layer is lost, and
    # the window does not repeat one
    rule['input_in_window'] = False
    plan = stage_connections(**rule)
    read = [s for sources in plan for s in sources]
    if rule['start'] is None:
        assert read == []
    else:
        assert read.count(STAGE_INPUT) == 1
        for layer, sources in enumerate(plan):
            if not sources:
                assert read.count(layer) == 1


@given(rules())
def test_all_sources(rule):
    for layer, sources in enumerate(stage_connections(**rule, sources='all')):
        if sources:
            assert sources == (STAGE_INPUT, *range(layer))


@given(rules(), st.integers(1, 8))
def test_a_wider_window_only_adds(rule, more):
    rule['window'] = rule['window'] or 1
    narrow = stage_connections(**rule)
    rule['window'] += more
    for a, b in zip(narrow, stage_connections(**rule)):
        assert bool(a) == bool(b)
        assert set(a) <= set(b)


def test_paper_example():
    # section 3.1: eight layers, S = 2; the paper counts from 1
    assert ganglion_indices(8, 2, 0) == (1, 3, 5, 7)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(depth=0), 'depth must be an int from 1, got 0'),
        (dict(depth=2, stride=0), 'stride must be an int from 1, got 0'),
        (dict(depth=2, stride=2.0), 'stride must be an int from 1, got 2.0'),
        (dict(depth=2, stride='2'), "stride must be an int from 1, got '2'"),
        (dict(depth=2, start=2), r'start must be None or an int in \[0, depth\)'),
        (dict(depth=2, start=1.0), 'start must be .* got 1.0'),
        (dict(depth=2, start=-1), 'start must be None or an int in'),
        (dict(depth=2, window=0), 'window must be None or an int from 1, got 0'),
        (dict(depth=2, window=1.5), 'window must be None or an int from 1, got 1.5'),
        (dict(depth=2, sources='some'), "sources must be 'window' or 'all'"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        stage_connections(**wrong)
