"""The forward pass of detectors in operators of fixed numbers of boxes.

mmdet's own pass chooses boxes image by image, in lists of any length. Here each step
keeps a fixed number of them for all images at a time, and a score of 0 marks those that
are none.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import UserError
from .operators import nms, roi_align

_NONE = -1.0


class TwoStageDetector(nn.Module):
    """Faster R-CNN or Mask R-CNN of mmdet.

    Args:
        model (nn.Module): The detector; ``StandardRoIHead`` with one shared bbox head.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.outputs = ('boxes', 'labels', *(('masks',) if model.roi_head.with_mask else ()))

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Detect.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).
            sizes (Tensor): Height and width of what is no padding, of shape (B, 2).

        Returns:
            tuple[Tensor, ...]: Corners and score, (B, K, 5), by falling score; classes,
            (B, K); and the probabilities of masks, (B, K, S, S). A score of 0 ends them.
        """
        model, cfg = self.model, self.model.test_cfg.rcnn
        maps = model.extract_feat(images)
        limits = _limits(sizes)
        boxes, scores, labels = self._classify(maps, self._propose(maps, limits), limits)
        boxes, labels = _suppress(boxes, scores, labels, cfg.nms, cfg.max_per_img)
        if not model.roi_head.with_mask:
            return boxes, labels
        return boxes, labels, self._masks(maps, boxes, labels)

    def _classify(self, maps, proposals, limits):
        head, cfg = self.model.roi_head, self.model.test_cfg.rcnn
        batch, count, _ = proposals.shape
        image = torch.arange(batch).view(-1, 1, 1).expand(-1, count, 1).to(proposals)
        # (B, K, 5) -> (B*K, 5)
        rois = torch.cat([image, proposals], 2).flatten(0, 1)
        features = _extract(head.bbox_roi_extractor, maps, rois)
        logits, deltas = head.bbox_head(features)
        classes = head.bbox_head.num_classes
        scores = logits.softmax(-1)[:, :classes]
        kinds = 1 if head.bbox_head.reg_class_agnostic else classes
        corners = rois[:, None, 1:].expand(-1, kinds, 4).reshape(-1, 4)
        boxes = head.bbox_head.bbox_coder.decode(corners, deltas.reshape(-1, 4))
        # (B*K*kinds, 4) -> (B, K*classes, 4)
        boxes = boxes.view(-1, kinds, 4).expand(-1, classes, 4).reshape(batch, count * classes, 4)
        boxes = _clip(boxes, limits)
        scores = scores.reshape(batch, count * classes)
        # padded proposals have no area
        real = (proposals[..., 2] > proposals[..., 0]).unsqueeze(-1).expand(-1, -1, classes)
        real = real.reshape(batch, count * classes)
        scores = torch.where(real & (scores > cfg.score_thr), scores, _NONE)
        labels = torch.arange(classes).expand(batch, count, classes).reshape(batch, -1)
        return boxes, scores, labels

    def _propose(self, maps, limits):
        head, cfg = self.model.rpn_head, self.model.test_cfg.rpn
        logits, deltas = head(maps)
        boxes, scores, levels = [], [], []
        anchors = head.prior_generator.grid_priors([m.shape[2:] for m in logits], device='cpu')
        for level, (own, logit, delta) in enumerate(zip(anchors, logits, deltas)):
            # (B, A*c, h, w) -> (B, h*w*A, c)
            score = logit.permute(0, 2, 3, 1).reshape(logit.shape[0], -1, head.cls_out_channels)
            score = score.sigmoid()[..., 0] if head.use_sigmoid_cls else score.softmax(-1)[..., 0]
            delta = delta.permute(0, 2, 3, 1).reshape(delta.shape[0], -1, 4)
            score, index = _top(score, cfg.nms_pre)
            boxes.append(_decode(head, own, delta, index))
            scores.append(score)
            levels.append(torch.full_like(index, level))
        boxes = _clip(torch.cat(boxes, 1), limits)
        scores = _drop_small(boxes, torch.cat(scores, 1), max(cfg.get('min_bbox_size', 0), 0))
        found, _ = _suppress(boxes, scores, torch.cat(levels, 1), cfg.nms, cfg.max_per_img)
        return found[..., :4]

    def _masks(self, maps, boxes, labels):
        head = self.model.roi_head
        batch, count, _ = boxes.shape
        image = torch.arange(batch).view(-1, 1, 1).expand(-1, count, 1).to(boxes)
        rois = torch.cat([image, boxes[..., :4]], 2).flatten(0, 1)
        extractor = head.mask_roi_extractor if not head.share_roi_extractor else None
        features = _extract(extractor or head.bbox_roi_extractor, maps, rois)
        logits = head.mask_head(features)
        if not head.mask_head.class_agnostic:
            # (B*K, C, S, S) -> (B*K, 1, S, S)
            index = labels.clamp(min=0).view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
            logits = logits.gather(1, index)
        return logits.sigmoid().view(batch, count, *logits.shape[2:])


class DenseDetector(nn.Module):
    """RetinaNet of mmdet: anchors, classes and no other score.

    Args:
        model (nn.Module): The detector.
    """

    outputs = ('boxes', 'labels')

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Detect.

        Args:
            images, sizes (Tensor): As for `TwoStageDetector.forward`.

        Returns:
            tuple[Tensor, ...]: Its boxes and classes.
        """
        head, cfg = self.model.bbox_head, self.model.test_cfg
        limits = _limits(sizes)
        logits, deltas = head(self.model.extract_feat(images))
        anchors = head.prior_generator.grid_priors([m.shape[2:] for m in logits], device='cpu')
        boxes, scores, labels = [], [], []
        classes = head.num_classes
        for own, logit, delta in zip(anchors, logits, deltas):
            score = logit.permute(0, 2, 3, 1).reshape(logit.shape[0], -1, head.cls_out_channels)
            score = score.sigmoid() if head.use_sigmoid_cls else score.softmax(-1)[..., :classes]
            delta = delta.permute(0, 2, 3, 1).reshape(delta.shape[0], -1, 4)
            # (B, h*w*A, C) -> (B, h*w*A*C)
            score = score.flatten(1)
            score, index = _top(torch.where(score > cfg.score_thr, score, _NONE), cfg.nms_pre)
            boxes.append(_decode(head, own, delta, index // classes))
            scores.append(score)
            labels.append(index % classes)
        boxes = _clip(torch.cat(boxes, 1), limits)
        scores = _drop_small(boxes, torch.cat(scores, 1), cfg.get('min_bbox_size', -1))
        return _suppress(boxes, scores, torch.cat(labels, 1), cfg.nms, cfg.max_per_img)


def _limits(sizes: torch.Tensor) -> torch.Tensor:
    """Return the largest coordinates (B, 1, 4) of boxes: width, height, width, height."""
    return sizes.flip(1).repeat(1, 2).unsqueeze(1)


def _clip(boxes: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    return torch.minimum(boxes.clamp(min=0), limits)


def _drop_small(boxes: torch.Tensor, scores: torch.Tensor, least: float) -> torch.Tensor:
    """Give `_NONE` as the score of boxes whose sides are not above ``least``; below 0, to none."""
    if least < 0:
        return scores
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    return torch.where((width > least) & (height > least), scores, _NONE)


def _top(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the ``count`` highest of (B, N) scores; where there are fewer, `_NONE`."""
    last = scores.shape[1] - 1
    # padded, because ONNX takes no number that depends on a size
    scores, index = F.pad(scores, (0, count), value=_NONE).topk(count, dim=1)
    return scores, torch.minimum(index, torch.full_like(index, 1) * last)


def _take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take rows ``index`` (B, K) of (B, N, c) values."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _decode(
    head: nn.Module, anchors: torch.Tensor, deltas: torch.Tensor, index: torch.Tensor
) -> torch.Tensor:
    """Make boxes (B, K, 4) of anchors (N, 4), deltas (B, N, 4) and their numbers (B, K)."""
    chosen = _take(deltas, index).flatten(0, 1)
    boxes = head.bbox_coder.decode(anchors[index.flatten()], chosen)
    return boxes.view(*index.shape, 4)


def _suppress(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, cfg: dict, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose ``count`` boxes an image, group by group.

    Args:
        boxes (Tensor): Corners of shape (B, N, 4).
        scores (Tensor): Scores of shape (B, N).
        groups (Tensor): Group of each box, of shape (B, N).
        cfg (dict): mmdet's config of the suppression.
        count (int): Number of boxes K.

    Returns:
        tuple[Tensor, Tensor]: Corners and score (B, K, 5), and groups (B, K). Where there
        are fewer, 0 and -1.
    """
    # groups apart from each other, as in mmcv's batched_nms
    apart = boxes + (groups.to(boxes) * (boxes.amax() + 1)).unsqueeze(-1)
    chosen = nms(apart.float(), scores.float(), float(cfg['iou_threshold']), int(count))
    image, index = chosen[:, 0], chosen[:, 1]
    kept = torch.full_like(scores, _NONE).index_put((image, index), scores[image, index])
    kept, index = _top(kept, count)
    found = torch.cat([_take(boxes, index), kept.unsqueeze(-1)], -1)
    is_found = kept > 0
    return found * is_found.unsqueeze(-1), torch.where(is_found, groups.gather(1, index), -1)


def _extract(
    extractor: nn.Module, maps: Sequence[torch.Tensor], rois: torch.Tensor
) -> torch.Tensor:
    """Take the features (R, C, S, S) of regions, each from the map of its size."""
    maps = maps[: extractor.num_inputs]
    levels = extractor.map_roi_levels(rois, len(maps))
    layers = extractor.roi_layers
    side = layers[0].output_size[0]
    out = maps[0].new_zeros(rois.shape[0], maps[0].shape[1], side, side)
    for level, (features, layer) in enumerate(zip(maps, layers)):
        own = (levels == level).nonzero().squeeze(1)
        aligned = roi_align(
            features, rois[own], side, layer.spatial_scale, layer.sampling_ratio, layer.aligned
        )
        out = out.index_put((own,), aligned)
    return out


def make_detector(model: nn.Module) -> nn.Module:
    """Wrap a detector so that it can be exported.

    Args:
        model (nn.Module): A detector of mmdet.

    Returns:
        nn.Module: Its forward pass, with the attribute ``outputs``, their names.

    Raises:
        UserError: If it is none of those that can be.
    """
    from mmdet.models import RetinaHead, StandardRoIHead
    from mmdet.models import TwoStageDetector as TwoStage

    roi_head = getattr(model, 'roi_head', None)
    if isinstance(model, TwoStage) and type(roi_head) is StandardRoIHead:
        _check_activation(roi_head.bbox_head)
        _check_nms(model.test_cfg.rcnn.nms, model.test_cfg.rpn.nms)
        return TwoStageDetector(model).eval()
    head = getattr(model, 'bbox_head', None)
    if type(head) is RetinaHead:
        _check_activation(head)
        _check_nms(model.test_cfg.nms)
        return DenseDetector(model).eval()
    raise UserError(
        f'no export of {type(model).__name__} with {type(roi_head or head).__name__}: Faster '
        'R-CNN, Mask R-CNN and RetinaNet of mmdet can be; --part backbone exports the backbone '
        'of any model'
    )


def _check_activation(head):
    if getattr(head.loss_cls, 'custom_activation', False):
        raise UserError(
            f'no export of {type(head).__name__} with {type(head.loss_cls).__name__}, which makes '
            'scores of its own: --part backbone exports the backbone of any model'
        )


def _check_nms(*configs):
    for cfg in configs:
        if cfg.get('type', 'nms') != 'nms' or cfg.get('class_agnostic'):
            raise UserError(
                f'the test_cfg has {dict(cfg)}, and ONNX has plain NMS by class alone: set '
                "nms=dict(type='nms', iou_threshold=...), or export with --part backbone"
            )
