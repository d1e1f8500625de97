"""A model's own forward pass, to which the one that is exported is held in torch."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

from ..errors import UserError
from .agreement import TOLERANCE, disagreement
from .images import with_noise
from .network import Network

_ADVICE = '--part backbone exports the backbone of any model'


@torch.no_grad()
def check_pass(
    network: Network, model: nn.Module, arrays: dict[str, np.ndarray], score_thr: float = 0.3
) -> None:
    """Check that a network computes what its model predicts.

    Args:
        network (Network): The network; a backbone is the model's own and passes.
        model (nn.Module): The model that it was made of.
        arrays (dict[str, ndarray]): ``images`` and ``sizes`` of one image.
        score_thr (float): Score from which boxes are compared. Default: 0.3.

    Raises:
        UserError: If it does not.
    """
    if network.kind == 'maps':
        return
    name = type(model).__name__
    try:
        outputs = network.run(arrays)
    except Exception as error:
        raise UserError(f'no export of {name}, which runs otherwise: {error}; {_ADVICE}') from error
    compare = _detect if network.kind == 'boxes' else _segment
    expected, got = compare(model, arrays, outputs)
    far = disagreement(network.kind, expected, got, score_thr)
    if network.kind == 'boxes' and far > 0:
        variants = [compare(model, noisy, outputs)[0] for noisy in with_noise(arrays)]
        far = disagreement(network.kind, expected, got, score_thr, variants=variants)
    if not far <= TOLERANCE:
        raise UserError(
            f'no export of {name}: what would be written differs from its own predict() by '
            f'{far:.2g}, more than {TOLERANCE:g}; {_ADVICE}'
        )


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
        masks = [_paste(model.roi_head, boxes, masks[0], info)]
    return [values.numpy()[None] for values in expected], [
        values[None] for values in (boxes, labels, *masks)
    ]


def _paste(roi_head, boxes, masks, info):
    """Make masks (K, H, W) of the image from those of boxes (K, S, S), as the model does."""
    boxes = torch.from_numpy(boxes[:, :4])
    # the probabilities are of one class
    found = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    (found,) = roi_head.mask_head.predict_by_feat(
        (masks[:, None],), [found], [info], roi_head.test_cfg, activate_map=True
    )
    return found.masks.numpy()
