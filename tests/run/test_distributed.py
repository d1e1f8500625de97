"""Several processes: what each is told, and what they compute together."""

import datetime
import os
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from archs import PICO
from mmengine.config import Config
from ranks import on_ranks, two_steps

from sparx_mm import SparXMamba, errors
from sparx_mm.errors import LostProcess, UserError, user_errors
from sparx_mm.run import destroy_distributed, distributed

PREFIXES = ('RANK', 'WORLD_', 'LOCAL_', 'MASTER_', 'SLURM_', 'OMPI_')
SLURM = dict(
    SLURM_PROCID='5',
    SLURM_NTASKS='8',
    SLURM_LOCALID='1',
    SLURM_NTASKS_PER_NODE='4',
    SLURM_NODELIST='node[3-4]',
)
MPI = dict(
    OMPI_COMM_WORLD_RANK='5',
    OMPI_COMM_WORLD_SIZE='8',
    OMPI_COMM_WORLD_LOCAL_RANK='1',
    OMPI_COMM_WORLD_LOCAL_SIZE='4',
)
PYTORCH = dict(RANK='5', WORLD_SIZE='8', LOCAL_RANK='1', LOCAL_WORLD_SIZE='4')
VARIABLES = dict(slurm=SLURM, mpi=MPI, pytorch=PYTORCH)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove the variables of every launcher, now and after the test."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    yield
    for name in set(os.environ) - set(kept):
        del os.environ[name]


@pytest.fixture
def groups(monkeypatch):
    """Collect the process groups that start on a machine without a GPU."""
    started = []

    def init(backend, timeout=None):
        place = {
            name: os.environ.get(name)
            for name in ('MASTER_ADDR', 'MASTER_PORT', 'RANK', 'LOCAL_RANK', 'WORLD_SIZE')
        }
        started.append(SimpleNamespace(backend=backend, timeout=timeout, **place))

    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    fake = SimpleNamespace(
        init_process_group=init,
        get_rank=lambda: 0,
        get_world_size=lambda: 8,
        DistError=torch.distributed.DistError,
    )
    monkeypatch.setattr(distributed, 'distributed', fake)
    return started


def _config(**kwargs):
    return Config(dict(dict(launcher='pytorch', model=dict()), **kwargs))


def _set(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize('launcher', VARIABLES)
def test_gloo_without_a_gpu(groups, monkeypatch, capsys, launcher):
    _set(monkeypatch, **VARIABLES[launcher], MASTER_ADDR='first')
    cfg = _config(launcher=launcher, env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=60)))
    distributed.check_launcher(cfg)
    distributed.init_distributed(cfg)
    (group,) = groups
    assert group.backend == 'gloo'
    assert group.timeout == datetime.timedelta(seconds=60)
    assert (group.RANK, group.LOCAL_RANK, group.WORLD_SIZE) == ('5', '1', '8')
    assert (group.MASTER_ADDR, group.MASTER_PORT) == ('first', '29500')
    assert 'no GPU is visible: 8 processes' in capsys.readouterr().out


def test_place_in_slurm(groups, monkeypatch, tmp_path):
    stand_in = tmp_path / 'scontrol'
    stand_in.write_text('#!/bin/sh\necho "$3.1"\necho other\n')
    stand_in.chmod(0o755)
    _set(monkeypatch, **SLURM, PATH=f'{tmp_path}:{os.environ["PATH"]}')
    cfg = _config(launcher='slurm', env_cfg=dict(dist_cfg=dict(port=29600)))
    distributed.init_distributed(cfg)
    assert groups[0].MASTER_ADDR == 'node[3-4].1'
    assert groups[0].MASTER_PORT == '29600'


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_no_place(groups, monkeypatch, tmp_path, launcher):
    # no scontrol on the PATH
    _set(monkeypatch, **VARIABLES[launcher], PATH=str(tmp_path))
    with pytest.raises(UserError, match='MASTER_ADDR is not set'):
        distributed.init_distributed(_config(launcher=launcher))
    assert groups == []


