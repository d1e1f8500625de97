_base_ = [
    '../_base_/backbones/groupmamba_b.py',
    './_base_/models/upernet.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.seg, init_cfg=_base_.init_cfg),
    decode_head=dict(in_channels=_base_.embed_dims),
    auxiliary_head=dict(in_channels=_base_.embed_dims[2]),
)
