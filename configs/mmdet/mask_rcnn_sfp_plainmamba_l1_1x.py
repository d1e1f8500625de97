_base_ = [
    '../_base_/backbones/plainmamba_l1.py',
    './_base_/models/mask_rcnn_sfp.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_1x.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.det, init_cfg=_base_.init_cfg),
    neck=dict(backbone_channel=_base_.embed_dims[-1]),
)
