backbone = dict(type='SparXMamba', arch=dict(base='tiny'))
embed_dims = [96, 192, 320, 512]
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_tiny_in1k.pth',
)
