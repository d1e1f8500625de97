# No weights of SparX-Swin were released. model.backbone.init_cfg can name
# - a classifier trained by configs/mmpretrain/sparx_swin_t_in1k.py,
#     dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')
# - weights of plain Swin, which set the parameters that fit and log the rest,
#     dict(type='PretrainedSwin', checkpoint=FILE)
backbone = dict(type='SparXSwin', arch=dict(base='tiny'))
embed_dims = [96, 192, 320, 576]
# SparX-Mamba-T's, because none was published for SparX-Swin
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
