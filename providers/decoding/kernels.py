"""Triton kernels of a decode step: five per block, whatever mix of submissions its rows belong to.

Rows come in tiles, each of rows of one submission. A kernel finds a tile's weights through a table of
addresses on the device, `addresses[field, resident]`, so one launch multiplies every tile with its own
submission's weights, and a captured graph stays valid when submissions come and go: only the table changes.

Every product sums in float32 in an order that depends on the tile's shape alone. A row's result is therefore
the same in every company, as long as the shape of tiles is.

`TRITON_INTERPRET=1`, set before this is imported, runs them on a CPU, where the tests hold them to the plain
path. Nothing here is imported where there is no Triton: see `backends.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _weights(addresses, field, resident, residents, dtype: tl.constexpr):
    """A pointer to one resident's tensor; torch aligns all of them to more than 16 bytes."""
    address = tl.load(addresses + field * residents + resident)
    return tl.multiple_of(address.to(tl.pointer_type(dtype)), 16)


@triton.jit
def _normalisation(x, rows, CHANNELS: tl.constexpr, PADDED: tl.constexpr, EPSILON: tl.constexpr):
    """Mean and inverse deviation of rows of x [., CHANNELS], each [tile]."""
    channel = tl.arange(0, PADDED)
    is_real = (channel < CHANNELS)[None, :]
    values = tl.load(x + rows[:, None] * CHANNELS + channel[None, :], mask=is_real, other=0.0).to(tl.float32)
    mean = tl.sum(values, 1) / CHANNELS
    centred = tl.where(is_real, values - mean[:, None], 0.0)
    return mean, 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / CHANNELS + EPSILON)


@triton.jit
def rounded(y, dtype: tl.constexpr):
    """y as a cache of `dtype` keeps it: an 8-bit float (e4m3) takes the nearest, and its largest beyond that.

    Rounding comes before the conversion, which is exact then: the interpreter's own cuts off. An e4m3 has
    three bits behind the first one, and no finer step than 2⁻⁹.
    """
    if dtype == tl.float8e4nv:
        y = tl.minimum(tl.maximum(y.to(tl.float32), -448.0), 448.0)
        bits = y.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFFF + ((bits >> 20) & 1)) & -0x100000
        fine = (y + 24576.0) - 24576.0  # 1.5 x 2¹⁴, where a float32's step is 2⁻⁹
        y = tl.where(tl.abs(y) < 0.015625, fine, bits.to(tl.float32, bitcast=True))
    return y.to(dtype)


@triton.jit
def _activate(y, ACTIVATION: tl.constexpr):
    if ACTIVATION == "relu":
        y = tl.maximum(y, 0.0)
    elif ACTIVATION == "gelu_tanh":
        inner = 0.7978845608028654 * (y + 0.044715 * y * y * y)
        y = y * tl.sigmoid(2.0 * inner)  # ½ (1 + tanh z) is the logistic function of 2 z
    return y


@triton.jit
def _product(
    x, weight, rows, columns, mean, deviation, norm_weight, norm_bias,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, NORMALISE: tl.constexpr,
    TILE: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
):  # fmt: skip
    """float32 [TILE, BLOCK_OUT]: rows of x, normalised or not, times columns of weight [INPUTS, OUTPUTS]."""
    dtype = x.dtype.element_ty
    total = tl.zeros((TILE, BLOCK_OUT), tl.float32)
    is_column = (columns < OUTPUTS)[None, :]
    for first in range(0, INPUTS, BLOCK_IN):
        channel = first + tl.arange(0, BLOCK_IN)
        values = tl.load(x + rows[:, None] * INPUTS + channel[None, :])
        if NORMALISE:
            scaled = (values.to(tl.float32) - mean[:, None]) * deviation[:, None]
            gain = tl.load(norm_weight + channel).to(tl.float32)
            values = (scaled * gain + tl.load(norm_bias + channel).to(tl.float32)).to(dtype)
        part = weight + channel[:, None] * OUTPUTS + columns[None, :]
        if OUTPUTS % BLOCK_OUT == 0:
            total = tl.dot(values, tl.load(part), total, input_precision="ieee")
        else:
            total = tl.dot(values, tl.load(part, mask=is_column, other=0.0), total, input_precision="ieee")
    return total


