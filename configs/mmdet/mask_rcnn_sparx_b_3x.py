_base_ = [
    './_base_/models/mask_rcnn_sparx_b_fpn.py',
    './_base_/datasets/coco_instance_ms_crop.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/default_runtime.py',
]
