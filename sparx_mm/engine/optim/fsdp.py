"""A strategy of mmengine's FlexibleRunner whose sharded runs can be resumed."""

from mmengine._strategy import FSDPStrategy
from mmengine.registry import STRATEGIES
from torch.distributed.fsdp import FullyShardedDataParallel


@STRATEGIES.register_module()
class ResumableFSDPStrategy(FSDPStrategy):
    """mmengine's ``FSDPStrategy``, with which a run can also be resumed.

    mmengine 0.10 calls ``optim_state_dict_to_load`` with its arguments in the order of
    torch 2.0, which is a TypeError in every later one.

    Args:
        **kwargs: Arguments of ``FSDPStrategy``.
    """

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the whole optimizer's state, and keep this process's shard.

        Args:
            state_dict (dict): What ``optim_state_dict`` returned.
        """
        optimizer = self.optim_wrapper.optimizer
        shard = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, state_dict)
        self.optim_wrapper.load_state_dict(shard)
