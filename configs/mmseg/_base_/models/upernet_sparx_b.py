_base_ = ['./upernet_sparx.py', '../../../_base_/backbones/sparx_mamba_b.py']

model = dict(
    backbone=dict(
        arch={{_base_.arch}},
        drop_path_rate=0.5,
        init_cfg=dict(type='Pretrained', checkpoint={{_base_.checkpoint}}),
    ),
    decode_head=dict(in_channels={{_base_.embed_dims}}),
    auxiliary_head=dict(in_channels=_base_.embed_dims[2]),
)
