# VSSD-B
backbone = dict(type='VSSD', arch=dict(base='base'))
embed_dims = [96, 192, 384, 768]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.6, seg=0.6, cls=0.6)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD/resolve/main/vssd_base_best_ema.pth#sha256=c76d43e8',
)
