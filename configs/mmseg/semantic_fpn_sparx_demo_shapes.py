_base_ = [
    './_base_/models/semantic_fpn_sparx_demo.py',
    './_base_/datasets/shapes_semantic.py',
    './_base_/schedules/schedule_demo.py',
    './_base_/default_runtime.py',
]

# once, at the end
default_hooks = dict(checkpoint=dict(interval={{_base_.max_iters}}))
