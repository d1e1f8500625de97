_base_ = ['./mask_rcnn_sparx_swin_fpn.py', '../../../_base_/backbones/sparx_swin_t.py']

model = dict(
    # SparX-Mamba-T's, as none was published
    backbone=dict(arch=_base_.arch, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.embed_dims),
)
