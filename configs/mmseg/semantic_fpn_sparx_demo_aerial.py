_base_ = [
    '../_base_/backbones/sparx_mamba_demo.py',
    './_base_/models/semantic_fpn_demo_aerial.py',
    './_base_/datasets/drawn_aerial.py',
    './_base_/schedules/schedule_aerial_demo.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.seg),
    neck=dict(in_channels=_base_.embed_dims),
    test_cfg=_base_.slide,
)
# save once, at the end
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters))
