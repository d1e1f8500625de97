_base_ = [
    '../_base_/backbones/groupmamba_b.py',
    './_base_/models/semantic_fpn.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_80k.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, init_cfg=_base_.init_cfg),
    neck=dict(in_channels=_base_.embed_dims),
)
