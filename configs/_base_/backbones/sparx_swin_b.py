# weights and drop path: see sparx_swin_t.py
arch = 'base'
embed_dims = [120, 240, 396, 616]
