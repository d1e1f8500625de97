_base_ = ['./semantic_fpn_sparx.py', '../../../_base_/backbones/sparx_swin_t.py']

model = dict(
    backbone=dict(type='SparXSwin', arch=_base_.arch), neck=dict(in_channels=_base_.embed_dims)
)
