_base_ = [
    './_base_/models/sparx_mamba_s.py',
    './_base_/datasets/imagenet_bs256_crop95.py',
    './_base_/schedules/imagenet_bs2048_300e.py',
    './_base_/default_runtime.py',
]
