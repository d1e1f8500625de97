"""Operators of detectors that ONNX has too: NMS and RoIAlign, from mmcv in torch."""

import torch

from .symbolics import onnx_symbolic


@torch.library.custom_op('sparx_mm::nms', mutates_args=())
def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, max_boxes: int
) -> torch.Tensor:
    """Suppress boxes that overlap one of a higher score, in each image.

    Args:
        boxes (Tensor): Boxes of shape (B, N, 4), as corners.
        scores (Tensor): Scores of shape (B, N); those of 0 and less are left out.
        iou_threshold (float): Overlap above which a box is suppressed.
        max_boxes (int): Most boxes of an image.

    Returns:
        Tensor: Image and number of each box that is left, of shape (M, 2), int64.
    """
    # imported lazily: mmcv is no requirement of the package
    from mmcv.ops import nms as suppress

    chosen = []
    for image, (own, values) in enumerate(zip(boxes, scores)):
        candidates = (values > 0).nonzero().squeeze(1)
        if len(candidates):
            _, keep = suppress(own[candidates], values[candidates], iou_threshold)
            candidates = candidates[keep[:max_boxes]]
        chosen.append(torch.stack([torch.full_like(candidates, image), candidates], 1))
    return torch.cat(chosen)


@torch.library.custom_op('sparx_mm::roi_align', mutates_args=())
def roi_align(
    features: torch.Tensor,
    rois: torch.Tensor,
    size: int,
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """Average a map over the cells of regions (https://arxiv.org/abs/1703.06870).

    Args:
        features (Tensor): Map of shape (B, C, H, W).
        rois (Tensor): Image and corners of regions in pixels, of shape (R, 5).
        size (int): Cells of a region along either axis.
        scale (float): Size of the map, the images' taken as 1.
        sampling_ratio (int): Samples of a cell along either axis; 0: by the region's size.
        aligned (bool): Take pixels as areas, half a pixel off their corners.

    Returns:
        Tensor: Features of shape (R, C, size, size).
    """
    from mmcv.ops import roi_align as align

    return align(features.contiguous(), rois, (size, size), scale, sampling_ratio, 'avg', aligned)


@onnx_symbolic('sparx_mm::nms', 'vvfi')
def _nms_symbolic(g, boxes, scores, iou_threshold, max_boxes):
    most, overlap, zero = (
        g.op('Constant', value_t=t)
        for t in (torch.tensor([max_boxes]), torch.tensor([iou_threshold]), torch.tensor([0.0]))
    )
    axis = g.op('Constant', value_t=torch.tensor([1]))
    chosen = g.op('NonMaxSuppression', boxes, g.op('Unsqueeze', scores, axis), most, overlap, zero)
    # (M, 3), the image, the class and the box -> (M, 2)
    return g.op('Gather', chosen, g.op('Constant', value_t=torch.tensor([0, 2])), axis_i=1)


@onnx_symbolic('sparx_mm::roi_align', 'vvifib')
def _roi_align_symbolic(g, features, rois, size, scale, sampling_ratio, aligned):
    def columns(first, last):
        return g.op(
            'Slice',
            rois,
            *(g.op('Constant', value_t=torch.tensor([i])) for i in (first, last, 1)),
        )

    images = g.op('Squeeze', columns(0, 1), g.op('Constant', value_t=torch.tensor([1])))
    # reshaped, because OpenVINO wants to know that a region has four numbers
    corners = g.op('Reshape', columns(1, 5), g.op('Constant', value_t=torch.tensor([-1, 4])))
    return g.op(
        'RoiAlign',
        features,
        corners,
        g.op('Cast', images, to_i=7),
        output_height_i=size,
        output_width_i=size,
        spatial_scale_f=scale,
        sampling_ratio_i=sampling_ratio,
        coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
    )
