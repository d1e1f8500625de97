"""The check that no batch norm is left with one value of one image."""

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, is_distributed
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from ...errors import UserError
from ..models import unwrap


def check_lone_image(runner) -> None:
    """Check that batch norms have more than one value per channel in every batch.

    torch refuses a single value in training. One image of the training set is run, and
    only if some batch has one image.

    Args:
        runner (Runner): The runner, about to train; random generators move on, and its
            model is left in eval mode.

    Raises:
        UserError: If a batch of one image leaves a batch norm with one value.
    """
    loader, model = runner.train_dataloader, unwrap(runner.model)
    found = _find_lone_batch(loader)
    if found is None:
        return
    model.train()
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and module.training
        # counts the values of all processes
        and not (isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1)
    }
    name = _find_single_value(model, norms, loader) if norms else None
    if name:
        what, remedy = found
        raise UserError(
            f'{what}, and the batch norm model.{name} has one value per channel of one '
            f'image, which torch refuses in training: give {remedy}'
        )


def _find_lone_batch(loader: DataLoader) -> tuple[str, str] | None:
    """Describe a batch with one image, and how to avoid it; None if there is none."""
    if isinstance(loader.dataset, IterableDataset):
        return None
    sampler = loader.batch_sampler
    size = getattr(sampler, 'batch_size', None)
    if size == 1:
        return 'train_dataloader.batch_size is 1', 'train_dataloader.batch_size=2'
    if type(sampler) is not BatchSampler or loader.drop_last:
        return None
    if isinstance(sampler.sampler, InfiniteSampler) or len(sampler.sampler) % size != 1:
        return None
    return (
        f'the last batch of an epoch has one image (of {len(sampler.sampler)}, with batch_size '
        f'{size})',
        'train_dataloader.drop_last=True, or another batch_size',
    )


def _find_single_value(model: nn.Module, norms: dict[str, nn.Module], loader) -> str | None:
    """Return the name of a norm that has one value per channel of an image."""
    single = []

    def look(name):
        def hook(module, inputs):
            # tokens of one image may be as many rows
            if inputs[0].numel() == inputs[0].shape[1]:
                single.append(name)

        return hook

    handles = [module.register_forward_pre_hook(look(name)) for name, module in norms.items()]
    model.eval()
    try:
        batch = loader.collate_fn([loader.dataset[0]])
        # some augmentations of whole batches wait for the other processes
        data = model.data_preprocessor(batch, not is_distributed())
        with torch.no_grad():
            model._run_forward(data, mode='tensor')
    except Exception:
        # whatever is raised, because the first step raises it too if it is a mistake
        pass
    finally:
        for handle in handles:
            handle.remove()
    return single[0] if single else None
