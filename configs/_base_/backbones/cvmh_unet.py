# CVMH-UNet's encoder: VM-UNet's with CVSSBlocks. The paper says nothing of pretraining, so it starts as
# VM-UNet does
_base_ = './vmunet.py'

backbone = dict(arch=dict(base='tiny-cvss'))
