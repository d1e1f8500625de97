_base_ = [
    './_base_/models/semantic_fpn_sparx_s.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_80k.py',
    './_base_/default_runtime.py',
]
