# VSSD-M
backbone = dict(type='VSSD', arch=dict(base='micro'))
embed_dims = [48, 96, 192, 384]
# seg is assumed: weights were released, and no config
drop_path = dict(det=0.1, seg=0.1, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/YuhengSSS/VSSD/resolve/main/vssd_micro_best.pth#sha256=13ce5860',
)
