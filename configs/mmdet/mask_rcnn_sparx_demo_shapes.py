_base_ = [
    '../_base_/backbones/sparx_mamba_demo.py',
    './_base_/models/mask_rcnn_demo.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_demo.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=_base_.drop_path.det),
    neck=dict(in_channels=_base_.embed_dims),
)
