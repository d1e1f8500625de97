"""A model's own forward pass, to which the one that is exported is held in torch."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

from ..errors import UserError
from .agreement import TOLERANCE, disagreement
from .images import with_noise
from .network import Network

_ADVICE = '; --part backbone exports the backbone of any model'


@torch.no_grad()
def check_pass(
    network: Network, model: nn.Module, arrays: dict[str, np.ndarray], score_thr: float = 0.3
) -> None:
    """Check that a network computes what its model predicts.

    Args:
        network (Network): The network.
        model (nn.Module): The model that it was made of.
        arrays (dict[str, ndarray]): ``images`` and ``sizes`` of one image.
        score_thr (float): Score from which boxes are compared. Default: 0.3.

    Raises:
        UserError: If it does not, or refuses the images.
    """
    name, advice = type(model).__name__, '' if network.kind == 'maps' else _ADVICE
    try:
        outputs = network.run(arrays)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'no export of {name}, which runs otherwise: {error}{advice}') from error
    compare = dict(boxes=_detect, maps=_extract).get(network.kind, _segment)
    expected, got = compare(model, arrays, outputs)
    far = disagreement(network.kind, expected, got, score_thr)
    if network.kind == 'boxes' and far > 0:
        variants = [compare(model, noisy, outputs)[0] for noisy in with_noise(arrays)]
        far = disagreement(network.kind, expected, got, score_thr, variants=variants)
    if not far <= TOLERANCE:
        raise UserError(
            f'no export of {name}: what would be written differs from its own predict() by '
            f'{far:.2g}, more than {TOLERANCE:g}{advice}'
        )


def _extract(model, arrays, got):
    maps = model.backbone(torch.from_numpy(arrays['images']))
    maps = (maps,) if isinstance(maps, torch.Tensor) else maps
    return [one.numpy() for one in maps], got


def _segment(model, arrays, got):
    samples = model.predict(torch.from_numpy(arrays['images']))
    if got[0].ndim == 3:
        return [np.stack([one.pred_sem_seg.data[0].numpy() for one in samples])], got
    expected = np.stack([one.seg_logits.data.numpy() for one in samples])
    if expected.shape[1] == 1:
        # of one class mmseg gives the probability
        got = [torch.from_numpy(got[0]).sigmoid().numpy()]
    return [expected], got


def _detect(model, arrays, got):
    from mmdet.structures import DetDataSample

    images = torch.from_numpy(arrays['images'])
    own, padded = (tuple(int(side) for side in s) for s in (arrays['sizes'][0], images.shape[2:]))
    info = dict(img_shape=own, ori_shape=own, pad_shape=padded, batch_input_shape=padded)
    info['scale_factor'] = (1.0, 1.0)
    (sample,) = model.predict(images, [DetDataSample(metainfo=info)], rescale=False)
    found = sample.pred_instances
    expected = [torch.cat([found.bboxes, found.scores[:, None]], 1), found.labels]
    boxes, labels, *masks = (values[0][got[0][0, :, 4] > 0] for values in got)
    if masks:
        expected.append(found.masks)
        masks = [paste_masks(model.roi_head, boxes, masks[0], info)]
    return [values.numpy()[None] for values in expected], [
        values[None] for values in (boxes, labels, *masks)
    ]


def paste_masks(
    roi_head: nn.Module,
    boxes: np.ndarray,
    masks: np.ndarray,
    info: dict,
    rescale: bool = False,
) -> np.ndarray:
    """Make masks of an image from those of its boxes, as mmdet does.

    Args:
        roi_head (nn.Module): Head with the mask head.
        boxes (ndarray): Corners, and perhaps more columns, of K boxes.
        masks (ndarray): Probabilities of shape (K, S, S).
        info (dict): ``ori_shape`` and ``scale_factor`` of the image.
        rescale (bool): Make them for the image as it was before the pipeline scaled it.
            Default: False.

    Returns:
        ndarray: Masks of shape (K, H, W), bool.
    """
    # copied, because mmdet scales them in place
    boxes = torch.from_numpy(boxes[:, :4].copy())
    # the probabilities are of one class
    found = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    (found,) = roi_head.mask_head.predict_by_feat(
        (torch.from_numpy(masks[:, None]),),
        [found],
        [info],
        roi_head.test_cfg,
        rescale=rescale,
        activate_map=True,
    )
    return found.masks.numpy()
