_base_ = ['./mask_rcnn_sparx_swin_fpn.py', '../../../_base_/backbones/sparx_swin_b.py']

model = dict(
    # SparX-Mamba-B's, as none was published
    backbone=dict(arch=_base_.arch, drop_path_rate=0.45),
    neck=dict(in_channels=_base_.embed_dims),
)
