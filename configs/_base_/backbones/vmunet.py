# VM-UNet's encoder. Its authors start it and the decoder, whose init_cfg is the same, from VMamba-S of
# the first release
backbone = dict(type='VMUNetEncoder', arch=dict(base='tiny'))
embed_dims = [96, 192, 384, 768]
drop_path = dict(seg=0.2)
init_cfg = dict(
    type='PretrainedVMamba',
    # %23 is the # that the tag of the release begins with
    checkpoint='https://github.com/MzeroMiko/VMamba/releases/download/%23v0cls/vssmsmall_dp03_ckpt_epoch_238.pth',
)
