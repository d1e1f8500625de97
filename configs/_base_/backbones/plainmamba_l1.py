# PlainMamba-L1
backbone = dict(type='PlainMamba', arch=dict(base='l1'))
embed_dims = [192, 192, 192, 192]
drop_path = dict(det=0.1, seg=0.1, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/ChenhongyiYang/PlainMamba/resolve/main/l1.pth',
    prefix='backbone.',
)
