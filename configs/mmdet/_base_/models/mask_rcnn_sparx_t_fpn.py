_base_ = ['./mask_rcnn_sparx_fpn.py', '../../../_base_/backbones/sparx_mamba_t.py']

model = dict(
    backbone=dict(
        arch={{_base_.arch}},
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', checkpoint={{_base_.checkpoint}}),
    ),
    neck=dict(in_channels={{_base_.embed_dims}}),
)
