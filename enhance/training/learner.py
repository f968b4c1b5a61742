"""What learns in a run, and one step of its learning."""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from enhance import ranks
from enhance.cost.memory import less_memory, plan_memory
from enhance.device import out_of_memory_hint, repeating_shapes
from enhance.models.build import build_model
from enhance.models.norm_factory import too_few_values_explained
from enhance.norm.batch import freeze
from enhance.norm.renorm import set_progress
from enhance.settings.schema import Settings
from enhance.training.average import WeightAverage
from enhance.training.batch_norms import freeze_step
from enhance.training.loss import Loss, Objective, compiled, training_loss
from enhance.training.meter import Meter, Skipped
from enhance.training.schedule import build_optimizer, learning_rate

Batches = Iterator[Tensor]  # low and normal, uint8 (2, N, C, H, W), on the CPU


class Learner:
    """A model, its moving average and its optimizer. Each rank has its own; they are the same after every step.

    Args:
        dtype: what the forward pass computes in.
        steps: optimizer steps of the whole run.
        early_steps: those in which the model's early parameters learn; None: all.

    Raises:
        UserError: the weights that `objective.perceptual` needs are missing or damaged; or compile=true does not work.
    """

    def __init__(
        self, settings: Settings, device: torch.device, dtype: torch.dtype, steps: int, early_steps: int | None = None
    ) -> None:
        self.settings = settings
        self.device = device
        self.dtype = dtype
        self.steps = steps
        self._early_steps = steps if early_steps is None else early_steps
        torch.manual_seed(settings.seed)
        self._memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
        model = build_model(settings.model, settings.norm, settings.checkpoint_activations)
        self.model = model.to(device).to(memory_format=self._memory_format)
        self.average = WeightAverage(self.model, settings.average_decay)
        self.freeze_step = freeze_step(settings, self.model, steps)
        self.optimizer = build_optimizer(self.model, settings.optimizer, settings.images_per_step)
        self._schedule = learning_rate(self.optimizer, settings.schedule, steps, self._early_steps)
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        loss = training_loss(self.model, Objective(settings.objective).to(device), device, dtype)
        self.losses = _Losses(self.model, loss, compiled(loss, device) if settings.compile else loss)
        self._parallel = self._distributed()
        self.step = 0  # number of the last one
        self.skipped = Skipped()

    @property
    def frozen(self) -> bool:
        """Whether the last step was trained with frozen batch norms."""
        return self.step > self.freeze_step

    @property
    def overflows(self) -> bool:
        """Whether gradients in fp16 were so large that their scale fell below 1; waits for the device."""
        return self._scaler.is_enabled() and self._scaler.get_scale() < 1

    def freeze(self) -> None:
        """Take the running statistics of the batch norms for constants, in the moving average as well."""
        freeze(self.model)
        freeze(self.average.model)

    def advance(self, batches: Batches, meter: Meter, run_hooks: bool) -> None:
        """Take the next step. Raises `UserError` where the device's memory is too small, or a layer does not accept the
        batch.

        Args:
            run_hooks: hooks on the model are to run, which a compiled model does not: this step is not compiled.
        """
        if self.step >= self._early_steps:
            self._stop_early_parameters()
        set_progress(self.model, self.step / self.steps)
        losses = [self._backward(batches, meter, run_hooks, number) for number in range(self.settings.accumulate)]
        self._update(losses, meter)
        self.step += 1
        # Weights from before the freezing never saw the frozen statistics: their average starts anew.
        self.average.update(self.model, self.step - self.freeze_step if self.frozen else self.step)
        self._schedule.step()

    def _backward(self, batches: Batches, meter: Meter, run_hooks: bool, number: int) -> Tensor:
        """Add the gradient of batch `number` of the step; its loss."""
        start = time.perf_counter()
        images = next(batches)
        meter.waited += time.perf_counter() - start
        images = images.to(self.device, non_blocking=True)  # as it lies: another format would not be page-locked
        low, normal = [side.to(torch.float32, memory_format=self._memory_format).div_(255) for side in images]
        del images  # else they take memory through the step
        # Ranks exchange gradients with the last batch of a step, which holds the sum of all.
        is_last = number == self.settings.accumulate - 1
        exchange = nullcontext() if self._parallel is None or is_last else self._parallel.no_sync()
        with out_of_memory_hint(self.device, self._less_memory), repeating_shapes(), exchange:
            with too_few_values_explained():
                loss, parts = (self._parallel or self.losses)(low, normal, run_hooks)
            self._scaler.scale(loss / self.settings.accumulate).backward()
        meter.add(len(low), loss.detach(), parts)
        return loss.detach()

    def _update(self, losses: list[Tensor], meter: Meter) -> None:
        """Take the optimizer's step, unless a gradient is not finite."""
        self._scaler.unscale_(self.optimizer)
        max_norm = self.settings.optimizer.clip or math.inf
        meter.grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        finite = torch.stack(losses).isfinite().all() if self._scaler.is_enabled() else meter.grad_norm.isfinite()
        skipped = finite.logical_not()
        self.skipped.flags.append(skipped)
        if not self._scaler.is_enabled():  # which sees to it by itself, and has its own reasons to skip a step
            self.optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _less_memory(self) -> str:
        return less_memory(plan_memory(self.settings, self.device, self.dtype))

    def _distributed(self) -> DistributedDataParallel | None:
        return DistributedDataParallel(self.losses) if ranks.world_size() > 1 else None

    def _stop_early_parameters(self) -> None:
        """From now on they stay as they are, and no time goes into their gradients."""
        if learning := [parameter for parameter in self.model.early_parameters() if parameter.requires_grad]:
            for parameter in learning:
                parameter.requires_grad_(False)
            self._parallel = None  # before the next one, for it hooks on the parameters
            self._parallel = self._distributed()  # it waits for the gradients of those that had one when it was made

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs for resuming, besides the moving average."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"skipped": self.skipped.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            if state[name]:  # a scaler that scales nothing, in bf16 and fp32, has none
                part.load_state_dict(state[name])
        self.skipped = Skipped(state.get("skipped", 0))

    def follow_schedule(self) -> str:
        """Take the learning rate that the schedule has at this step, where a restored one is of a run of another
        length; how it goes on, in words."""
        schedule, groups = self._schedule, self.optimizer.param_groups
        for group, peak, factor in zip(groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
            group["lr"] = peak * factor(self.step)
        length = f"schedule.steps={self.steps}, before {self.settings.schedule.before}"
        end = schedule.base_lrs[0] * self.settings.schedule.floor
        course = f"at {groups[0]['lr']:.2g}, and falls to {end:.2g} along the cosine of {self.steps} steps"
        return f"{length}: from step {self.step} the learning rate goes on {course}"

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self._schedule, "scaler": self._scaler}


class _Losses(nn.Module):
    """The forward pass of a step as a module: `DistributedDataParallel` takes nothing else."""

    def __init__(self, model: nn.Module, eager: Loss, fast: Loss) -> None:
        super().__init__()
        self.model = model
        self._eager = eager
        self._fast = fast

    def forward(self, low: Tensor, normal: Tensor, run_hooks: bool) -> tuple[Tensor, dict[str, Tensor]]:
        return (self._eager if run_hooks else self._fast)(low, normal)
