from __future__ import annotations

import pytest

from pipeline.model.task_size import not_on_fargate


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [(256, 512), (256, 2048), (512, 3072), (1024, 8192), (4096, 30720), (8192, 20480), (16384, 122880)],
)
def test_fargate_has_tasks_of_this_size(cpu: int, memory: int) -> None:
    assert not_on_fargate(cpu, memory) == ""


@pytest.mark.parametrize(
    ("cpu", "memory", "why"),
    [
        (128, 512, "it has tasks of 256, 512, 1024, 2048, 4096, 8192, 16384 CPU units, not of 128"),
        (256, 768, "with 256 CPU units it has tasks of 512, 1024, 2048 MiB, not of 768"),
        (1024, 1024, "with 1024 CPU units it has tasks of 2048 to 8192 MiB in steps of 1024, not of 1024"),
        (
            8192,
            17408,
            "with 8192 CPU units it has tasks of 16384 to 61440 MiB in steps of 4096, not of 17408",
        ),
    ],
)
def test_it_says_which_sizes_there_are(cpu: int, memory: int, why: str) -> None:
    assert not_on_fargate(cpu, memory) == why
