backbone = dict(type='SparXMamba', arch=dict(base='small'))
embed_dims = [96, 192, 328, 544]
drop_path = dict(det=0.3, seg=0.4, cls=0.3)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_small_in1k.pth',
)
