# No weights of SparX-Swin were released. model.backbone.init_cfg can name
# - a classifier trained by configs/mmpretrain/sparx_swin_t_in1k.py,
#     dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')
# - weights of plain Swin, of which it takes what fits and says what did not,
#     dict(type='PretrainedSwin', checkpoint=FILE)
# Nor was a drop path rate published: the models have that of SparX-Mamba of
# the same size.
arch = 'tiny'
embed_dims = [96, 192, 320, 576]
