# VMamba-T, s1l8 in the authors' names
backbone = dict(type='VMamba', arch=dict(base='tiny'))
embed_dims = [96, 192, 384, 768]
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    # %23 is the # that the tag of the release begins with
    checkpoint='https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls/vssm1_tiny_0230s_ckpt_epoch_264.pth',
)
