_base_ = [
    '../_base_/backbones/sparx_mamba_t.py',
    './_base_/models/semantic_fpn.py',
    './_base_/datasets/potsdam_256.py',
    './_base_/schedules/schedule_80k.py',
    './_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(**_base_.backbone, init_cfg=_base_.init_cfg),
    neck=dict(in_channels=_base_.embed_dims),
    decode_head=dict(num_classes=_base_.num_classes),
    test_cfg=_base_.slide,
)
