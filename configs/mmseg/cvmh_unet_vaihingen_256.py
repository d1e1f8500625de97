_base_ = [
    '../_base_/backbones/cvmh_unet.py',
    './_base_/models/cvmh_unet.py',
    './_base_/datasets/vaihingen_256.py',
    './_base_/schedules/schedule_unet_80k.py',
    './_base_/unet_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.seg, init_cfg=_base_.init_cfg),
    decode_head=dict(
        arch=_base_.backbone.arch,
        in_channels=[*_base_.embed_dims, _base_.embed_dims[-1]],
        num_classes=_base_.num_classes,
        drop_path_rate=_base_.drop_path.seg,
        init_cfg=_base_.init_cfg,
    ),
    test_cfg=_base_.slide,
)
train_dataloader = dict(batch_size=5)
