# PlainMamba-L3
backbone = dict(type='PlainMamba', arch=dict(base='l3'))
embed_dims = [448, 448, 448, 448]
drop_path = dict(det=0.3, seg=0.3, cls=0.4)
init_cfg = dict(
    type='Pretrained',
    checkpoint='https://huggingface.co/ChenhongyiYang/PlainMamba/resolve/main/l3.pth',
    prefix='backbone.',
)
