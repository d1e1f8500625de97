# a small Mask R-CNN on SparX-Mamba for 128 px images of the drawn shapes, on a CPU
_base_ = './mask_rcnn_sparx_mamba_fpn.py'

channels = 64
num_classes = 6
model = dict(
    backbone=dict(
        # a short run learns sooner from weights larger than the usual 0.02
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in', distribution='normal'),
    ),
    neck=dict(
        out_channels=channels,
        norm_cfg=dict(type='GN', num_groups=16),
    ),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        # 16 px on the finest map, half of COCO's, because the images are small
        anchor_generator=dict(scales=[4]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(
            num_convs=2, in_channels=channels, conv_out_channels=channels, num_classes=num_classes
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=100), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=100)),
)
