# CVMH-UNet: weighs all four maps of the encoder and the decoder's by frequencies; a config adds its
# backbone
_base_ = './vmunet.py'

model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    decode_head=dict(fusion=dict(type='MFMS')),
)
