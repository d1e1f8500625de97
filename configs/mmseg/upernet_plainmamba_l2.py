_base_ = [
    '../_base_/backbones/plainmamba_l2.py',
    './_base_/models/upernet.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        **_base_.backbone,
        # the last layer of each quarter
        out_indices=None,
        drop_path_rate=_base_.drop_path.seg,
        init_cfg=_base_.init_cfg,
    ),
    decode_head=dict(in_channels=_base_.embed_dims),
    # the authors' reads the last map
    auxiliary_head=dict(in_channels=_base_.embed_dims[3], in_index=3),
)
