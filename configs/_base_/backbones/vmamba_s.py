# VMamba-S, s2l15 in the authors' names
backbone = dict(type='VMamba', arch=dict(base='small'))
embed_dims = [96, 192, 384, 768]
drop_path = dict(det=0.3, seg=0.3, cls=0.3)
init_cfg = dict(
    type='Pretrained',
    # %23 is the # that the tag of the release begins with
    checkpoint='https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls/vssm_small_0229_ckpt_epoch_222.pth#sha256=c540366e',
)
