_base_ = ['./sparx_mamba.py', '../../../_base_/backbones/sparx_mamba_b.py']

model = dict(
    backbone=dict(arch={{_base_.arch}}, drop_path_rate=0.5),
    neck=dict(in_channels=_base_.embed_dims[-1]),
    head=dict(in_channels=_base_.embed_dims[-1]),
)
