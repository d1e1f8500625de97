# GroupMamba-T
backbone = dict(type='GroupMamba', arch=dict(base='tiny'))
embed_dims = [64, 128, 348, 448]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.2, seg=0.2, cls=0.05)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/Abdelrahman-shaker/GroupMamba-Tiny/resolve/main/groupmamba_tiny_ema.pth#sha256=4c8e15f2',
)
