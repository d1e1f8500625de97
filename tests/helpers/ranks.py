"""Functions that tests run in several processes, and their start."""

import torch
from archs import PICO, learnable
from mmengine.config import Config
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed, multiprocessing

from sparx_mm import SparXMamba
from sparx_mm.run.distributed import adapt_to_cpu, destroy_distributed


def on_ranks(function, folder, size=2) -> list:
    """Run a function of this module in several processes, on gloo.

    Args:
        function (Callable): Called without arguments.
        folder (Path): Folder where the processes meet; no port is taken.
        size (int): Number of processes. Default: 2.

    Returns:
        list: Return value of each process.
    """
    # forks of a process that has imported this module, which takes five seconds
    multiprocessing.set_forkserver_preload([__name__, 'sparx_mm.engine'])
    arguments = (function, str(folder), size)
    multiprocessing.start_processes(_run, arguments, size, start_method='forkserver')
    return [torch.load(f'{folder}/{rank}.pt') for rank in range(size)]


def _run(rank, function, folder, size):
    # one thread, because two processes of a test share two cores
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=size)
    torch.save(function(), f'{folder}/{rank}.pt')
    destroy_distributed()


def two_steps(**kwargs) -> dict:
    """Train a backbone for two steps on this process's share of a batch.

    Args:
        **kwargs: Arguments of the backbone.

    Returns:
        dict: Names of the parameters without a gradient after each step, and
        weights and gradients by name after the second.
    """
    model = backbone(**kwargs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images = batch()
    run, without = model, []
    if distributed.is_initialized():
        rank, size = distributed.get_rank(), distributed.get_world_size()
        images = images.chunk(size)[rank]
        cfg = Config(dict(model=dict()))
        adapt_to_cpu(cfg)
        # device_ids as mmengine gives them, which a model on the CPU cannot have
        run = MODEL_WRAPPERS.build(
            cfg.model_wrapper_cfg, default_args=dict(module=model, device_ids=[0])
        )
        assert not run.find_unused_parameters
    for _ in range(2):
        optimizer.zero_grad()
        loss(run(images)).backward()
        without += [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        optimizer.step()
    return dict(
        without=without,
        weights=dict(model.state_dict()),
        gradients={n: p.grad for n, p in model.named_parameters()},
    )


def backbone(**kwargs) -> SparXMamba:
    """Make a backbone whose result for an image depends on no other image."""
    torch.manual_seed(0)
    model = SparXMamba(learnable(PICO), norm_eval=True, **kwargs).double()
    # maps that are far from constant, so that every gradient counts
    for parameter in model.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model.train()


def batch() -> torch.Tensor:
    """Draw four images."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 3, 40, 56, dtype=torch.float64, generator=generator)


def loss(maps) -> torch.Tensor:
    """Compute a loss that is a mean over the images."""
    return sum((m * torch.linspace(-1, 1, m.shape[-1])).square().mean() for m in maps)
