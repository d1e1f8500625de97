_base_ = [
    '../_base_/backbones/sparx_mamba_t.py',
    './_base_/models/upernet.py',
    './_base_/datasets/isaid_256.py',
    './_base_/schedules/schedule_upernet_80k.py',
    './_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.seg, init_cfg=_base_.init_cfg),
    decode_head=dict(in_channels=_base_.embed_dims, num_classes=_base_.num_classes),
    auxiliary_head=dict(in_channels=_base_.embed_dims[2], num_classes=_base_.num_classes),
    test_cfg=_base_.slide,
)
