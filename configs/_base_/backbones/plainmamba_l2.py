# PlainMamba-L2
backbone = dict(type='PlainMamba', arch=dict(base='l2'))
embed_dims = [384, 384, 384, 384]
drop_path = dict(det=0.2, seg=0.2, cls=0.2)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/ChenhongyiYang/PlainMamba/resolve/main/l2.pth',
    prefix='backbone.',
)