@triton.jit(do_not_specialize=["residents", "field", "norm_field", "residual_norm_field"])
def linear(
    x, out, residual, addresses, resident_of_tile, residents,
    field, norm_field, residual_norm_field,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, PADDED_INPUTS: tl.constexpr, PADDED_OUTPUTS: tl.constexpr,
    NORMALISE: tl.constexpr, ACTIVATION: tl.constexpr, RESIDUAL: tl.constexpr, EPSILON: tl.constexpr,
    TILE: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
):  # fmt: skip
    """out = activation(norm(x) W + b) + norm(residual), each part where it is wanted.

    x [rows, INPUTS], out and residual [rows, OUTPUTS]; `field` is that of W, b's is the next one; a norm's
    are its weight's and the next. RESIDUAL is "none", "plain" or "normalised". Programs: (blocks of outputs,
    tiles).
    """
    dtype = x.dtype.element_ty
    tile = tl.program_id(1)
    resident = tl.load(resident_of_tile + tile)
    rows = tile * TILE + tl.arange(0, TILE)
    columns = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    is_column = columns < OUTPUTS
    weight = _weights(addresses, field, resident, residents, dtype)
    bias = _weights(addresses, field + 1, resident, residents, dtype)
    mean, deviation = tl.zeros((TILE,), tl.float32), tl.zeros((TILE,), tl.float32)
    norm_weight, norm_bias = weight, weight
    if NORMALISE:
        mean, deviation = _normalisation(x, rows, INPUTS, PADDED_INPUTS, EPSILON)
        norm_weight = _weights(addresses, norm_field, resident, residents, dtype)
        norm_bias = _weights(addresses, norm_field + 1, resident, residents, dtype)
    y = _product(
        x, weight, rows, columns, mean, deviation, norm_weight, norm_bias,
        INPUTS, OUTPUTS, NORMALISE, TILE, BLOCK_IN, BLOCK_OUT,
    )  # fmt: skip
    y += tl.load(bias + columns, mask=is_column, other=0.0).to(tl.float32)[None, :]
    y = _activate(y, ACTIVATION)
    place = rows[:, None] * OUTPUTS + columns[None, :]
    if RESIDUAL != "none":
        kept = tl.load(residual + place, mask=is_column[None, :], other=0.0).to(tl.float32)
        if RESIDUAL == "normalised":
            mean, deviation = _normalisation(residual, rows, OUTPUTS, PADDED_OUTPUTS, EPSILON)
            gain = _weights(addresses, residual_norm_field, resident, residents, dtype)
            shift = _weights(addresses, residual_norm_field + 1, resident, residents, dtype)
            kept = (kept - mean[:, None]) * deviation[:, None]
            kept = kept * tl.load(gain + columns, mask=is_column, other=0.0).to(tl.float32)[None, :]
            kept += tl.load(shift + columns, mask=is_column, other=0.0).to(tl.float32)[None, :]
        y += kept
    tl.store(out + place, y.to(out.dtype.element_ty), mask=is_column[None, :])


