"""Which sizes of tasks Fargate has: so much memory to so much CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_MEMORY: Mapping[int, Sequence[int]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}
"""MiB by CPU units, for Linux (Amazon ECS Developer Guide, "Task CPU and memory")."""


def not_on_fargate(cpu: int, memory: int) -> str:
    """Why there is no task of `cpu` units and `memory` MiB, in words; empty where there is one."""
    sizes = _MEMORY.get(cpu)
    if sizes is None:
        return f"it has tasks of {', '.join(map(str, _MEMORY))} CPU units, not of {cpu}"
    if memory in sizes:
        return ""
    between = f"{sizes[0]} to {sizes[-1]} MiB in steps of {sizes[1] - sizes[0]}"
    listed = between if isinstance(sizes, range) else f"{', '.join(map(str, sizes))} MiB"
    return f"with {cpu} CPU units it has tasks of {listed}, not of {memory}"
