"""Runs of several processes, on GPUs or without one.

mmengine starts a process group only on GPUs. On a machine without one, the
group is started here, on gloo, and the config is changed to what runs on CPUs.
"""

import datetime
import gc
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, distributed, nn
from torch.cuda import device_count
from torch.nn.parallel import DistributedDataParallel

from ..config_nodes import walk
from ..engine.saving.stop_signals import received_signal
from ..errors import RANKS, LostProcess, UserError


class Launcher(NamedTuple):
    """A program that starts processes, and the variables that it sets.

    Args:
        command (str): Start of its command line.
        rank (str): Variable with the number of a process.
        local_rank (str): Variable with the number of a process on its
            machine.
        world_size (str): Variable with the number of processes.
        local_size (str): Variable with the number of processes on a machine.
    """

    command: str
    rank: str
    local_rank: str
    world_size: str
    local_size: str


LAUNCHERS = dict(
    pytorch=Launcher(
        'torchrun --nproc_per_node=N', *RANKS['pytorch'], 'WORLD_SIZE', 'LOCAL_WORLD_SIZE'
    ),
    slurm=Launcher('srun', *RANKS['slurm'], 'SLURM_NTASKS', 'SLURM_NTASKS_PER_NODE'),
    mpi=Launcher(
        'mpirun -n N', *RANKS['mpi'], 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_SIZE'
    ),
)

# norms that torch refuses to run on CPUs in a process group
SYNC_NORMS = ('SyncBN', 'MMSyncBN')
# errors of gloo and NCCL in the processes that are left when one has died
_LOST = re.compile(
    r'gloo.*(closed|reset|refused|Broken pipe)|NCCL.*(remote process exited|closed)', re.S
)


def check_launcher(cfg: Config) -> None:
    """Check that a distributed run was started by its launcher.

    Args:
        cfg (Config): A whole config, with ``launcher`` set.

    Raises:
        UserError: If it was not, or if there are more processes than GPUs.
    """
    launcher = LAUNCHERS.get(cfg.launcher)
    if launcher is None:
        return
    for variable in (launcher.rank, launcher.local_rank):
        if variable not in os.environ:
            raise UserError(
                f'--launcher {cfg.launcher}: {variable} is not set; start the '
                f'tool with {launcher.command}, or leave the option out'
            )
    if get_device() != 'cuda':
        return
    # each process takes the GPU of its number
    local_rank = int(os.environ[launcher.local_rank])
    needed = int(os.environ.get(launcher.local_size, local_rank + 1))
    visible = device_count()
    if max(needed, local_rank + 1) > visible:
        raise UserError(
            f'{needed} processes need a GPU each on this machine and '
            f'{visible} are visible: start {visible}, or run on the CPU with '
            'CUDA_VISIBLE_DEVICES= before the command'
        )


def init_distributed(cfg: Config) -> None:
    """Set mmengine's rank variables and, without a GPU, start the process group.

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
            'run on the CPU, with BN instead of SyncBN'
        )


def destroy_distributed() -> None:
    """End the process group, if there is one, after a run.

    The model of the run must not be used after this call.
    """
    if is_distributed():
        # a DDP model that outlives the group ends the group's threads while
        # it holds Python's lock, which they may be waiting for
        gc.collect()
        distributed.destroy_process_group()


def is_loss_of_process(error: Exception) -> bool:
    """Return True if an error says that another process of the run has ended."""
    return isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None


@contextmanager
def lost_processes() -> Iterator[None]:
    """Turn the error of a process that others have left into one line.

    Raises:
        LostProcess: If another process of the run has ended.
        SystemExit: If the launcher has told this process to end because of that.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_distributed() or not is_loss_of_process(error):
            raise
        if received_signal():
            raise SystemExit(128 + received_signal()) from error
        raise LostProcess('another process of this run has ended: it says why') from error


def align_gradients(model: nn.Module) -> None:
    """Give each gradient exactly the strides of its parameter.

    The weight gradients of depthwise and 1x1 convolutions have their values in the same
    order as the weight, but other strides on axes of length 1. DDP compares strides
    number by number, and warns in every run.

    Args:
        model (nn.Module): Model to be trained by several processes.
    """
    for parameter in model.parameters():
        if parameter.requires_grad and 1 in parameter.shape:
            parameter.register_hook(partial(_align, parameter.shape, parameter.stride()))


def _align(shape: tuple[int, ...], strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    same = zip(shape, strides, gradient.stride())
    if all(size == 1 or ours == its for size, ours, its in same):
        return gradient.as_strided(shape, strides)
    # torch copies it into the layout of the parameter
    return gradient


def adapt_to_cpu(cfg: Config) -> None:
    """Change a config so that it can run in several processes on CPUs.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    cfg.sync_bn = None
    for _, node in walk(cfg.get('model') or {}):
        if node.get('type') in SYNC_NORMS:
            node['type'] = 'BN'
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        # mmengine's defaults without a model_wrapper_cfg
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    kind = wrapper.setdefault('type', 'MMDistributedDataParallel')
    kind = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, DistributedDataParallel):
        # without the key mmengine names a GPU, which torch refuses for a
        # model on the CPU
        wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def _init_gloo(
    launcher: str, timeout: float | None = None, port: int | None = None, **for_gpus
) -> None:
    # the rules of mmengine's init_dist
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


def _first_machine(launcher: str) -> str:
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