@triton.jit(do_not_specialize=["residents", "field", "norm_field", "most_pages"])
def queries_keys_values(
    x, queries, keys, values, addresses, resident_of_tile, residents, field, norm_field,
    slots, positions, pages, most_pages,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, HEAD_CHANNELS: tl.constexpr, PAGE_TOKENS: tl.constexpr,
    NORMALISE: tl.constexpr, EPSILON: tl.constexpr,
    TILE: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
):  # fmt: skip
    """norm(x) W + b: queries [rows, CHANNELS], and keys and values into their page.

    Row r is token `positions[r]` of `slots[r]`, whose page table is a row of pages [slots, most_pages]; keys
    and values [pages, heads, PAGE_TOKENS, HEAD_CHANNELS] are one layer's, in a format of their own. Programs:
    (blocks of the 3 CHANNELS outputs, tiles); no block belongs to two of the three.
    """
    dtype = x.dtype.element_ty
    tile = tl.program_id(1)
    resident = tl.load(resident_of_tile + tile)
    rows = tile * TILE + tl.arange(0, TILE)
    columns = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    weight = _weights(addresses, field, resident, residents, dtype)
    bias = _weights(addresses, field + 1, resident, residents, dtype)
    mean, deviation = tl.zeros((TILE,), tl.float32), tl.zeros((TILE,), tl.float32)
    norm_weight, norm_bias = weight, weight
    if NORMALISE:
        mean, deviation = _normalisation(x, rows, CHANNELS, PADDED, EPSILON)
        norm_weight = _weights(addresses, norm_field, resident, residents, dtype)
        norm_bias = _weights(addresses, norm_field + 1, resident, residents, dtype)
    y = _product(
        x, weight, rows, columns, mean, deviation, norm_weight, norm_bias,
        CHANNELS, 3 * CHANNELS, NORMALISE, TILE, BLOCK_IN, BLOCK_OUT,
    )  # fmt: skip
    y = (y + tl.load(bias + columns).to(tl.float32)[None, :]).to(dtype)
    part = tl.program_id(0) * BLOCK_OUT // CHANNELS
    channel = columns - part * CHANNELS
    if part == 0:
        tl.store(queries + rows[:, None] * CHANNELS + channel[None, :], y)
    else:
        position = tl.load(positions + rows)
        page = tl.load(pages + tl.load(slots + rows) * most_pages + position // PAGE_TOKENS).to(tl.int64)
        heads = CHANNELS // HEAD_CHANNELS
        head, inner = channel // HEAD_CHANNELS, channel % HEAD_CHANNELS
        token = (page[:, None] * heads + head[None, :]) * PAGE_TOKENS + (position % PAGE_TOKENS)[:, None]
        place = token * HEAD_CHANNELS + inner[None, :]
        if part == 1:
            tl.store(keys + place, rounded(y, keys.dtype.element_ty))
        else:
            tl.store(values + place, rounded(y, values.dtype.element_ty))


@triton.jit(do_not_specialize=["most_pages", "scratch"])
def attend(
    queries, out, keys, values, slots, visible, pages, most_pages, scratch,
    HEADS: tl.constexpr, HEAD_CHANNELS: tl.constexpr, PAGE_TOKENS: tl.constexpr,
):  # fmt: skip
    """Attention of each row over the first `visible[row]` tokens of its slot, and over no others.

    queries and out [rows, HEADS x HEAD_CHANNELS]; the rest as in `queries_keys_values`. A single query is a
    weighted sum at the speed of memory, so this is a running softmax page by page. Rows of the slot `scratch`
    are nobody's: zeros. Programs: (rows, heads).
    """
    row, head = tl.program_id(0), tl.program_id(1)
    slot = tl.load(slots + row)
    channel, token = tl.arange(0, HEAD_CHANNELS), tl.arange(0, PAGE_TOKENS)
    place = row * HEADS * HEAD_CHANNELS + head * HEAD_CHANNELS + channel
    if slot == scratch:
        tl.store(out + place, tl.zeros((HEAD_CHANNELS,), out.dtype.element_ty))
        return
    query = tl.load(queries + place).to(tl.float32) * (HEAD_CHANNELS**-0.5)
    num_tokens = tl.load(visible + row)
    table = pages + slot * most_pages
    highest = tl.full((), -float("inf"), tl.float32)
    weight_sum = tl.zeros((), tl.float32)
    total = tl.zeros((HEAD_CHANNELS,), tl.float32)
    for first in range(0, num_tokens, PAGE_TOKENS):
        page = tl.load(table + first // PAGE_TOKENS).to(tl.int64)
        inside = ((page * HEADS + head) * PAGE_TOKENS + token[:, None]) * HEAD_CHANNELS + channel[None, :]
        is_live = token < num_tokens - first
        key = tl.load(keys + inside, mask=is_live[:, None], other=0.0).to(tl.float32)
        value = tl.load(values + inside, mask=is_live[:, None], other=0.0).to(tl.float32)
        score = tl.where(is_live, tl.sum(key * query[None, :], 1), -float("inf"))
        new_highest = tl.maximum(highest, tl.max(score, 0))
        weight = tl.exp(score - new_highest)
        scale = tl.exp(highest - new_highest)
        total = total * scale + tl.sum(weight[:, None] * value, 0)
        weight_sum = weight_sum * scale + tl.sum(weight, 0)
        highest = new_highest
    tl.store(out + place, (total / weight_sum).to(out.dtype.element_ty))


@triton.jit(do_not_specialize=["residents", "field"])
def normalise(
    x, out, addresses, resident_of_tile, residents, field,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, TILE: tl.constexpr, EPSILON: tl.constexpr,
    weight_dtype: tl.constexpr, rounded_dtype: tl.constexpr,
):  # fmt: skip
    """out = norm(x) of rows [rows, CHANNELS], rounded to `rounded_dtype` on the way. Programs: (rows,)."""
    row = tl.program_id(0)
    resident = tl.load(resident_of_tile + row // TILE)
    gain = _weights(addresses, field, resident, residents, weight_dtype)
    shift = _weights(addresses, field + 1, resident, residents, weight_dtype)
    channel = tl.arange(0, PADDED)
    is_real = channel < CHANNELS
    values = tl.load(x + row * CHANNELS + channel, mask=is_real, other=0.0).to(tl.float32)
    centred = tl.where(is_real, values - tl.sum(values, 0) / CHANNELS, 0.0)
    scaled = centred / tl.sqrt(tl.sum(centred * centred, 0) / CHANNELS + EPSILON)
    y = scaled * tl.load(gain + channel, mask=is_real, other=0.0).to(tl.float32)
    y += tl.load(shift + channel, mask=is_real, other=0.0).to(tl.float32)
    tl.store(out + row * CHANNELS + channel, y.to(rounded_dtype).to(out.dtype.element_ty), mask=is_real)
