"""The end of a decode step as one Triton kernel: draw a token per row, look its input up, move the slot on.

What `sampler.sample`, `DecoderWeights.embed` and `SlotState.advance` do in some sixty launches. Instead of
sorting, thresholds are found bit by bit: the k-th largest logit exactly, and the logit at which top-p cuts up
to the rounding of a sum. Tokens with the very same logit at that cut are kept or dropped together here.
"""

from __future__ import annotations

import triton
import triton.language as tl

from providers.decoding.kernels import _weights


@triton.jit
def _ordered(x):
    """float32 → uint32 of the same order; all but the last for NaN are above zero."""
    bits = x.to(tl.uint32, bitcast=True)
    return tl.where(bits >> 31 == 1, ~bits, bits | 0x80000000)


@triton.jit
def _mix(words):
    """`sampler._mix_32` on uint32."""
    words = (words ^ (words >> 16)) * tl.full((), 0x7FEB352D, tl.uint32)
    words = (words ^ (words >> 15)) * tl.full((), 0x846CA68B, tl.uint32)
    return words ^ (words >> 16)


@triton.jit
def _uniform(low, high, step, token):
    """`sampler.uniform`: one number in (0, 1) per token, from a key's two words."""
    step_word = _mix(low.to(tl.uint32) + step.to(tl.uint32) * tl.full((), 0x9E3779B9, tl.uint32))
    words = _mix(_mix(token.to(tl.uint32) ^ step_word) + high.to(tl.uint32))
    return ((words >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def _keep_top_k(logits, count, is_token):
    """Logits below the `count`-th largest become minus infinity; ties are kept."""
    order = tl.where(is_token, _ordered(logits), 0)
    least = tl.full((), 0, tl.uint32)
    for i in range(32):
        tried = least | (tl.full((), 1, tl.uint32) << (31 - i))
        enough = tl.sum((order >= tried).to(tl.int32), 0) >= count
        least = tl.where(enough, tried, least)
    return tl.where(order >= least, logits, -float("inf"))


@triton.jit
def _keep_top_p(logits, top_p, is_token, KEEPS_REACHING: tl.constexpr):
    """Drop the least likely tokens, together no more than 1 - top_p; at least the likeliest is kept.

    KEEPS_REACHING: a token is dropped by the mass up to and with it, else by the mass before it.
    """
    order = tl.where(is_token, _ordered(logits), 0)
    highest = tl.max(logits, 0)
    mass = tl.where(is_token, tl.exp(logits - highest), 0.0)
    mass = mass / tl.sum(mass, 0)
    border = tl.full((), 0, tl.uint32)
    for i in range(32):
        tried = border | (tl.full((), 1, tl.uint32) << (31 - i))
        below = tl.sum(tl.where(order < tried, mass, 0.0), 0)
        if KEEPS_REACHING:
            is_below = below <= 1 - top_p
        else:
            is_below = below < 1 - top_p
        border = tl.where(is_below, tried, border)
    if KEEPS_REACHING:
        is_kept = order >= border
    else:
        is_kept = order > border
    return tl.where(is_kept | (logits == highest), logits, -float("inf"))


@triton.jit
def _drawn(
    logits, seen, temperature, top_k, top_p, penalty, low, high, step,
    VOCABULARY: tl.constexpr, PADDED: tl.constexpr, STOP: tl.constexpr, MIN_TOKENS: tl.constexpr,
    STOPS_IF_LIKELIEST: tl.constexpr, TOP_P_FIRST: tl.constexpr,
):  # fmt: skip
    """The token of one row: see `sampler.sample`."""
    token = tl.arange(0, PADDED)
    is_token = token < VOCABULARY
    x = tl.load(logits + token, mask=is_token, other=-float("inf"))
    x = tl.where((token == STOP) & (step < MIN_TOKENS), -float("inf"), x)
    is_seen = tl.load(seen + token, mask=is_token, other=0) != 0
    x = tl.where(is_seen, tl.where(x < 0, x * penalty, x / penalty), x)
    likeliest = tl.argmax(x, 0)
    divisor = tl.where(temperature == 0, 1.0, temperature)
    count = tl.minimum(tl.where(top_k == 0, VOCABULARY, top_k), VOCABULARY)
    if TOP_P_FIRST:
        x = _keep_top_k(_keep_top_p(x, top_p, is_token, False) / divisor, count, is_token)
    else:
        x = _keep_top_p(_keep_top_k(x / divisor, count, is_token), top_p, is_token, True)
    variates = -tl.log(_uniform(low, high, step, token))
    drawn = tl.argmax(tl.where(is_token, tl.exp(x - tl.max(x, 0)) / variates, -1.0), 0)
    is_greedy = temperature == 0
    if STOPS_IF_LIKELIEST:
        is_greedy = is_greedy | (likeliest == STOP)
    return tl.where(is_greedy, likeliest, drawn)


@triton.jit(do_not_specialize=["residents", "field", "scratch"])
def draw(
    logits, latents, slots,
    cached, generated, limit, position, finish, seen, codes, kept_latents, next_input,
    temperature, top_k, top_p, penalty, key,
    addresses, resident_of_tile, residents, field, scratch,
    VOCABULARY: tl.constexpr, PADDED_VOCABULARY: tl.constexpr,
    CHANNELS: tl.constexpr, PADDED_CHANNELS: tl.constexpr, TOKENS: tl.constexpr, TILE: tl.constexpr,
    STOP: tl.constexpr, MIN_TOKENS: tl.constexpr, STOPS_IF_LIKELIEST: tl.constexpr,
    TOP_P_FIRST: tl.constexpr, COUNTS_STOP: tl.constexpr,
    RUNNING: tl.constexpr, STOPPED: tl.constexpr, FULL: tl.constexpr,
):  # fmt: skip
    """logits [rows, VOCABULARY] and latents [rows, CHANNELS] float32 of `slots` [rows]; what follows are the
    tensors of `SlotState`, of which codes and latents have TOKENS columns, and `field` is that of the token
    table, followed by the position table's. The slot `scratch` stays as it is. Programs: (rows,).
    """
    row = tl.program_id(0)
    slot = tl.load(slots + row)
    if slot == scratch:
        return
    step = tl.load(generated + slot)
    token = _drawn(
        logits + row * VOCABULARY, seen + slot * VOCABULARY,
        tl.load(temperature + slot), tl.load(top_k + slot), tl.load(top_p + slot), tl.load(penalty + slot),
        tl.load(key + slot * 2), tl.load(key + slot * 2 + 1), step,
        VOCABULARY, PADDED_VOCABULARY, STOP, MIN_TOKENS, STOPS_IF_LIKELIEST, TOP_P_FIRST,
    ).to(tl.int64)  # fmt: skip
    tl.store(codes + slot * TOKENS + step, token)
    tl.store(seen + slot * VOCABULARY + token, 1)

    channel = tl.arange(0, PADDED_CHANNELS)
    is_real = channel < CHANNELS
    latent = tl.load(latents + row * CHANNELS + channel, mask=is_real)
    tl.store(kept_latents + (slot * TOKENS + step) * CHANNELS + channel, latent, mask=is_real)
    dtype = next_input.dtype.element_ty
    resident = tl.load(resident_of_tile + row // TILE)
    token_table = _weights(addresses, field, resident, residents, dtype)
    position_table = _weights(addresses, field + 1, resident, residents, dtype)
    place = tl.load(position + slot)
    embedded = tl.load(token_table + token * CHANNELS + channel, mask=is_real, other=0.0).to(tl.float32)
    embedded += tl.load(position_table + place * CHANNELS + channel, mask=is_real, other=0.0).to(tl.float32)
    tl.store(next_input + slot * CHANNELS + channel, embedded.to(dtype), mask=is_real)

    before = tl.load(finish + slot)
    is_running, is_stop = before == RUNNING, token == STOP
    moves = is_running
    if not COUNTS_STOP:
        moves = is_running & (token != STOP)
    moved = moves.to(tl.int64)
    reached = tl.where(step + moved >= tl.load(limit + slot), FULL, RUNNING)
    reached = tl.where(is_stop, STOPPED, reached)
    tl.store(generated + slot, step + moved)
    tl.store(cached + slot, tl.load(cached + slot) + moved)
    tl.store(position + slot, place + moved)
    tl.store(finish + slot, tl.where(is_running, reached, before))
