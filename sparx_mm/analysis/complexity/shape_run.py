"""Run a model on shapes alone: no data, no arithmetic, no memory."""

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
    model.eval()
    dtypes = [param.dtype for param in model.parameters()]
    image = torch.empty(1, 3, *shape, device='meta', dtype=dtypes[0] if dtypes else None)
    args = (image,)
    if isinstance(model, BaseModel):
        metainfo = dict.fromkeys(
            ('ori_shape', 'img_shape', 'pad_shape', 'batch_input_shape'), tuple(shape)
        )
        metainfo['scale_factor'] = (1.0, 1.0)
        sample = BaseDataElement(metainfo=metainfo, gt_instances=InstanceData())
        args = (image, [sample], 'tensor')
    try:
        with _shapes_for_data(model) as boxes:
            model(*args)
    except Exception as error:
        # any exception, because each model has its own way to need data
        reason = str(error).partition('. ')[0] or type(error).__name__
        raise UserError(
            f'{type(model).__name__} does not run on the shape of an image '
            f'alone, {shape[0]}x{shape[1]}: {reason}'
        ) from error
    return boxes


@contextmanager
def _shapes_for_data(model: nn.Module) -> Iterator[dict[str, int]]:
    """Replace tensors, proposals and RoI features by shapes; yield the boxes."""
    boxes = {}
    with ExitStack() as stack:
        # not torch.func.functional_call, because it does not put back the tensors
        # of a module that has two names
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                stack.callback(tensors.update, dict(tensors))
                tensors.update(
                    {
                        name: tensor.to('meta')
                        for name, tensor in tensors.items()
                        if tensor is not None
                    }
                )
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
