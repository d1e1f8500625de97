# VSSD-T of ICCV 2025
backbone = dict(type='VSSD', arch=dict(base='tiny-iccv'))
embed_dims = [96, 192, 384, 768]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD_ICCV_weights/resolve/main/vssd_tiny_mesa.pth',
)
