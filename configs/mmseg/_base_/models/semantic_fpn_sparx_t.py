_base_ = ['./semantic_fpn_sparx.py', '../../../_base_/backbones/sparx_mamba_t.py']

model = dict(
    backbone=dict(
        arch={{_base_.arch}}, init_cfg=dict(type='Pretrained', checkpoint={{_base_.checkpoint}})
    ),
    neck=dict(in_channels={{_base_.embed_dims}}),
)
