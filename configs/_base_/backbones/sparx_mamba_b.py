backbone = dict(type='SparXMamba', arch=dict(base='base'))
embed_dims = [120, 240, 396, 636]
drop_path = dict(det=0.45, seg=0.5, cls=0.5)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_base_in1k.pth',
)
