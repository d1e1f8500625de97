_base_ = [
    '../_base_/backbones/groupmamba_b.py',
    './_base_/models/mask_rcnn_fpn.py',
    './_base_/datasets/coco_instance_ms_crop.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.det, init_cfg=_base_.init_cfg),
    neck=dict(in_channels=_base_.embed_dims),
)
