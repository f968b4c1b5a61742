"""The operation of `functional` in Triton kernels (Tillet, Kung and Cox 2019), for CUDA devices.

A norm takes three launches forward and three backward, and no copy of its input:

    moments of parts of the channels -> statistics -> output         reads x twice, writes y
    sums over parts of the gradient -> coefficients -> gradient      reads x and dy twice, writes dx

A statistic spans `images` images and `group` channels: all images and one channel for batch norm, a few images for
ghost batch norm, one image and one or several channels for instance and group norm. Values are float32, whatever the
tensors' type, and each channel is shifted by a value of its own before anything is summed: E[x^2] - E[x]^2 would lose
every digit where the mean is far from 0. Layer norm, whose statistics span the channels of one position, has two
kernels of its own.

`TRITON_INTERPRET=1` runs all of them on CPU tensors.
"""

import triton
import triton.language as tl


@triton.jit
def _channels(group, channels_count, block, BLOCK_C: tl.constexpr, GROUPED: tl.constexpr):
    """The channels of a program: those of a group, or a block of channels each of which is one."""
    lanes = tl.arange(0, BLOCK_C)
    if GROUPED:
        return block * group + lanes, lanes < group
    channels = block * BLOCK_C + lanes
    return channels, channels < channels_count


@triton.jit
def _first(x, image, channels, images, group, stride_n, stride_c):
    """Where the first value lies of the statistic that an image and its channels belong to."""
    return x + (image // images * images).to(tl.int64) * stride_n + channels // group * group * stride_c


@triton.jit
def _parts(start, last, channels, inside, channels_count, length, part_length, parts_an_image, BLOCK_P: tl.constexpr):
    """Places of partial results, which of them are there, and how many positions each is of."""
    numbers = start + tl.arange(0, BLOCK_P)
    places = numbers[:, None].to(tl.int64) * channels_count + channels[None, :]
    counts = tl.minimum(part_length, length - numbers % parts_an_image * part_length)
    counts = tl.where(numbers < last, counts, 0).to(tl.float32)
    return places, (numbers < last)[:, None] & inside[None, :], counts[:, None]


@triton.jit
def moments(
    x, partial, channels_count, length, stride_n, stride_c, stride_l, images, group, part_length, parts_an_image,
    BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """Mean, less the shift, and sum of squared deviations of each channel over a part of one image."""
    part = tl.program_id(0)
    image, start = part // parts_an_image, part % parts_an_image * part_length
    channels, inside = _channels(group, channels_count, tl.program_id(1), BLOCK_C, False)
    shift = tl.load(_first(x, image, channels, images, group, stride_n, stride_c), inside, 0.0).to(tl.float32)
    row = x + image.to(tl.int64) * stride_n + channels[:, None] * stride_c
    # Each place of the tile has moments of its own (Welford 1962), which are merged at the end.
    count = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    mean = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    m2 = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    for offset in range(start, tl.minimum(start + part_length, length), BLOCK_L):
        positions = offset + tl.arange(0, BLOCK_L)
        mask = inside[:, None] & (positions < length)[None, :]
        values = tl.load(row + positions[None, :] * stride_l, mask, 0.0).to(tl.float32) - shift[:, None]
        count += mask.to(tl.float32)
        delta = tl.where(mask, values - mean, 0.0)
        mean += delta / tl.maximum(count, 1.0)
        m2 += delta * tl.where(mask, values - mean, 0.0)
    total = tl.maximum(tl.sum(count, 1), 1.0)
    merged = tl.sum(count * mean, 1) / total
    deviation = mean - merged[:, None]
    place = part.to(tl.int64) * channels_count + channels
    tl.store(partial + place, merged, inside)
    tl.store(
        partial + tl.num_programs(0) * channels_count + place, tl.sum(m2 + count * deviation * deviation, 1), inside
    )


@triton.jit
def statistics(
    x, partial, statistics, channels_count, length, stride_n, stride_c, images, group, part_length, parts_an_image,
    parts, eps, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, GROUPED: tl.constexpr,
):  # fmt: skip
    """From the moments of parts those of each statistic (Chan et al. 1983, eq. 2.1), for each of its channels: mean,
    what rounding left of it, 1 / sqrt(variance + eps), and variance."""
    segment = tl.program_id(0)
    channels, inside = _channels(group, channels_count, tl.program_id(1), BLOCK_C, GROUPED)
    first, last = segment * images * parts_an_image, tl.minimum((segment + 1) * images * parts_an_image, parts)
    weighted = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(first, last, BLOCK_P):
        places, mask, counts = _parts(
            start, last, channels, inside, channels_count, length, part_length, parts_an_image, BLOCK_P
        )
        weighted += tl.sum(counts * tl.load(partial + places, mask, 0.0), 0)
    count = ((last - first) // parts_an_image).to(tl.float32) * length
    mean = weighted / count
    if GROUPED:
        mean = tl.zeros((BLOCK_C,), tl.float32) + tl.sum(tl.where(inside, mean, 0.0)) / group
        count = count * group
    m2 = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(first, last, BLOCK_P):
        places, mask, counts = _parts(
            start, last, channels, inside, channels_count, length, part_length, parts_an_image, BLOCK_P
        )
        deviation = tl.load(partial + places, mask, 0.0) - mean[None, :]
        within = tl.load(partial + parts * channels_count + places, mask, 0.0)
        m2 += tl.sum(tl.where(mask, within + counts * deviation * deviation, 0.0), 0)
    if GROUPED:
        m2 = tl.zeros((BLOCK_C,), tl.float32) + tl.sum(m2)
    variance = m2 / count
    shift = tl.load(_first(x, segment * images, channels, images, group, stride_n, stride_c), inside, 0.0)
    shift = shift.to(tl.float32)
    rounded = shift + mean
    place = statistics + segment * channels_count + channels
    size = tl.num_programs(0) * channels_count
    tl.store(place, rounded, inside)
    tl.store(place + size, (shift - rounded) + mean, inside)
    tl.store(place + 2 * size, 1.0 / tl.sqrt_rn(variance + eps), inside)
    tl.store(place + 3 * size, variance, inside)


@triton.jit
def _vectors(statistics, weight, bias, row, size, channels, inside, AFFINE: tl.constexpr):
    """Mean, residual, 1 / sqrt(variance + eps), weight and bias of the channels, (BLOCK_C, 1) each."""
    mean = tl.load(statistics + row + channels, inside, 0.0)
    residual = tl.load(statistics + size + row + channels, inside, 0.0)
    rstd = tl.load(statistics + 2 * size + row + channels, inside, 0.0)
    gamma, beta = tl.full(mean.shape, 1.0, tl.float32), tl.full(mean.shape, 0.0, tl.float32)
    if AFFINE & 1:
        gamma = tl.load(weight + channels, inside, 1.0).to(tl.float32)
    if AFFINE & 2:
        beta = tl.load(bias + channels, inside, 0.0).to(tl.float32)
    return mean[:, None], residual[:, None], rstd[:, None], gamma[:, None], beta[:, None]


@triton.jit
def _activated(z, slope, ACTIVATION: tl.constexpr):
    if ACTIVATION == "leaky_relu":
        z = tl.where(z > 0, z, z * slope)
    if ACTIVATION == "elu":
        e = tl.exp(z)  # e^z - 1 without its cancellation near 0, after Kahan
        below = tl.where(e == 1, z, tl.where(e - 1 == -1, -1.0, (e - 1) * z / tl.log(e)))
        z = tl.where(z > 0, z, below)
    return z


@triton.jit
def _before_activation(y, slope, ACTIVATION: tl.constexpr):
    """The inverse of `_activated`."""
    if ACTIVATION == "leaky_relu":
        y = tl.where(y > 0, y, y / slope)
    if ACTIVATION == "elu":
        u = 1 + y  # log(1 + y), in the same way
        y = tl.where(y > 0, y, tl.where(u == 1, y, tl.log(u) * y / (u - 1)))
    return y


@triton.jit
def _track(
    statistics, running_mean, running_var, tracked, channels_count, size, count, momentum,
    AVERAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Move the running statistics of all channels to those of the batch, unless one of these is not finite."""
    bad = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, channels_count, BLOCK):
        channels = start + tl.arange(0, BLOCK)
        inside = channels < channels_count
        mean = tl.load(statistics + channels, inside, 0.0) + tl.load(statistics + size + channels, inside, 0.0)
        variance = tl.load(statistics + 3 * size + channels, inside, 0.0)
        bad += (mean - mean + (variance - variance) != 0).to(tl.int32)  # infinity - infinity is not a number
    if tl.sum(bad) == 0:
        batches = tl.atomic_add(tracked, 1) + 1  # once, and known to all threads
        share = momentum
        if AVERAGE:
            share = 1.0 / batches.to(tl.float32)
        for start in range(0, channels_count, BLOCK):
            channels = start + tl.arange(0, BLOCK)
            inside = channels < channels_count
            mean = tl.load(statistics + channels, inside, 0.0) + tl.load(statistics + size + channels, inside, 0.0)
            variance = tl.load(statistics + 3 * size + channels, inside, 0.0) * (count / (count - 1))
            old_mean = tl.load(running_mean + channels, inside, 0.0).to(tl.float32)
            old_var = tl.load(running_var + channels, inside, 0.0).to(tl.float32)
            tl.store(running_mean + channels, old_mean + share * (mean - old_mean), inside)
            tl.store(running_var + channels, old_var + share * (variance - old_var), inside)


@triton.jit
def output(
    x, y, statistics, weight, bias, running_mean, running_var, tracked, channels_count, length, stride_n, stride_c,
    stride_l, images, part_length, parts_an_image, size, slope, count, momentum,
    AFFINE: tl.constexpr, ACTIVATION: tl.constexpr, TRACK: tl.constexpr, AVERAGE: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(0)
    image, start = part // parts_an_image, part % parts_an_image * part_length
    channels, inside = _channels(1, channels_count, tl.program_id(1), BLOCK_C, False)
    mean, residual, rstd, gamma, beta = _vectors(
        statistics, weight, bias, image // images * channels_count, size, channels, inside, AFFINE
    )
    row = image.to(tl.int64) * stride_n + channels[:, None] * stride_c
    for offset in range(start, tl.minimum(start + part_length, length), BLOCK_L):
        positions = offset + tl.arange(0, BLOCK_L)
        mask = inside[:, None] & (positions < length)[None, :]
        places = row + positions[None, :] * stride_l
        values = tl.load(x + places, mask, 0.0).to(tl.float32)
        z = ((values - mean) - residual) * (rstd * gamma) + beta
        tl.store(y + places, _activated(z, slope, ACTIVATION), mask)
    if TRACK:  # noqa: SIM102 -- the first is known when it is compiled
        if (part == 0) & (tl.program_id(1) == 0):
            _track(statistics, running_mean, running_var, tracked, channels_count, size, count, momentum, AVERAGE, 1024)


@triton.jit
def _standardized(
    saved, grad_y, row, offset, vectors, kept, slots, slots_count, image, length, stride_l, channels, inside, slope,
    ACTIVATION: tl.constexpr, INVERT: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """Of positions from `offset` on the standardized input, and the gradient of what the activation gets; where they
    lie, and which are there. From the saved input; or with `INVERT` from the output, but for channels that have a slot
    in `kept`, which holds their standardized input."""
    mean, residual, rstd, gamma, beta = vectors
    positions = offset + tl.arange(0, BLOCK_L)
    mask = inside[:, None] & (positions < length)[None, :]
    places = row + positions[None, :] * stride_l
    values = tl.load(saved + places, mask, 0.0).to(tl.float32)
    grad = tl.load(grad_y + places, mask, 0.0).to(tl.float32)
    if INVERT:
        xhat = (_before_activation(values, slope, ACTIVATION) - beta) / gamma
        slot = tl.load(slots + channels, inside, -1)[:, None]
        place = (image * slots_count + slot).to(tl.int64) * length + positions[None, :]
        xhat = tl.where(slot >= 0, tl.load(kept + place, mask & (slot >= 0), 0.0), xhat)
        if ACTIVATION == "leaky_relu":
            grad = tl.where(values > 0, grad, grad * slope)
        if ACTIVATION == "elu":
            grad = tl.where(values > 0, grad, grad * (1 + values))
    else:
        xhat = ((values - mean) - residual) * rstd
        z = xhat * gamma + beta
        if ACTIVATION == "leaky_relu":
            grad = tl.where(z > 0, grad, grad * slope)
        if ACTIVATION == "elu":
            grad = tl.where(z > 0, grad, grad * tl.exp(z))
    return xhat, grad, places, mask


@triton.jit
def gradient_sums(
    saved, grad_y, kept, slots, slots_count, partial, statistics, weight, bias, channels_count, length, stride_n,
    stride_c, stride_l, images, part_length, parts_an_image, size, slope, AFFINE: tl.constexpr,
    ACTIVATION: tl.constexpr, INVERT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """Sums of dz and of dz * xhat of each channel over a part of one image."""
    part = tl.program_id(0)
    image, start = part // parts_an_image, part % parts_an_image * part_length
    channels, inside = _channels(1, channels_count, tl.program_id(1), BLOCK_C, False)
    vectors = _vectors(statistics, weight, bias, image // images * channels_count, size, channels, inside, AFFINE)
    row = image.to(tl.int64) * stride_n + channels[:, None] * stride_c
    grad_sum = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    product_sum = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    for offset in range(start, tl.minimum(start + part_length, length), BLOCK_L):
        xhat, grad, _, mask = _standardized(
            saved, grad_y, row, offset, vectors, kept, slots, slots_count, image, length, stride_l, channels, inside,
            slope, ACTIVATION, INVERT, BLOCK_L,
        )  # fmt: skip
        grad_sum += tl.where(mask, grad, 0.0)
        product_sum += tl.where(mask, grad * xhat, 0.0)
    place = part.to(tl.int64) * channels_count + channels
    tl.store(partial + place, tl.sum(grad_sum, 1), inside)
    tl.store(partial + tl.num_programs(0) * channels_count + place, tl.sum(product_sum, 1), inside)


@triton.jit
def coefficients(
    partial, coefficients, weight, grad_weight, grad_bias, channels_count, length, images, group, part_length,
    parts_an_image, parts, segments, size, AFFINE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
    GROUPED: tl.constexpr,
):  # fmt: skip
    """The means of weight * dz and of weight * dz * xhat over each statistic, and the gradients of weight and bias."""
    channels, inside = _channels(group, channels_count, tl.program_id(0), BLOCK_C, GROUPED)
    gamma = tl.full((BLOCK_C,), 1.0, tl.float32)
    if AFFINE & 1:
        gamma = tl.load(weight + channels, inside, 0.0).to(tl.float32)
    of_weight = tl.zeros((BLOCK_C,), tl.float32)
    of_bias = tl.zeros((BLOCK_C,), tl.float32)
    for segment in range(0, segments):
        first, last = segment * images * parts_an_image, tl.minimum((segment + 1) * images * parts_an_image, parts)
        grad_sum = tl.zeros((BLOCK_C,), tl.float32)
        product_sum = tl.zeros((BLOCK_C,), tl.float32)
        for start in range(first, last, BLOCK_P):
            places, mask, _ = _parts(
                start, last, channels, inside, channels_count, length, part_length, parts_an_image, BLOCK_P
            )
            grad_sum += tl.sum(tl.load(partial + places, mask, 0.0), 0)
            product_sum += tl.sum(tl.load(partial + parts * channels_count + places, mask, 0.0), 0)
        of_bias += grad_sum
        of_weight += product_sum
        count = ((last - first) // parts_an_image).to(tl.float32) * length
        grad_mean, product_mean = grad_sum * gamma / count, product_sum * gamma / count
        if GROUPED:
            grad_mean = tl.zeros((BLOCK_C,), tl.float32) + tl.sum(tl.where(inside, grad_mean, 0.0)) / group
            product_mean = tl.zeros((BLOCK_C,), tl.float32) + tl.sum(tl.where(inside, product_mean, 0.0)) / group
        place = coefficients + segment * channels_count + channels
        tl.store(place, grad_mean, inside)
        tl.store(place + size, product_mean, inside)
    if AFFINE & 1:
        tl.store(grad_weight + channels, of_weight, inside)
    if AFFINE & 2:
        tl.store(grad_bias + channels, of_bias, inside)


@triton.jit
def gradient(
    saved, grad_y, kept, slots, slots_count, grad_x, coefficients, statistics, weight, bias, channels_count, length,
    stride_n, stride_c, stride_l, images, part_length, parts_an_image, size, slope, AFFINE: tl.constexpr,
    ACTIVATION: tl.constexpr, INVERT: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """dx = (weight * dz - mean(weight * dz) - xhat * mean(weight * dz * xhat)) / sqrt(variance + eps)"""
    part = tl.program_id(0)
    image, start = part // parts_an_image, part % parts_an_image * part_length
    channels, inside = _channels(1, channels_count, tl.program_id(1), BLOCK_C, False)
    of_row = image // images * channels_count
    vectors = _vectors(statistics, weight, bias, of_row, size, channels, inside, AFFINE)
    rstd, gamma = vectors[2], vectors[3]
    grad_mean = tl.load(coefficients + of_row + channels, inside, 0.0)[:, None]
    product_mean = tl.load(coefficients + size + of_row + channels, inside, 0.0)[:, None]
    row = image.to(tl.int64) * stride_n + channels[:, None] * stride_c
    for offset in range(start, tl.minimum(start + part_length, length), BLOCK_L):
        xhat, grad, places, mask = _standardized(
            saved, grad_y, row, offset, vectors, kept, slots, slots_count, image, length, stride_l, channels, inside,
            slope, ACTIVATION, INVERT, BLOCK_L,
        )  # fmt: skip
        tl.store(grad_x + places, (grad * gamma - grad_mean - xhat * product_mean) * rstd, mask)
