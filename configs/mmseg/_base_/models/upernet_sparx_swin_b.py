_base_ = ['./upernet_sparx.py', '../../../_base_/backbones/sparx_swin_b.py']

model = dict(
    # the drop path rate is SparX-Mamba-B's, as none was published
    backbone=dict(type='SparXSwin', arch=_base_.arch, drop_path_rate=0.5),
    decode_head=dict(in_channels=_base_.embed_dims),
    auxiliary_head=dict(in_channels=_base_.embed_dims[2]),
)
