_base_ = [
    '../_base_/backbones/plainmamba_l2.py',
    './_base_/models/mask_rcnn_adapter.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_1x.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        type='PlainMambaAdapter',
        arch=_base_.backbone.arch,
        drop_path_rate=_base_.drop_path.det,
        init_cfg=_base_.init_cfg,
    ),
    neck=dict(in_channels=_base_.embed_dims),
)
