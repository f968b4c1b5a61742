"""What is done to a batch of crops on its way into the network; flips and turns are done while a crop is cut."""

import numpy as np
import torch
from torch import Tensor

from enhance.settings import DataSettings

BETA = 1.2  # of the Beta distribution of a mixture's share, as Retinexformer's training has it


def augment(
    low: Tensor, normal: Tensor, data: DataSettings, seed: int, batch: int, rank: int = 0, ranks: int = 1
) -> tuple[Tensor, Tensor]:
    """Mix pairs, and shift the exposure of the dark side. The same for one seed and batch number, so that a run that
    goes on sees what it would have seen. Of several ranks, each mixes the pairs of its own part of the batch.

    mixup (Zhang et al. 2018, arXiv 1710.09412): with the chance `data.mixup`, every pair of the batch becomes
    share * itself + (1 - share) * another pair of the batch, one share ~ Beta(1.2, 1.2) for all.
    gamma jitter: each dark image becomes low^gamma, log(gamma) normal with standard deviation `data.gamma_jitter`.

    Args:
        low, normal: (N, 3, H, W) float32 in [0, 1].
        batch: number of the batch, counted over the run.
    """
    rng = np.random.default_rng([seed, batch, 2])  # the 2 parts it from the draws of samples and of their order
    chance, share, turn = rng.random(), float(rng.beta(BETA, BETA)), int(rng.integers(1, max(2, len(low))))
    if chance < data.mixup:
        low, normal = (share * side + (1 - share) * side.roll(turn, 0) for side in (low, normal))
    if data.gamma_jitter > 0:
        draws = rng.standard_normal(ranks * len(low))[rank * len(low) : (rank + 1) * len(low)]
        gammas = np.exp(data.gamma_jitter * draws).astype(np.float32)
        # Copied without waiting for the device.
        low = low ** torch.from_numpy(gammas).to(low.device, non_blocking=True).view(-1, 1, 1, 1)
    return low, normal
