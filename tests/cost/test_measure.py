"""What is measured is what was spent: on tasks whose cost is known."""

import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from enhance.cost.measure import (
    LiveStorages,
    allocated_peak,
    median_milliseconds,
    peak_bytes,
    saved_tensors,
    seconds,
    storage_bytes,
    time_ratio,
)

CPU = torch.device("cpu")
MIB = 2**20


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_with_one_thread_other_work_on_the_machine_costs_nothing(threads: int) -> None:
    taken = seconds(lambda: time.sleep(0.1), CPU)
    assert taken < 0.05 if threads == 1 else taken > 0.09

    def work() -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    assert seconds(work, CPU) > 0.02


def test_tasks_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []

    def task(name: str, milliseconds: float) -> None:
        calls.append(name)
        time.sleep(0.3 if calls.count(name) == 1 else milliseconds / 1000)

    times = median_milliseconds({"fast": lambda: task("fast", 1), "slow": lambda: task("slow", 20)}, 3, warm_up=1)
    assert calls == ["fast", "slow"] * 4
    assert 1 <= times["fast"] < times["slow"] < 300
    assert times["slow"] >= 20


def test_a_single_disturbance_is_not_the_median() -> None:
    calls: list[float] = []

    def task() -> None:
        calls.append(0)
        time.sleep(0.3 if len(calls) == 4 else 0.001)

    assert median_milliseconds({"task": task}, rounds=5)["task"] < 100


def test_the_ratio_is_of_the_first_over_the_second() -> None:
    assert time_ratio(lambda: time.sleep(0.03), lambda: time.sleep(0.003), rounds=3) > 2


def test_what_a_forward_pass_saves() -> None:
    x = torch.rand(8, requires_grad=True)
    weight = nn.Parameter(torch.rand(8))
    outputs: list[Tensor] = []
    saved = saved_tensors(lambda: outputs.append(((x * weight).exp() + 1).sum()))
    addresses = [each.data_ptr() for each in saved]
    assert len(saved) == 3
    assert addresses[:2] in ([x.data_ptr(), weight.data_ptr()], [weight.data_ptr(), x.data_ptr()])
    torch.testing.assert_close(saved[2], (x * weight).exp())
    outputs[0].backward()  # goes on as ever
    torch.testing.assert_close(x.grad, weight * (x * weight).exp())
    with torch.no_grad():
        assert saved_tensors(lambda: (x * weight).exp()) == []


def test_a_storage_counts_once_and_whole() -> None:
    whole, other = torch.zeros(100), torch.zeros(3, dtype=torch.float16)
    sizes = storage_bytes([whole, whole[10:20], whole.view(10, 10).T, other])
    assert sorted(sizes.values()) == [6, 400]


def one_after_the_other() -> None:
    for _ in range(3):
        torch.zeros(1000)


def all_together() -> list[Tensor]:
    return [torch.zeros(1000) for _ in range(3)]


def in_place_and_views() -> Tensor:
    return torch.zeros(1000).add_(1).view(10, 100)[2:].T


@pytest.mark.parametrize(
    ("task", "peak"), [(one_after_the_other, 4000), (all_together, 12000), (in_place_and_views, 4000)]
)
def test_the_peak_is_of_what_lives_at_once(task, peak: int) -> None:
    assert peak_bytes(task) == peak


def test_the_peak_of_a_backward_pass_is_seen() -> None:
    x = torch.rand(1000, requires_grad=True)

    def task() -> None:
        x.exp().exp().sum().backward()

    assert peak_bytes(task) >= 3 * 4000  # what both save, and a gradient


def test_live_storages_know_what_they_are_for() -> None:
    with LiveStorages() as live:
        live.label = "kept"
        kept = torch.zeros(100)
        live.label = "passing"
        torch.zeros(500)
        live.label = "later"
        later = torch.zeros(200)
    assert (live.now, live.peak) == (1200, 2400)
    assert {storage.label: storage.size for storage in live.at_peak} == {"kept": 400, "passing": 2000}
    assert sorted(storage.label for storage in live.alive.values()) == ["kept", "later"]
    del kept, later
    assert (live.now, live.alive) == (0, {})  # also of what is freed afterwards


def test_what_an_operation_needs_within_itself_counts_while_it_runs() -> None:
    def workspace(function: object, _: object) -> int:
        return 5000 if function is torch.ops.aten.mm.default else 0

    with LiveStorages(workspace) as live:
        square = torch.zeros(10, 10)
        square @ square
        assert live.now == 400
    assert live.peak == 400 + 400 + 5000


def test_allocations_are_counted_beyond_what_was_there() -> None:
    before = torch.zeros(8 * MIB, dtype=torch.uint8)

    def task() -> None:
        first = torch.ones(2 * MIB, dtype=torch.uint8)
        second = first + 1
        del first
        torch.ones(MIB, dtype=torch.uint8)
        del second

    assert 4 * MIB <= allocated_peak(task, CPU) < 4.1 * MIB
    assert before.eq(0).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_allocations_on_a_device_are_counted_beyond_what_was_there() -> None:
    device = torch.device("cuda")
    before = torch.zeros(8 * MIB, dtype=torch.uint8, device=device)
    peak = allocated_peak(lambda: torch.ones(4 * MIB, dtype=torch.uint8, device=device), device)
    assert 4 * MIB <= peak < 4.1 * MIB
    assert before.eq(0).all()
