# VSSD-S
backbone = dict(type='VSSD', arch=dict(base='small'))
embed_dims = [64, 128, 256, 512]
drop_path = dict(det=0.4, seg=0.4, cls=0.4)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD/resolve/main/vssd_small_best_ema.pth',
)
