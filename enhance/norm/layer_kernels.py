"""Layer norm in Triton kernels: statistics over the channels of each position. `kernels` has all other norms."""

import triton
import triton.language as tl


@triton.jit
def layer_output(
    x, y, mean_of, rstd_of, weight, bias, channels_count, length, stride_n, stride_c, stride_l, blocks_an_image, eps,
    AFFINE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """Layer norm over the channels of each position; keeps 1 / sqrt(variance + eps), and the mean less the first
    channel's value."""
    image, block = tl.program_id(0) // blocks_an_image, tl.program_id(0) % blocks_an_image
    positions = block * BLOCK_L + tl.arange(0, BLOCK_L)
    there = positions < length
    column = image.to(tl.int64) * stride_n + positions[None, :] * stride_l
    shift = tl.load(x + image.to(tl.int64) * stride_n + positions * stride_l, there, 0.0).to(tl.float32)[None, :]
    count = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    mean = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    m2 = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    for start in range(0, channels_count, BLOCK_C):
        channels = start + tl.arange(0, BLOCK_C)
        mask = (channels < channels_count)[:, None] & there[None, :]
        values = tl.load(x + column + channels[:, None] * stride_c, mask, 0.0).to(tl.float32) - shift
        count += mask.to(tl.float32)
        delta = tl.where(mask, values - mean, 0.0)
        mean += delta / tl.maximum(count, 1.0)
        m2 += delta * tl.where(mask, values - mean, 0.0)
    merged = (tl.sum(count * mean, 0) / channels_count)[None, :]
    deviation = mean - merged
    variance = tl.sum(m2 + count * deviation * deviation, 0)[None, :] / channels_count
    rstd = 1.0 / tl.sqrt_rn(variance + eps)
    place = image.to(tl.int64) * length + positions[None, :]
    tl.store(mean_of + place, merged, there[None, :])
    tl.store(rstd_of + place, rstd, there[None, :])
    for start in range(0, channels_count, BLOCK_C):
        channels = start + tl.arange(0, BLOCK_C)
        inside = channels < channels_count
        mask = inside[:, None] & there[None, :]
        places = column + channels[:, None] * stride_c
        z = ((tl.load(x + places, mask, 0.0).to(tl.float32) - shift) - merged) * rstd
        if AFFINE & 1:
            z *= tl.load(weight + channels, inside, 0.0).to(tl.float32)[:, None]
        if AFFINE & 2:
            z += tl.load(bias + channels, inside, 0.0).to(tl.float32)[:, None]
        tl.store(y + places, z, mask)


@triton.jit
def layer_gradient(
    x, grad_y, grad_x, mean_of, rstd_of, weight, partial, channels_count, length, stride_n, stride_c, stride_l,
    blocks_an_image, AFFINE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """As `_gradient`, with the means over the channels; and the sums of dy * xhat and of dy over the positions."""
    image, block = tl.program_id(0) // blocks_an_image, tl.program_id(0) % blocks_an_image
    positions = block * BLOCK_L + tl.arange(0, BLOCK_L)
    there = positions < length
    column = image.to(tl.int64) * stride_n + positions[None, :] * stride_l
    place = image.to(tl.int64) * length + positions
    shift = tl.load(x + image.to(tl.int64) * stride_n + positions * stride_l, there, 0.0).to(tl.float32)[None, :]
    mean, rstd = tl.load(mean_of + place, there, 0.0)[None, :], tl.load(rstd_of + place, there, 0.0)[None, :]
    grad_sum = tl.zeros((BLOCK_L,), tl.float32)
    product_sum = tl.zeros((BLOCK_L,), tl.float32)
    for start in range(0, channels_count, BLOCK_C):
        channels = start + tl.arange(0, BLOCK_C)
        inside = channels < channels_count
        mask = inside[:, None] & there[None, :]
        places = column + channels[:, None] * stride_c
        xhat = tl.where(mask, ((tl.load(x + places, mask, 0.0).to(tl.float32) - shift) - mean) * rstd, 0.0)
        grad = tl.load(grad_y + places, mask, 0.0).to(tl.float32)
        if AFFINE:
            of_block = tl.program_id(0).to(tl.int64) * channels_count + channels
            tl.store(partial + of_block, tl.sum(grad * xhat, 1), inside)
            size = tl.num_programs(0).to(tl.int64) * channels_count
            tl.store(partial + size + of_block, tl.sum(grad, 1), inside)
        if AFFINE & 1:
            grad *= tl.load(weight + channels, inside, 0.0).to(tl.float32)[:, None]
        grad_sum += tl.sum(grad, 0)
        product_sum += tl.sum(grad * xhat, 0)
    grad_mean, product_mean = (grad_sum / channels_count)[None, :], (product_sum / channels_count)[None, :]
    for start in range(0, channels_count, BLOCK_C):
        channels = start + tl.arange(0, BLOCK_C)
        inside = channels < channels_count
        mask = inside[:, None] & there[None, :]
        places = column + channels[:, None] * stride_c
        xhat = ((tl.load(x + places, mask, 0.0).to(tl.float32) - shift) - mean) * rstd
        grad = tl.load(grad_y + places, mask, 0.0).to(tl.float32)
        if AFFINE & 1:
            grad *= tl.load(weight + channels, inside, 0.0).to(tl.float32)[:, None]
        tl.store(grad_x + places, (grad - grad_mean - xhat * product_mean) * rstd, mask)
