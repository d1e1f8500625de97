arch = 'base'
embed_dims = [120, 240, 396, 636]
checkpoint = 'https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_base_in1k.pth'
