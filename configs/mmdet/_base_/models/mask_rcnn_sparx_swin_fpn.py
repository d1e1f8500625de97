# Mask R-CNN on SparX-Swin; what its sizes differ in comes from
# mask_rcnn_sparx_swin_{t,b}_fpn.py
_base_ = './mask_rcnn_sparx_fpn.py'

# the scale of the paper's equation: only the released detectors, which are
# SparX-Mamba's, learn theirs
model = dict(backbone=dict(type='SparXSwin', attn_scale='length'))