def test_processes_that_do_not_meet(groups, monkeypatch):

    def fails(*args, **kwargs):
        raise torch.distributed.DistNetworkError('port in use')

    monkeypatch.setattr(distributed.distributed, 'init_process_group', fails)
    _set(monkeypatch, **MPI, MASTER_ADDR='first', MASTER_PORT='1')
    with pytest.raises(UserError, match='meet at first:1 .port in use.*PORT'):
        distributed.init_distributed(_config(launcher='mpi'))


@pytest.mark.parametrize('launcher', VARIABLES)
def test_with_a_gpu_mmengine_does_it(groups, monkeypatch, launcher):
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    _set(monkeypatch, **VARIABLES[launcher])
    cfg = _config(launcher=launcher, sync_bn='torch')
    before = cfg.to_dict()
    distributed.init_distributed(cfg)
    assert groups == [] and cfg.to_dict() == before
    # mmengine's wrap_model reads it, and its init_dist sets none for mpi
    assert os.environ['LOCAL_RANK'] == '1'


def test_a_single_process_is_left_alone(groups):
    cfg = _config(launcher='none', sync_bn='torch')
    before = cfg.to_dict()
    distributed.init_distributed(cfg)
    assert groups == [] and cfg.to_dict() == before
    destroy_distributed()


def test_what_a_config_becomes_on_cpus():
    cfg = _config(
        sync_bn='torch',
        find_unused_parameters=True,
        model=dict(
            backbone=dict(norm_cfg=dict(type='SyncBN', eps=1e-3)),
            heads=[dict(norm_cfg=dict(type='MMSyncBN')), dict(norm_cfg=dict(type='GN'))],
        ),
    )
    distributed.adapt_to_cpu(cfg)
    assert cfg.sync_bn is None
    assert cfg.model == dict(
        backbone=dict(norm_cfg=dict(type='BN', eps=1e-3)),
        heads=[dict(norm_cfg=dict(type='BN')), dict(norm_cfg=dict(type='GN'))],
    )
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )


@pytest.mark.parametrize(
    'given,added',
    [
        (dict(broadcast_buffers=True), dict(type='MMDistributedDataParallel', device_ids=None)),
        (dict(type='MMSeparateDistributedDataParallel'), dict(device_ids=None)),
        (dict(type='MMFullyShardedDataParallel'), dict()),
    ],
)
def test_a_wrapper_of_the_config_stays(given, added):
    cfg = _config(model_wrapper_cfg=given)
    distributed.adapt_to_cpu(cfg)
    assert cfg.model_wrapper_cfg == {**given, **added}


@pytest.mark.parametrize('launcher', VARIABLES)
def test_more_processes_than_gpus(monkeypatch, launcher):
    _set(monkeypatch, **VARIABLES[launcher])
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    monkeypatch.setattr(distributed, 'device_count', lambda: 4)
    distributed.check_launcher(_config(launcher=launcher))
    # the first process says it too
    monkeypatch.setattr(distributed, 'device_count', lambda: 3)
    with pytest.raises(UserError, match='4 processes .* 3 are visible'):
        distributed.check_launcher(_config(launcher=launcher))
    monkeypatch.delenv(distributed.LAUNCHERS[launcher].local_size)
    distributed.check_launcher(_config(launcher=launcher))
    monkeypatch.setattr(distributed, 'device_count', lambda: 1)
    with pytest.raises(UserError, match='2 processes .* 1 are visible'):
        distributed.check_launcher(_config(launcher=launcher))


@pytest.mark.parametrize(
    'launcher,variable,command',
    [
        ('pytorch', 'RANK', 'torchrun'),
        ('slurm', 'SLURM_PROCID', 'srun'),
        ('mpi', 'OMPI_COMM_WORLD_RANK', 'mpirun'),
    ],
)
def test_a_launcher_that_started_nothing(monkeypatch, launcher, variable, command):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=f'{variable} is not set.*{command}'):
        distributed.check_launcher(_config(launcher=launcher))
    distributed.check_launcher(_config(launcher='none'))


