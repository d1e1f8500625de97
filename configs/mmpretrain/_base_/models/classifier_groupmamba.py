# the released head: pooling, one more block, a norm, and two linear layers, one of which a teacher
# trains. The teacher is DeiT's RegNetY-16GF, which timm downloads when training begins; give a file by
#   model.teacher.pretrained=False model.teacher.checkpoint_path=FILE
# and train without a teacher by
#   model.teacher=None
_base_ = './classifier.py'

model = dict(
    type='DistilledClassifier',
    # the neck norms the last map
    backbone=dict(arch=dict(out_norm=[dict(), dict(), dict(), None])),
    neck=dict(_delete_=True, type='ClassBlock'),
    head=dict(type='DistillationClsHead', alpha=0.5),
    teacher=dict(type='TimmClassifier', model_name='regnety_160.deit_in1k', pretrained=True),
)
