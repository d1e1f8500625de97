"""Run a model once: on shapes alone, without data, arithmetic or memory, or on noise."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from sparx_mm.kernels.dispatch import ENV_VAR

from ...errors import UserError


@torch.no_grad()
def run_on_shapes(model: nn.Module, shape: tuple[int, int]) -> dict[str, int]:
    """Run a model on one image of torch's meta device, in eval mode.

    A model of mmengine's kind runs in its mode ``'tensor'``, without
    post-processing and without heads that only training runs. Where sizes
    depend on data, the largest is taken: an RPN proposes as many boxes as its
    ``test_cfg`` allows, and a RoI extractor makes a map of every box.

    Args:
        model (nn.Module): Detector, segmentor or classifier, or a module that
            takes a (B, 3, H, W) image. Its tensors stay as they are.
        shape (tuple[int, int]): Height and width of the image.

    Returns:
        dict[str, int]: Number of boxes that each RoI extractor was given, by
        its name; empty for a model without any.

    Raises:
        UserError: If the model does not run on such an image, or if something
            in it has no result without data.
    """
    try:
        with _shapes_for_data(model) as boxes:
            _run(model, _example(model, shape, 'meta'), 'tensor')
    except Exception as error:
        # any exception, because each model has its own way to need data
        raise UserError(
            f'{type(model).__name__} does not run on the shape of an image '
            f'alone, {shape[0]}x{shape[1]}: {_reason(error)}'
        ) from error
    return boxes


@torch.no_grad()
def run_on_noise(model: nn.Module, shape: tuple[int, int], mode: str) -> None:
    """Run a model on one image of noise on the CPU, in eval mode.

    Weights that are not finite, as before ``init_weights``, count as 0.

    Args:
        model (nn.Module): As for `run_on_shapes`.
        shape (tuple[int, int]): Height and width of the image.
        mode (str): Mode of a model of mmengine's kind: ``'tensor'``, or ``'predict'``
            for a head that the other does not give what it needs.

    Raises:
        UserError: If the model does not run on such an image.
    """
    try:
        with ExitStack() as stack:
            _swap_tensors(stack, model, _finite)
            _run(model, _example(model, shape, 'cpu'), mode)
    except Exception as error:
        # any exception, as above
        raise UserError(f'nor does it run on the CPU: {_reason(error)}') from error


def _example(model, shape, device):
    dtypes = [param.dtype for param in model.parameters()]
    dtype = dtypes[0] if dtypes else None
    if device == 'meta':
        return torch.empty(1, 3, *shape, device=device, dtype=dtype)
    return torch.randn(1, 3, *shape, dtype=dtype)


def _run(model, image, mode):
    model.eval()
    if not isinstance(model, BaseModel):
        model(image)
        return
    metainfo = dict.fromkeys(
        ('ori_shape', 'img_shape', 'pad_shape', 'batch_input_shape'), tuple(image.shape[2:])
    )
    metainfo['scale_factor'] = (1.0, 1.0)
    sample = BaseDataElement(metainfo=metainfo, gt_instances=InstanceData())
    model(image, [sample], mode)


def _reason(error):
    return str(error).partition('. ')[0] or type(error).__name__


def _finite(tensor):
    return tensor.cpu().nan_to_num(0, 0, 0) if tensor.is_floating_point() else tensor.cpu()


def _swap_tensors(stack, model, convert):
    """Convert all tensors of a model until a stack is closed."""
    # not torch.func.functional_call, because it does not put back the tensors
    # of a module that has two names
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            stack.callback(tensors.update, dict(tensors))
            tensors.update({k: convert(t) for k, t in tensors.items() if t is not None})


@contextmanager
def _shapes_for_data(model: nn.Module) -> Iterator[dict[str, int]]:
    """Replace tensors, proposals and RoI features by shapes; yield the boxes."""
    boxes = {}
    with ExitStack() as stack:
        _swap_tensors(stack, model, lambda tensor: tensor.to('meta'))
        # unset, because no backend runs and the reference is not one operator
        if ENV_VAR in os.environ:
            stack.callback(os.environ.update, {ENV_VAR: os.environ.pop(ENV_VAR)})
        for name, module in model.named_modules():
            if name == 'rpn_head' and hasattr(module, 'predict_by_feat'):
                _replace(stack, module, 'predict_by_feat', _propose(module))
            # extractors that take each box's features from one map
            elif hasattr(module, 'map_roi_levels'):
                _replace(stack, module, 'forward', _extract(module, name, boxes))
        yield boxes


def _replace(stack, module, method, function):
    # the attribute of the object hides the method of its class
    setattr(module, method, function)
    stack.callback(delattr, module, method)


def _propose(rpn_head):

    def predict_by_feat(scores, *args, **kwargs):
        proposals = scores[0].new_zeros(rpn_head.test_cfg.max_per_img, 4)
        return [InstanceData(bboxes=proposals)] * len(scores[0])

    return predict_by_feat


def _extract(extractor, name, boxes):

    def forward(maps, rois, *args, **kwargs):
        boxes[name] = boxes.get(name, 0) + len(rois)
        return maps[0].new_empty(
            len(rois), extractor.out_channels, *extractor.roi_layers[0].output_size
        )

    return forward
