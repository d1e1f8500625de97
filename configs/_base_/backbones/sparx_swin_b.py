# weights: see sparx_swin_t.py
backbone = dict(type='SparXSwin', arch=dict(base='base'))
embed_dims = [120, 240, 396, 616]
# SparX-Mamba-B's, because none was published for SparX-Swin
drop_path = dict(det=0.45, seg=0.5, cls=0.5)