@pytest.mark.parametrize('launcher', VARIABLES)
def test_other_processes_let_the_first_speak(monkeypatch, capsys, launcher):
    waits = []
    monkeypatch.setattr(errors.time, 'sleep', waits.append)
    _set(monkeypatch, **VARIABLES[launcher])
    with pytest.raises(SystemExit) as stopped, user_errors():
        raise UserError('no such file')
    assert stopped.value.code == 1
    # a second for each process of the machine: its first ends the others
    assert waits == [errors.LATER_RANK_DELAY_S + 1]
    assert capsys.readouterr().err == 'error: process 5: no such file\n'
    for names in errors.RANKS.values():
        for name in names:
            monkeypatch.setenv(name, '0')
    with pytest.raises(SystemExit), user_errors():
        raise UserError('no such file')
    assert len(waits) == 1
    assert capsys.readouterr().err == 'error: no such file\n'


@pytest.mark.slow
@pytest.mark.tries('frozen stages')
@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        *(
            pytest.param(kwargs, marks=pytest.mark.faults)
            for kwargs in (
                dict(frozen_stages=1),
                dict(frozen_stages=3),
                dict(with_cp=True),
                dict(frozen_stages=2, with_cp=True),
            )
        ),
    ],
)
def test_two_processes_train_as_one(tmp_path, kwargs):
    """Frozen stages and recomputed activations included, which DDP counts otherwise."""
    steps = partial(two_steps, **kwargs)
    one = steps()
    two = on_ranks(steps, tmp_path)
    for name in ('weights', 'gradients'):
        for rank in two:
            assert rank[name].keys() == one[name].keys()
            for key, value in one[name].items():
                if value is None:
                    assert rank[name][key] is None, key
                    continue
                error = (rank[name][key] - value).abs().max()
                # float64, summed in another order
                assert error <= 1e-12 * max(1, value.abs().max()), key
    # each parameter is used in each step: DDP need not look for others
    assert [rank['without'] for rank in (one, *two)] == [[]] * 3
    for key, gradient in one['gradients'].items():
        if gradient is None:
            assert kwargs.get('frozen_stages'), key
        else:
            assert gradient.any(), key


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_gradients_get_the_strides_of_their_parameters(dtype):
    def odd(model):
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
            sum(out.float().square().mean() for out in model(images)).backward()
        gradients = {n: p.grad for n, p in model.named_parameters()}
        names = [n for n, p in model.named_parameters() if p.grad.stride() != p.stride()]
        model.zero_grad()
        return gradients, names

    model, images = SparXMamba(PICO), torch.rand(2, 3, 32, 32)
    expected, names = odd(model)
    # of depthwise convolutions, for one
    assert any(name.endswith('dpe.weight') for name in names)
    distributed.align_gradients(model)
    gradients, names = odd(model)
    assert names == []
    assert all(gradients[name].equal(expected[name]) for name in expected)


@pytest.mark.parametrize(
    'message,lost',
    [
        ('[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer', 1),
        ('NCCL error: remote process exited or there was a network error', 1),
        ('mat1 and mat2 shapes cannot be multiplied', 0),
    ],
)
def test_the_error_of_a_lost_process(monkeypatch, message, lost):
    monkeypatch.setattr(distributed, 'is_distributed', lambda: True)
    with (
        pytest.raises(
            LostProcess if lost else RuntimeError, match='it says why' if lost else 'mat1'
        ),
        distributed.lost_processes(),
    ):
        raise RuntimeError(message)


def test_the_one_that_lost_another_lets_it_speak(monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(errors.time, 'sleep', waits.append)
    for name in errors.RANKS['pytorch']:
        monkeypatch.setenv(name, '0')
    with pytest.raises(SystemExit), user_errors():
        raise LostProcess('another process has ended')
    assert waits == [errors.LATER_RANK_DELAY_S]
    assert capsys.readouterr().err == 'error: process 0: another process has ended\n'
