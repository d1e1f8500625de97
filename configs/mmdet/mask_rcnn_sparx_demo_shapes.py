_base_ = [
    './_base_/models/mask_rcnn_sparx_demo.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_demo.py',
    './_base_/default_runtime.py',
]
