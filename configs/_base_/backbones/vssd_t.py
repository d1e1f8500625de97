# VSSD-T
backbone = dict(type='VSSD', arch=dict(base='tiny'))
embed_dims = [64, 128, 256, 512]
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD/resolve/main/vssd_tiny_best_ema.pth',
)
