_base_ = ['./sparx_swin.py', '../../../_base_/backbones/sparx_swin_b.py']

model = dict(
    # none was published: SparX-Mamba's of this size
    backbone=dict(arch={{_base_.arch}}, drop_path_rate=0.5),
    head=dict(in_channels=_base_.embed_dims[-1]),
)
