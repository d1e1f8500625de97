# GroupMamba-S
backbone = dict(type='GroupMamba', arch=dict(base='small'))
embed_dims = [64, 128, 348, 512]
# det and seg are assumed: no detector or segmentor was released
drop_path = dict(det=0.2, seg=0.2, cls=0.05)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/Abdelrahman-shaker/GroupMamba-Small/resolve/main/groupmamba_small_ema.pth',
)
