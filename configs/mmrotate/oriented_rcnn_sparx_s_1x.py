_base_ = [
    '../_base_/backbones/sparx_mamba_s.py',
    './_base_/models/oriented_rcnn_fpn.py',
    './_base_/datasets/dota.py',
    '../mmdet/_base_/schedules/schedule_1x.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch=_base_.arch,
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.checkpoint),
    ),
    neck=dict(in_channels=_base_.embed_dims),
)
