# Mask R-CNN with a simple feature pyramid, from the last map of a backbone without stages; a
# config adds its backbone and the neck's backbone_channel
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(out_indices=(-1,)),
    neck=dict(_delete_=True, type='SimpleFeaturePyramid', out_channels=256, num_outs=5),
)
