# Mask R-CNN as it was released on SparX-Mamba: the attention's scale is learned
_base_ = './mask_rcnn_fpn.py'

model = dict(
    backbone=dict(arch=dict(connections=dict(aggregator=dict(attn_scale='learnable')))),
)
