_base_ = [
    '../_base_/backbones/plainmamba_l1.py',
    './_base_/models/classifier_plainmamba.py',
    './_base_/datasets/imagenet_bs128_crop875.py',
    './_base_/schedules/imagenet_bs2048_low_300e.py',
    './_base_/runtime_without_ema.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.cls),
    head=dict(in_channels=_base_.embed_dims[-1]),
)
train_dataloader = dict(batch_size=256)
# five epochs fewer of warm-up than the others, and no average
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 15

# a GPU has 256 images, enough for batch norms of its own, as in the official runs
sync_bn = None
