# GroupMamba-B
backbone = dict(type='GroupMamba', arch=dict(base='base'))
embed_dims = [96, 192, 424, 512]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.3, seg=0.3, cls=0.05)
init_cfg = dict(
    type='Pretrained',
    # named after the other two: it was not seen
    checkpoint='https://huggingface.co/Abdelrahman-shaker/GroupMamba-Base/resolve/main/groupmamba_base_ema.pth',
)
