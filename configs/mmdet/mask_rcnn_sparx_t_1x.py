_base_ = [
    './_base_/models/mask_rcnn_sparx_t_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_1x.py',
    './_base_/default_runtime.py',
]
