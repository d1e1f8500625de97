"""The time that operators need at least, and other forms of the same operators."""

import math
from collections import Counter, defaultdict
from dataclasses import replace

from roofline_walk import ELEMENTWISE, LAYOUT


def bound(ops, device):
    """Add up the least time of each kind of operators.

    An operator takes as long as its bytes, its FLOPs or its instructions need, whichever
    is most.

    Args:
        ops (list[Op]): Operators in order.
        device (Device): Device that they run on.

    Returns:
        Counter: Seconds by kind, and under 'launches' those of all launches.
    """
    # bytes used so far, and when each piece of memory was used last
    times, used, last = Counter(), 0, {}
    for op in ops:
        moving = 0.0
        for key, size in op.reads:
            used += size
            moving += device.read_time(size, used - last.get(key, -math.inf))
            last[key] = used
        for key, size in op.writes:
            used += size
            moving += device.write_time(size)
            last[key] = used
        peak = device.matrix if op.matrix else device.float32
        # a multiply-add is an instruction, and 2 FLOPs
        times[op.kind] += max(moving, op.flops / peak, 2 * op.instructions / device.float32)
    times['launches'] = len(ops) * device.launch
    return times


def without_layout_copies(ops):
    """Leave out the layout copies: readers of a copy read what it was made of.

    Args:
        ops (list[Op]): Operators in order.

    Returns:
        list[Op]: The others.
    """
    source, rest = {}, []
    for op in ops:
        if op.kind == LAYOUT:
            source[op.writes[0][0]] = source.get(op.reads[0][0], op.reads[0][0])
        else:
            reads = [(source.get(key, key), size) for key, size in op.reads]
            rest.append(replace(op, reads=reads))
    return rest


def fuse_elementwise(ops):
    """Compute every elementwise operator in the one that makes its last input.

    What an operator hands to one that is fused with it, and to no other, is not written.
    In training that excludes what the backward pass reads.

    Args:
        ops (list[Op]): Operators in order.

    Returns:
        list[Op]: The fused operators.
    """
    groups, maker, root = defaultdict(list), {}, []
    for i, op in enumerate(ops):
        before = [root[maker[key]] for key, _ in op.reads if key in maker]
        # of the last group, so that no two wait for each other
        root.append(max(before) if op.kind == ELEMENTWISE and before else i)
        groups[root[i]].append(i)
        maker |= {key: i for key, _ in op.writes}
    readers = defaultdict(set)
    for i, op in enumerate(ops):
        for key, _ in op.reads:
            readers[key].add(root[i])
    return [_merge([ops[i] for i in group], r, readers) for r, group in sorted(groups.items())]


def _merge(group, root, readers):
    first, *rest = group
    made, reads = {key for key, _ in first.writes}, list(first.reads)
    writes = dict(first.writes)
    for op in rest:
        # registers hold what two of them read
        reads += [use for use in op.reads if use[0] not in made and use not in reads]
        made |= {key for key, _ in op.writes}
        writes |= dict(op.writes)
    kept = [(key, size) for key, size in writes.items() if readers[key] != {root}]
    return replace(first, reads=reads, writes=kept)
