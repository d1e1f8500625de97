"""Runs of several processes, where there is no GPU too.

mmengine starts a process group on GPUs alone. On a machine without one it is
started here, on gloo, and the config is changed to what runs there.
"""

import datetime
import gc
import os
import subprocess
from typing import NamedTuple

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError
from .config import walk


class Launcher(NamedTuple):
    """How processes are started and what each is told.

    Args:
        command (str): What starts them.
        rank (str): Variable with the number of a process.
        world_size (str): Variable with the number of processes.
        local_rank (str): Variable with its number on its machine.
        local_size (str): Variable with the number of processes there.
    """

    command: str
    rank: str
    world_size: str
    local_rank: str
    local_size: str


LAUNCHERS = dict(
    pytorch=Launcher(
        'torchrun --nproc_per_node=N', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE'
    ),
    slurm=Launcher(
        'srun', 'SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_NTASKS_PER_NODE'
    ),
    mpi=Launcher(
        'mpirun -n N',
        'OMPI_COMM_WORLD_RANK',
        'OMPI_COMM_WORLD_SIZE',
        'OMPI_COMM_WORLD_LOCAL_RANK',
        'OMPI_COMM_WORLD_LOCAL_SIZE',
    ),
)

# what torch refuses to run on the CPU in a process group
SYNC_NORMS = ('SyncBN', 'MMSyncBN')


def join_processes(cfg: Config) -> None:
    """Name this process of a distributed run, and group it if on a CPU.

    Args:
        cfg (Config): A whole config, with ``launcher`` set and checked;
            without a GPU it is changed.

    Raises:
        UserError: If the processes do not find each other.
    """
    launcher = LAUNCHERS.get(cfg.launcher)
    if launcher is None:
        return
    # mmengine sets them too, but later, and not all of them for mpi
    for name in ('rank', 'world_size', 'local_rank'):
        variable = getattr(launcher, name)
        if variable in os.environ:
            os.environ[name.upper()] = os.environ[variable]
    if get_device() != 'cpu':
        return
    dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    if not is_distributed():
        _init_gloo(cfg.launcher, **dist_cfg)
    adapt_to_cpu(cfg)
    if distributed.get_rank() == 0:
        print(
            f'no GPU is visible: {distributed.get_world_size()} processes '
            'run on the CPU, with BN in the place of SyncBN'
        )


def leave_processes() -> None:
    """End the process group, where there is one, after a run.

    Nobody may use the run's model any more.
    """
    if is_distributed():
        # a DDP model that outlives the group ends its threads with Python's
        # lock held, which they may be waiting for
        gc.collect()
        distributed.destroy_process_group()


def adapt_to_cpu(cfg: Config) -> None:
    """Change a config to what distributed training on CPUs can run.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    cfg.sync_bn = None
    for _, node in walk(cfg.get('model') or {}):
        if node.get('type') in SYNC_NORMS:
            node['type'] = 'BN'
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        # what mmengine takes without a model_wrapper_cfg
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    kind = wrapper.setdefault('type', 'MMDistributedDataParallel')
    kind = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, DistributedDataParallel):
        # mmengine would name a GPU, which torch refuses for a model on the
        # CPU, wherever the key is missing
        wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def _init_gloo(launcher, timeout=None, port=None, **for_gpus):
    # by the rules of mmengine's init_dist
    if port is not None and launcher == 'slurm':
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(launcher)
    if timeout is not None:
        timeout = datetime.timedelta(seconds=timeout)
    try:
        distributed.init_process_group('gloo', timeout=timeout)
    except distributed.DistError as error:
        place = ':'.join(os.environ[f'MASTER_{n}'] for n in ('ADDR', 'PORT'))
        raise UserError(
            f'the processes do not meet at {place} ({error}); choose another '
            'place with the variables MASTER_ADDR and MASTER_PORT'
        ) from error


def _first_machine(launcher):
    if launcher == 'slurm':
        nodes = os.environ.get('SLURM_NODELIST', '')
        command = ['scontrol', 'show', 'hostnames', nodes]
        try:
            return subprocess.check_output(command, text=True).split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            pass
    raise UserError(
        f'--launcher {launcher}: MASTER_ADDR is not set; give the '
        'name or address of the first machine to every process'
    )
