"""Sharded trainings on two processes build, step, save and resume."""

import pytest
from ranks import on_ranks
from sharded import fsdp2, fsdp_strategy

pytestmark = pytest.mark.faults


@pytest.mark.tries('stopped and resumed under FSDP')
def test_fsdp2(tmp_path):
    for found in on_ranks(fsdp2, tmp_path):
        weights = [found[name] for name in ('whole', 'straight', 'resumed')]
        assert len(weights[0]) > 100
        for name, value in weights[1].items():
            assert value.equal(weights[2][name]), name
            # float64 sums of another order, after four steps of Adam
            assert (value - weights[0][name]).abs().max() < 1e-6, name
        number = sum(value.numel() for value in weights[0].values())
        assert 0.3 * number < found['shards'] < 0.7 * number


@pytest.mark.tries('stopped and resumed under FSDP')
def test_mmengines_strategy(tmp_path):
    """It builds, steps, saves, loads and resumes."""
    for found in on_ranks(fsdp_strategy, tmp_path):
        moved = 0
        for name, value in found['first'].items():
            assert value.equal(found['still'][name]) or 'num_batches' in name, name
            assert found['resumed'][name].equal(found['whole'][name]), name
            # from the same weights, but with new moments of Adam
            moved += not found['loaded'][name].equal(found['whole'][name])
        assert moved > 100
