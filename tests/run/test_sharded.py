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
    """It builds, steps, saves and loads."""
    for found in on_ranks(fsdp_strategy, tmp_path):
        moved = 0
        for name, value in found['first'].items():
            assert value.equal(found['still'][name]) or 'num_batches' in name, name
            moved += not value.equal(found['loaded'][name])
        assert moved > 100
        # mmengine 0.10 gives torch's function its arguments in the order of an earlier
        # torch; when this fails, a sharded run can be resumed
        assert found['why_not'] == "unhashable type: 'dict'"
