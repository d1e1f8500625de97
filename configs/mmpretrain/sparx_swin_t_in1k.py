_base_ = [
    '../_base_/backbones/sparx_swin_t.py',
    './_base_/models/classifier.py',
    './_base_/datasets/imagenet_bs256.py',
    './_base_/schedules/imagenet_bs2048_300e.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.cls),
    head=dict(in_channels=_base_.embed_dims[-1]),
)
