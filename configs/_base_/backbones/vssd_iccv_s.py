# VSSD-S of ICCV 2025
backbone = dict(type='VSSD', arch=dict(base='small-iccv'))
embed_dims = [96, 192, 384, 768]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.4, seg=0.4, cls=0.4)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD_ICCV_weights/resolve/main/vssd_small_mesa.pth',
)
