# Mask R-CNN as it was released on PlainMamba with its adapter, whose maps have one width
_base_ = './mask_rcnn_fpn.py'

# SyncBN in distributed runs, see sync_bn of the schedules
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg)
    ),
)
