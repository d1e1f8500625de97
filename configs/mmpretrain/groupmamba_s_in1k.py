_base_ = [
    '../_base_/backbones/groupmamba_s.py',
    './_base_/models/classifier_groupmamba.py',
    './_base_/datasets/imagenet_bs128_crop875.py',
    './_base_/schedules/imagenet_bs1024_300e.py',
    './_base_/groupmamba_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.cls),
    neck=dict(in_channels=_base_.embed_dims[-1]),
    head=dict(in_channels=_base_.embed_dims[-1]),
)

# a GPU has 128 images, enough for batch norms of its own, as in the official runs
sync_bn = None
