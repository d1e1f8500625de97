"""What a batch, its losses and its gradients say about NaN and infinity."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import nn

# float32 cannot hold the square of a larger pixel, so the first norm would lose the image
LARGEST_PIXEL = math.sqrt(torch.finfo(torch.float32).max)
# more file names than this are counted
MAX_NAMES = 16
# parts of a model whose outputs are looked at, by the end of their names
PARTS = ('backbone', 'neck', 'head')


def image_files(batch: Any) -> list[str]:
    """List the image files of a batch.

    Args:
        batch (Any): What a data loader of mmengine yields: samples with ``img_path``, as
            data elements or dicts, in dicts and lists of any depth.

    Returns:
        list[str]: Paths in the order of the batch; of a sample without a path nothing.
    """
    if isinstance(batch, Mapping):
        path = batch.get('img_path')
        if path is not None:
            return [path] if isinstance(path, str) else list(map(str, path))
        return [path for value in batch.values() for path in image_files(value)]
    if isinstance(batch, (list, tuple)):
        return [path for value in batch for path in image_files(value)]
    path = getattr(batch, 'img_path', None)
    return [] if path is None else [str(path)]


def bad_images(batch: Any) -> list[tuple[str, torch.Tensor]]:
    """Find the images of a batch whose pixels no network can use.

    Only images of floating point are read: others hold neither NaN nor infinity.

    Args:
        batch (Any): What a data loader of mmengine yields, with images under ``inputs``.

    Returns:
        list[tuple[str, Tensor]]: Description and pixels of each such image.
    """
    if not isinstance(batch, Mapping) or 'inputs' not in batch:
        return []
    images = list(_tensors(batch['inputs']))
    if not any(image.is_floating_point() for image in images):
        return []
    if len(images) == 1 and images[0].dim() == 4:
        images = list(images[0])
    files = image_files({k: v for k, v in batch.items() if k != 'inputs'})
    names = files if len(files) == len(images) else [f'image {i}' for i in range(len(images))]
    faults = [(name, _fault(image), image) for name, image in zip(names, images)]
    return [(f'{name} has {fault}', image) for name, fault, image in faults if fault]


def loss_terms(losses: Mapping[str, Any]) -> dict[str, list[torch.Tensor]]:
    """Collect the terms of a loss that mmengine adds up, without their graph.

    Args:
        losses (Mapping): Output of a model in the mode ``'loss'``.

    Returns:
        dict[str, list[Tensor]]: Tensors of each term, of any shape.
    """
    return {
        name: [t.detach().float() for t in _tensors(value) if t.numel()]
        for name, value in losses.items()
        if 'loss' in name
    }


def total_loss(terms: Mapping[str, list[torch.Tensor]]) -> torch.Tensor | int:
    """Add up all numbers of a loss.

    Args:
        terms (Mapping): The terms; see `loss_terms`.

    Returns:
        Tensor or int: Scalar, NaN or infinite if a number is; 0 without a term.
    """
    return sum(t.sum() for tensors in terms.values() for t in tensors)


def bad_terms(terms: Mapping[str, list[torch.Tensor]]) -> list[str]:
    """List the terms that are not finite, with their values.

    Args:
        terms (Mapping): The terms; see `loss_terms`.
    """
    values = {name: sum(t.mean().item() for t in terms[name]) for name in terms}
    return [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]


def gradient_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor | float:
    """Compute the norm of all gradients of an optimizer that this process holds.

    Args:
        optimizer (Optimizer): An optimizer after the backward pass.

    Returns:
        Tensor or float: Scalar; 0 without a gradient.
    """
    gradients = [
        # a part of a sharded gradient
        p.grad.to_local() if hasattr(p.grad, 'to_local') else p.grad
        for group in optimizer.param_groups
        for p in group['params']
        if p.grad is not None
    ]
    return nn.utils.get_total_norm(gradients) if gradients else 0.0


def watched_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules of a model's backbones, necks and heads."""
    for name, module in model.named_modules():
        if name.endswith(PARTS):
            yield name, module


def has_nan(value: Any) -> torch.Tensor | None:
    """Look for NaN in all tensors of an output.

    Args:
        value (Any): Tensors in dicts, lists and data elements of any depth.

    Returns:
        Tensor, optional: Boolean scalar; None without a tensor of floating point.
    """
    # the least number is NaN if any is, and there is no copy of all
    tensors = [t.detach() for t in _tensors(value) if t.is_floating_point() and t.numel()]
    least = [t.amin().float() for t in tensors]
    return torch.stack([t.to(least[0].device) for t in least]).isnan().any() if least else None


def shorten(names: Sequence[str]) -> str:
    """Join names with commas, and count those after `MAX_NAMES`."""
    more = len(names) - MAX_NAMES
    return ', '.join(names[:MAX_NAMES]) + (f' and {more} more' if more > 0 else '')


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, BaseDataElement):
        # what was predicted, and not what was annotated
        for name, one in value.items():
            if not name.startswith('gt_'):
                yield from _tensors(one)


def _fault(image):
    if not image.is_floating_point() or not image.numel():
        return ''
    low, high = (bound.item() for bound in image.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        return 'pixels that are NaN or infinite'
    largest = max(-low, high)
    return f'pixels of up to {largest:.3g}' if largest > LARGEST_PIXEL else ''
