arch = 'tiny'
embed_dims = [96, 192, 320, 512]
checkpoint = 'https://github.com/LMMMEng/SparX/releases/download/v1/sparx_mamba_tiny_in1k.pth'
