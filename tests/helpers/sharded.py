"""Sharded trainings that tests run in two processes, on gloo and without a GPU."""

import os
import tempfile

import torch
from mmengine.dist import broadcast_object_list
from mmengine.runner import FlexibleRunner
from ranks import backbone, batch, loss
from small_run import Images, Net
from torch import distributed
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from sparx_mm.layers import Layer
from sparx_mm.run.runner import DEFAULT_HOOKS

FULL = StateDictOptions(full_state_dict=True)


def fsdp2() -> dict:
    """Train a backbone under FSDP2: four steps, and two, a checkpoint and two.

    Returns:
        dict: Weights of both, and those of one process with the whole batch.
    """
    whole, _ = _four_steps(backbone(), lambda model: None, batch())
    images = batch().chunk(2)[distributed.get_rank()]
    straight, _ = _four_steps(backbone(), _shard, images)
    resumed, shards = _four_steps(backbone(), _shard, images, stop=True)
    return dict(whole=whole, straight=straight, resumed=resumed, shards=shards)


def _shard(model):
    mesh = init_device_mesh('cpu', (2,))
    for module in model.modules():
        if isinstance(module, Layer):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _four_steps(model, shard, images, stop=False):
    shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step in range(4):
        if stop and step == 2:
            # as a file would hold them
            weights = get_model_state_dict(model, options=FULL)
            moments = get_optimizer_state_dict(model, optimizer, options=FULL)
            held = [weights, moments]
            broadcast_object_list(held)
            model = backbone()
            shard(model)
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
            set_model_state_dict(model, held[0], options=FULL)
            set_optimizer_state_dict(model, optimizer, held[1], options=FULL)
        optimizer.zero_grad()
        loss(model(images)).backward()
        optimizer.step()
    shards = sum(p.to_local().numel() if hasattr(p, 'to_local') else 0 for p in model.parameters())
    return get_model_state_dict(model, options=FULL), shards


def fsdp_strategy() -> dict:
    """Train under mmengine's strategy as it can be resumed.

    Returns:
        dict: Weights after an epoch, after two, after the first and a resumed one, after
        the first and a new run from its weights, and after such a run of a rate of 0.
    """
    os.environ['LOCAL_RANK'] = str(distributed.get_rank())
    folder = [tempfile.mkdtemp()]
    broadcast_object_list(folder)
    first = _train_with_strategy(folder[0], 'run')
    file = f'{folder[0]}/run/epoch_1.pth'
    return dict(
        first=first,
        whole=_train_with_strategy(folder[0], 'whole', epochs=2),
        resumed=_train_with_strategy(folder[0], 'run', epochs=2, resume=True),
        loaded=_train_with_strategy(folder[0], 'loaded', load_from=file),
        still=_train_with_strategy(folder[0], 'still', load_from=file, lr=0.0),
    )


def _train_with_strategy(folder, name, lr=0.01, epochs=1, **kwargs):
    torch.manual_seed(0)
    runner = FlexibleRunner(
        model=Net(norm_eval=True),
        work_dir=f'{folder}/{name}',
        strategy=dict(
            type='ResumableFSDPStrategy',
            model_wrapper=dict(type='MMFullyShardedDataParallel', device_id=torch.device('cpu')),
            # 'full' would hand on copies on the CPU, where torch 2.13's FSDP ends the
            # process (of two linear layers too)
            state_dict_cfg=dict(
                state_dict_type='FULL_STATE_DICT',
                state_dict_config=dict(
                    type='FullStateDictConfig', rank0_only=True, offload_to_cpu=False
                ),
                optim_state_dict_config=dict(
                    type='FullOptimStateDictConfig', rank0_only=True, offload_to_cpu=False
                ),
            ),
        ),
        train_dataloader=dict(
            dataset=Images(),
            batch_size=1,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=lr, weight_decay=0.0)),
        default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook', interval=1), **DEFAULT_HOOKS),
        default_scope='mmengine',
        experiment_name=f'{folder}-{name}-{epochs}-{len(kwargs)}',
        randomness=dict(seed=0),
        launcher='pytorch',
        **kwargs,
    )
    runner.train()
    distributed.barrier()
    file = torch.load(f'{folder}/{name}/epoch_{epochs}.pth', weights_only=False)
    return file['state_dict']
