"""A walk through a network that notes what each of its operators reads, writes and computes.

On the meta device nothing is computed, so that any size takes a second; on a CPU the same
walk also takes the time of each operator.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import prod
from unittest.mock import patch

import torch
from torch._subclasses import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sparx_mm.kernels import dispatch

aten = torch.ops.aten

# instructions of the Triton scans for an element and direction, in code compiled for
# compute capability 9.0: 54 to 73 forward, by the rank of the step sizes
INSTRUCTIONS = {False: 64, True: 121}
PRODUCTS, GROUPED = '1x1 convolutions, linear layers', 'grouped 1x1 convolutions'
DEPTHWISE, DENSE = 'depthwise convolutions', 'dense convolutions'
SCAN, LAYOUT, NORMS = 'scan', 'layout copies', 'norms'
ATTENTION, ELEMENTWISE, SUMS = 'attention products, softmax', 'elementwise', 'sums'
COPIES, OTHERS = 'copies', 'others'
KINDS = (PRODUCTS, GROUPED, DEPTHWISE, DENSE, SCAN, LAYOUT)
KINDS += (NORMS, ATTENTION, ELEMENTWISE, SUMS, COPIES, OTHERS)
# operators of ours, beside the scans, that the layers choose with Triton on a GPU
_OPERATORS = ('group_norm', 'layer_norm', 'depthwise_conv')
# parts of operators' names; torch calls copies pointwise too
_NAMES = {
    'norm': NORMS,
    'softmax': ATTENTION,
    'bmm': ATTENTION,
    'mm': PRODUCTS,
    'sum': SUMS,
    'mean': SUMS,
    'depthwise': DEPTHWISE,
    'ss2d': SCAN,
    'scan': SCAN,
    'clone': COPIES,
    'copy_': COPIES,
}


@dataclass
class Op:
    """Operator, or one kernel of several that it takes.

    Args:
        kind (str): One of ``KINDS``.
        reads, writes (list[tuple]): Key of a piece of memory and bytes, for each time that it
            is read or written.
        flops (int): Floating-point operations, a multiply-add as 2. Default: 0.
        matrix (bool): Multiply matrices in 16 bits, on tensor cores. Default: False.
        instructions (int): Instructions, where they are counted. Default: 0.
        seconds (float): Time taken. Default: 0.
    """

    kind: str
    reads: list
    writes: list
    flops: int = 0
    matrix: bool = False
    instructions: int = 0
    seconds: float = 0.0


class CudaAutocast(TorchFunctionMode):
    """Cast as autocast does on a GPU, on the meta device, which has no autocast.

    Args:
        dtype (torch.dtype): Dtype of products. Nothing is cast if it has more than 16 bits.
    """

    _PRODUCTS = ('conv2d', 'linear', 'matmul')
    _FLOAT32 = ('layer_norm', 'group_norm', 'softmax')

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, target = getattr(func, '__name__', ''), None
        if isinstance(func, torch._ops.OpOverloadPacket):
            # an operator of ours, which autocast leaves alone
            return func(*args, **(kwargs or {}))
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        # two maps in float32 are the aggregators' attention, which leaves autocast
        if name == 'matmul' and all(t.dtype == torch.float32 for t in tensors):
            target = None
        elif name in self._PRODUCTS:
            target = self.dtype
        elif name in self._FLOAT32:
            target = torch.float32
        if target is not None and self.dtype.itemsize == 2:
            args = [a.to(target) if isinstance(a, torch.Tensor) else a for a in args]
        return func(*args, **(kwargs or {}))


class Walk(TorchDispatchMode):
    """Context that notes the operators run within it, in ``ops``.

    Args:
        processors (int, optional): Multiprocessors of a GPU, among which the scan is shared
            out. None: a CPU.
        ideal (bool): Count the scan as if it read and wrote each tensor once, in the layout
            that it has, as it does on a CPU. Default: False.
        clock (Callable): What is read before and after each operator, in seconds.
            Default: `time.perf_counter`.
    """

    def __init__(
        self,
        processors: int | None,
        ideal: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self.processors, self.ideal, self.clock = processors, ideal, clock
        self.ops, self._alive, self._unwritten, self._launched = [], [], set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, packet, start = kwargs or {}, func._overloadpacket, self.clock()
        if self.processors and packet.__name__.removesuffix('_backward') in _OPERATORS:
            return self._note_kernels(packet, args)
        out = func(*args, **kwargs)
        seconds = self.clock() - start
        inputs = _tensors((*args, *kwargs.values()))
        if packet in (aten.convolution, aten.convolution_backward):
            out = _keep_layout(out, inputs)
        outputs = _tensors((out,))
        # shapes alone are kept, so that no two pieces of memory have one key
        self._alive += [t for t in outputs if t.is_meta or isinstance(t, FakeTensor)]
        known = {_key(t) for t in inputs}
        is_view = not func._schema.is_mutable and all(_key(t) in known for t in outputs)
        if 'empty' in func.name():
            self._unwritten |= set(map(_key, outputs))
            return out
        # a slice that is changed in place is copied to itself, without a kernel
        if is_view or (packet is aten.copy_ and _key(args[0]) == _key(args[1])):
            return out
        kind = _kind(func, args, inputs, outputs)
        op = Op(kind, list(map(_use, inputs)), list(map(_use, outputs)), seconds=seconds)
        op.matrix = bool(inputs) and inputs[0].element_size() == 2 and kind != DEPTHWISE
        if packet in flop_registry:
            op.flops = flop_registry[packet](*args, **kwargs, out_val=out)
        self.ops.append(op)
        if kind == SCAN:
            self._note_scan(op, packet.__name__, inputs)
        elif packet is aten.convolution_backward:
            # each gradient is made by itself; torch's formula is wrong for groups and strides
            op.reads += op.reads[:1] * (sum(args[10]) - 1)
            op.flops = 2 * args[0].numel() * prod(args[2].shape[1:]) * sum(args[10][:2])
        elif packet is aten.convolution and self.processors and args[2] is not None:
            # torch adds the bias after cuDNN's convolution
            self.ops.append(Op(ELEMENTWISE, [*op.writes, _use(args[2])], list(op.writes)))
        elif packet is aten.copy_:
            del op.reads[0]
        elif kind == NORMS and 'layer_norm' not in func.name() and func.namespace == 'aten':
            # once for the statistics, and again
            op.reads += [_use(t) for t in inputs if t.dim() > 2]
        return out

    def _note_kernels(self, packet, args):
        """Take the steps of an operator's Triton backend, and note each launch of a kernel."""
        # imported lazily: a CPU is counted without Triton
        from triton import KernelInterface

        operator, backward, _ = packet.__name__.partition('_backward')
        backend = import_module(f'sparx_mm.kernels.{operator}.triton')
        self._unwritten, self._launched, first = set(), [], len(self.ops)
        with self, patch.object(KernelInterface, '__getitem__', lambda *_: self._note_launch):
            out = (backend.backward if backward else backend.forward)(*args)
        for op in self.ops[first:]:
            op.kind = DEPTHWISE if operator == 'depthwise_conv' else NORMS
        if packet in flop_registry:
            # the last two make the gradients; one before them makes the activation's input again
            kernels = self._launched[-2:]
            for op in kernels:
                op.flops = flop_registry[packet](*args, out_val=out) // len(kernels)
        return out

    def _note_launch(self, *args, **constants):
        uses = dict(map(_use, _tensors(args)))
        # a kernel fills what is empty, and reads the rest
        writes = [use for use in uses.items() if use[0] in self._unwritten]
        reads = [use for use in uses.items() if use not in writes]
        self._unwritten -= uses.keys()
        self._launched.append(Op(OTHERS, reads, writes))
        self.ops.append(self._launched[-1])

    def _note_scan(self, op, name, inputs):
        backward, in_four = 'backward' in name, 'ss2d' in name
        x, *_, A, _ = inputs[2 * backward :]
        op.matrix = False
        op.instructions = INSTRUCTIONS[backward] * x.numel() * (4 if in_four else 1)
        # a peer's scan, of sequences, is charged for nothing else
        if not self.processors or not in_four:
            return
        # imported lazily: a CPU is counted without Triton
        from sparx_mm.kernels._triton.launch import make_plan, states_shape

        batch, channels, height, width = x.shape
        sweeps, length, widest = A.shape[0] * A.shape[2], height * width, 64 if backward else 128
        # of the Triton kernels: the shape on the meta device is another backend's
        states = op.reads if backward else op.writes
        states[1] = states[1][0], 4 * prod(states_shape(batch, length, A))
        if self.ideal:
            return
        plan = make_plan(batch, length, channels, 1, len(A), self.processors, widest)
        partial, whole, result = object(), 4 * x.numel(), op.writes[0]
        before, after, maps = [], [], [0, 2] if backward else [0]
        for i in maps:
            if not _is_channels_last(inputs[i]):
                copied = object(), op.reads[i][1]
                before.append(Op(LAYOUT, [op.reads[i]], [copied]))
                op.reads[i] = copied
        if not _is_channels_last(x):
            op.writes[0] = object(), result[1]
            after.append(Op(LAYOUT, [op.writes[0]], [result]))
        # every direction and state reads the maps, and adds to the sum of those before
        op.reads += [op.reads[i] for i in maps] * (sweeps - 1)
        if plan.chunk < length:
            # the last states of the chunks
            before.append(Op(SCAN, list(op.reads), [], instructions=op.instructions // 2))
        op.reads.append((partial, whole * (sweeps - plan.splits)))
        if backward or plan.splits > 1:
            after.insert(0, Op(SCAN, [(partial, whole * plan.splits)], op.writes[:1]))
            op.writes[0] = partial, whole * sweeps
        else:
            op.writes.append((partial, whole * (sweeps - 1)))
        if backward:
            dt_B_C, weight = inputs[3:5]
            narrow = dt_B_C.dtype == torch.bfloat16
            dz = object(), len(A) * x.numel() * (2 if narrow else 4)
            op.writes.append(dz)
            flops = 2 * len(A) * x.numel() * weight.shape[2]
            after += [Op(SCAN, [dz, _use(t)], [], flops, narrow) for t in (dt_B_C, weight)]
        self.ops[-1:] = [*before, op, *after]


def _keep_layout(out, inputs):
    """Lay out a convolution's map as cuDNN does; torch's meta device forgets channels-last."""
    # by strides, because a slice of channels counts too; a map of one channel, like many
    # weights, has both layouts
    are = [t.dim() == 4 and t.stride(1) == 1 and not t.is_contiguous() for t in inputs[:2]]
    if inputs[0].device.type != 'meta' or not any(are):
        return out
    if isinstance(out, torch.Tensor):
        return out.contiguous(memory_format=torch.channels_last)
    return tuple(t if t is None else _keep_layout(t, inputs) for t in out[:1]) + out[1:]


def _is_channels_last(t):
    return t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)


def _kind(func, args, inputs, outputs):
    name = func._overloadpacket.__name__
    if name.startswith('convolution'):
        backward = name.endswith('backward')
        weight, groups = args[1 + backward], args[8 + backward]
        if tuple(weight.shape[2:]) == (1, 1):
            return PRODUCTS if groups == 1 else GROUPED
        return DEPTHWISE if groups == len(weight) > 1 else DENSE
    # outside training a batch norm scales and shifts
    if name == 'native_batch_norm' and not args[5]:
        return ELEMENTWISE
    for part, kind in _NAMES.items():
        if part in name:
            return kind
    is_cast = name == '_to_copy' and inputs[0].dtype != outputs[0].dtype
    if is_cast or torch.Tag.pointwise in func.tags:
        return ELEMENTWISE
    return COPIES if func.namespace == 'aten' else OTHERS


def _tensors(values):
    flat = (v if isinstance(v, (list, tuple)) else (v,) for v in values)
    return [t for branch in flat for t in branch if isinstance(t, torch.Tensor)]


def _key(t):
    return t.untyped_storage()._cdata


def _use(t):
    """Return the key of a tensor's memory, and bytes; those that it repeats count once."""
    return _key(t), t.element_size() * prod(n for n, s in zip(t.shape, t.stride()) if s)


@contextmanager
def choose_kernels(ours):
    """Let the layers choose our GPU kernels on any device within this context, or torch's.

    Args:
        ours (bool): Choose ours.
    """
    with patch.object(dispatch, '_uses_triton', lambda device, dtype: ours):
        yield


def walk(step, dtype, processors, ideal=False, clock=time.perf_counter, **kwargs):
    """Walk through a step of a network.

    Args:
        step (Step): Step on the meta device, or on a CPU for its times.
        dtype (torch.dtype): Dtype of autocast if it has 16 bits.
        processors (int, optional): See `Walk`.
        ideal (bool): See `Walk`. Default: False.
        clock (Callable): See `Walk`. Default: `time.perf_counter`.
        **kwargs: Arguments of the step, such as the form of the scan.

    Returns:
        list[Op]: The operators in order.
    """
    with CudaAutocast(dtype), Walk(processors, ideal, clock) as noted:
        step(**kwargs)
    return noted.ops
