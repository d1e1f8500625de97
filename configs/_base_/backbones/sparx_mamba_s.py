arch = 'small'
embed_dims = [96, 192, 328, 544]
checkpoint = 'https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_small_in1k.pth'
