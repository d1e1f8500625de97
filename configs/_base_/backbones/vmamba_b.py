# VMamba-B, s2l15 in the authors' names
backbone = dict(type='VMamba', arch=dict(base='base'))
embed_dims = [128, 256, 512, 1024]
drop_path = dict(det=0.6, seg=0.6, cls=0.6)
init_cfg = dict(
    type='Pretrained',
    # %23 is the # that the tag of the release begins with
    checkpoint='https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls/vssm_base_0229_ckpt_epoch_237.pth',
)
