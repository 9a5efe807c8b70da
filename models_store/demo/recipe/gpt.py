"""The GPT: text and a speaker's latents → speech tokens, and latents that hold the sound.

Trained on three losses: the next token; the patch's features, read off the final-norm latent by a linear
layer (what makes the latents a vocoder's input); and the phone after the current one, which has it look ahead
in the text. The last two layers are left out of the submission.

Letters are learnt to sound from a window of text about the place that the last token names. Heads that look
there are given from the start, as waves of the place in embeddings of text and of tokens, and held to it by a
small fourth loss. Left to itself, the model takes most of its time to find out that it has to.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models_store.demo.recipe.corpus import Utterance
from models_store.demo.recipe.sentences import CHARACTERS
from models_store.demo.recipe.settings import Size, device, load_checkpoint, save_checkpoint
from models_store.demo.recipe.style_encoder import CONDITIONING_LATENTS, HEAD_CHANNELS, speaker_latents
from models_store.demo.recipe.synthesiser import PHONES
from models_store.demo.recipe.tokens import FEATURES, NUM_STATES, NUM_TOKENS, PLACES

STOP_TEXT, UNKNOWN, SPACE, START_TEXT, ENGLISH = range(5)
TEXT_IDS = {" ": SPACE} | {char: 5 + i for i, char in enumerate(CHARACTERS)}
TEXT_TOKENS = 5 + len(CHARACTERS)
START, STOP = NUM_TOKENS, NUM_TOKENS + 1
TEXT_POSITIONS, AUDIO_POSITIONS = 404, 608  # as published
CONDITIONING_NOISE = 0.01  # about what recordings of one speaker differ by
TOKENS_PER_CHAR = 1.37
COARSE_WAVES, MOST_COARSE = 20, 16  # of the time, 90 to 900 tokens long; how many of them a head sees
PLACE_AMPLITUDE = 0.1
LOOKING_HEADS = {1: (0, 1, 2), 2: (0, 1, 3), 3: (0, 2)}  # layer → characters after the last token's, per head
GUIDED_LAYERS, GUIDE_STEPS, GUIDE_WEIGHT = (1, 2), 1500, 0.2
HELD_OUT = 300  # utterances
REPORT_EVERY, CHECKPOINT_EVERY = 50, 500


class Block(nn.Module):
    """A GPT-2 block: pre-norm, tanh-GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn_in, self.attn_out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mlp_in, self.mlp_out = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.guided: Tensor | None = None

    def forward(self, x: Tensor, guide: Guide | None = None) -> Tensor:
        qkv = self.attn_in(self.ln_1(x)).unflatten(2, (3, -1, HEAD_CHANNELS)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        self.guided = None if guide is None else guide.loss(query[:, 0], key[:, 0])
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attn_out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.ln_2(x)), approximate="tanh"))


class TokenTable(nn.Module):
    """[NUM_TOKENS + 2, channels]: a row is the sum of its state's, its place's and its own.

    Few tokens are frequent, but all states (quarters of phones) and all places are. Start and stop have a
    state and a place too.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.empty(NUM_TOKENS + 2, channels))
        self.of_state = nn.Parameter(torch.empty(NUM_STATES + 1, channels))
        self.of_place = nn.Parameter(torch.empty(PLACES + 1, channels))

    def forward(self) -> Tensor:
        tokens = (self.of_state[:-1, None] + self.of_place[None, :-1]).flatten(0, 1)
        ends = (self.of_state[-1] + self.of_place[-1]).expand(2, -1)
        return self.own + torch.cat([tokens, ends])


def _coarse_frequencies() -> Tensor:
    return 2 * math.pi / torch.exp(torch.linspace(math.log(90), math.log(900), COARSE_WAVES))


def _exact_frequencies() -> Tensor:
    return torch.arange(1, PLACES // 2 + 1) * (2 * math.pi / PLACES)


def _waves(places: Tensor, frequencies: Tensor) -> Tensor:
    """[n] → [n, 2 · frequencies]: sines, then cosines."""
    angles = places[:, None] * frequencies
    return PLACE_AMPLITUDE * torch.cat([angles.sin(), angles.cos()], dim=1)


def _look(attn_in: Tensor, offsets: Sequence[int]) -> None:
    """The first heads' queries and keys [3 · channels, channels]: alike where places are `offset` apart."""
    channels, waves = attn_in.shape[1], PLACES // 2
    exact = 2 * COARSE_WAVES + torch.arange(waves)
    seen, sines = torch.arange(MOST_COARSE), 2 * MOST_COARSE + torch.arange(waves)
    for head, offset in enumerate(offsets):
        query = attn_in[HEAD_CHANNELS * head :][:HEAD_CHANNELS].zero_()
        key = attn_in[channels + HEAD_CHANNELS * head :][:HEAD_CHANNELS].zero_()
        for weight in (query, key):
            weight[seen, seen] = weight[MOST_COARSE + seen, COARSE_WAVES + seen] = 0.8
        turn = _exact_frequencies() * offset
        # sin(a + b) and cos(a + b) of the query against sin and cos of the key
        query[sines, exact], query[sines, exact + waves] = turn.cos(), turn.sin()
        query[sines + waves, exact + waves], query[sines + waves, exact] = turn.cos(), -turn.sin()
        key[sines, exact] = key[sines + waves, exact + waves] = 1


class Guide(NamedTuple):
    """Where in the text each position of speech is to look."""

    rows: Tensor  # [S]: of the batch
    positions: Tensor  # [S]
    looked_at: Tensor  # [S, 3]: the character that is being spoken and its neighbours

    def loss(self, query: Tensor, key: Tensor) -> Tensor:
        """Of one head [B, T, HEAD_CHANNELS]: -log of the attention on what is to be looked at."""
        scores = (query @ key.transpose(1, 2)).float()[self.rows, self.positions] / math.sqrt(HEAD_CHANNELS)
        future = torch.arange(scores.shape[1], device=scores.device) > self.positions[:, None]
        attention = scores.masked_fill(future, float("-inf")).log_softmax(dim=1)
        return -attention.gather(1, self.looked_at).logsumexp(dim=1).clamp(min=-12).mean()


class Gpt(nn.Module):
    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.channels = channels
        self.text_embedding = nn.Embedding(TEXT_TOKENS, channels)
        self.text_positions = nn.Embedding(TEXT_POSITIONS, channels)
        self.mel_positions = nn.Embedding(AUDIO_POSITIONS, channels)
        self.mel_embedding, self.mel_head = TokenTable(channels), TokenTable(channels)
        self.mel_head_bias = nn.Parameter(torch.zeros(NUM_TOKENS + 2))
        self.blocks = nn.ModuleList(Block(channels) for _ in range(layers))
        self.ln_f, self.final_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.features = nn.Linear(channels, FEATURES)
        self.next_phone = nn.Linear(channels, len(PHONES))
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attn_out.weight", "mlp_out.weight"))
                nn.init.normal_(parameter, 0, 0.02 / (math.sqrt(2 * layers) if into_residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        for table in (self.mel_embedding, self.mel_head):
            table.own.data *= 0.1
        with torch.no_grad():
            self._place_embeddings()
            for layer, offsets in LOOKING_HEADS.items():
                _look(self.get_parameter(f"blocks.{layer}.attn_in.weight"), offsets)

    def _place_embeddings(self) -> None:
        """How far along, roughly, in the first channels; then the place, exactly, of text and of tokens."""
        coarse, exact = slice(2 * COARSE_WAVES), slice(2 * COARSE_WAVES, 2 * COARSE_WAVES + PLACES)
        for table in (self.text_embedding.weight, self.mel_embedding.own, self.mel_embedding.of_state):
            table[:, : exact.stop] = 0
        chars = torch.arange(TEXT_POSITIONS) - 2.0  # after the start and the language
        self.text_positions.weight[:, coarse] = _waves(TOKENS_PER_CHAR * chars, _coarse_frequencies())
        self.text_positions.weight[:, exact] = _waves(chars, _exact_frequencies())
        self.mel_positions.weight[:, coarse] = _waves(torch.arange(AUDIO_POSITIONS), _coarse_frequencies())
        self.mel_positions.weight[:, exact] = 0
        places = torch.arange(PLACES + 1) % PLACES  # speech starts at the first
        self.mel_embedding.of_place[:, coarse] = 0
        self.mel_embedding.of_place[:, exact] = _waves(places, _exact_frequencies())

    def latents(self, batch: Batch, conditioning: Tensor, guide: Guide | None = None) -> Tensor:
        """Conditioning [speakers, CONDITIONING_LATENTS, channels] → final-norm latents [speech, channels]"""
        x = F.embedding(batch.ids, torch.cat([self.text_embedding.weight, self.mel_embedding()]))
        x = x + F.embedding(
            batch.positions, torch.cat([self.text_positions.weight, self.mel_positions.weight])
        )
        x = torch.cat([conditioning[batch.speakers].to(x.dtype), x], dim=1)
        for i, block in enumerate(self.blocks):
            x = block(x, guide if i in GUIDED_LAYERS else None)
        speech: Tensor = self.final_norm(self.ln_f(x))[:, CONDITIONING_LATENTS:][batch.is_speech]
        return speech


class Batch(NamedTuple):
    """An utterance in each row: start, text, stop, start of speech, tokens; then padding."""

    ids: Tensor  # [B, T]: text ids, then TEXT_TOKENS + speech tokens
    positions: Tensor  # [B, T]: of the text, then TEXT_POSITIONS + of the speech
    speakers: Tensor  # [B]
    is_speech: Tensor  # [B, T]
    tokens: Tensor  # [speech]: to predict
    next_phones: Tensor  # [speech]; -100 where there is none
    features: Tensor  # [speech, FEATURES]

    def to(self, where: torch.device) -> Batch:
        return Batch(*(tensor.to(where) for tensor in self))


def text_ids(text: str) -> list[int]:
    """As the submission's tokenizer makes them."""
    return [ENGLISH, *(TEXT_IDS[char] for char in text)]


def collate(utterances: Sequence[Utterance]) -> Batch:
    texts = [[START_TEXT, *text_ids(utterance.text), STOP_TEXT] for utterance in utterances]
    length = max(len(text) + len(u.tokens) for text, u in zip(texts, utterances, strict=True))
    ids = np.zeros((len(utterances), length), np.int64)
    positions, is_speech = ids.copy(), np.zeros(ids.shape, bool)
    for i, (text, utterance) in enumerate(zip(texts, utterances, strict=True)):
        k, n = len(text), len(utterance.tokens)
        ids[i, :k], positions[i, :k] = text, np.arange(k)
        ids[i, k : k + n] = TEXT_TOKENS + np.concatenate([[START], utterance.tokens[1:]])
        positions[i, k : k + n] = TEXT_POSITIONS + np.arange(n)
        is_speech[i, k : k + n] = True
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        speakers=torch.tensor([utterance.speaker for utterance in utterances]),
        is_speech=torch.from_numpy(is_speech),
        tokens=_joined([np.append(u.tokens[1:], STOP) for u in utterances]),
        next_phones=_joined([np.append(u.next_phones[1:], -100) for u in utterances]),
        features=torch.from_numpy(np.concatenate([u.features for u in utterances]).astype(np.float32)),
    )


def _joined(arrays: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.int64))


def guide(utterances: Sequence[Utterance]) -> Guide:
    """To the character of the token that is to be predicted."""
    rows, positions, looked_at = [], [], []
    for i, utterance in enumerate(utterances):
        first_char, text_end = CONDITIONING_LATENTS + 2, CONDITIONING_LATENTS + len(utterance.text) + 3
        n = len(utterance.tokens)
        chars = np.append(utterance.chars[1:], utterance.chars[-1]).astype(np.int64)
        rows.append(np.full(n, i))
        positions.append(text_end + np.arange(n))
        around = first_char + chars[:, None] + np.array([-1, 0, 1])
        looked_at.append(np.clip(around, first_char - 1, text_end - 1))
    return Guide(_joined(rows), _joined(positions), _joined(looked_at))


def batches(utterances: Sequence[Utterance], rng: random.Random, positions: int) -> Iterator[list[Utterance]]:
    """Endless; utterances of like length together, about `positions` positions at a time."""
    while True:
        shuffled = rng.sample(range(len(utterances)), len(utterances))
        for start in range(0, len(shuffled), 3000):
            pool = [utterances[i] for i in shuffled[start : start + 3000]]
            groups = _groups(sorted(pool, key=lambda u: _length(u) + 4 * rng.random()), positions)
            rng.shuffle(groups)
            yield from groups


def _length(utterance: Utterance) -> int:
    return len(utterance.text) + len(utterance.tokens) + 7


def _groups(utterances: Sequence[Utterance], positions: int) -> list[list[Utterance]]:
    groups: list[list[Utterance]] = [[]]
    for utterance in utterances:
        longest = max([_length(utterance), *map(_length, groups[-1])])
        if groups[-1] and (len(groups[-1]) + 1) * longest > positions:
            groups.append([])
        groups[-1].append(utterance)
    return groups


@dataclass(frozen=True, slots=True)
class Losses:
    token: Tensor
    feature: Tensor
    next_phone: Tensor
    guide: Tensor

    def total(self, guide_weight: float) -> Tensor:
        return self.token + self.feature + 0.2 * self.next_phone + guide_weight * self.guide

    def values(self) -> list[float]:
        return [float(loss) for loss in (self.token, self.feature, self.next_phone, self.guide)]


def losses(gpt: Gpt, utterances: Sequence[Utterance], *, guided: bool) -> Losses:
    where = gpt.ln_f.weight.device
    batch = collate(utterances).to(where)
    looks = Guide(*(tensor.to(where) for tensor in guide(utterances))) if guided else None
    with torch.autocast(where.type, torch.bfloat16):
        conditioning = speaker_latents(gpt.channels).to(where)
        conditioning = conditioning + CONDITIONING_NOISE * torch.randn_like(conditioning)
        latents = gpt.latents(batch, conditioning, looks)
        tokens = F.linear(latents, gpt.mel_head(), gpt.mel_head_bias).float()
        features = gpt.features(latents).float()
        phones = gpt.next_phone(latents).float()
    guides = [block.guided for block in gpt.blocks if isinstance(block.guided, Tensor)]
    return Losses(
        token=F.cross_entropy(tokens, batch.tokens),
        feature=(features - batch.features).square().mean(),
        next_phone=F.cross_entropy(phones, batch.next_phones, ignore_index=-100),
        guide=torch.stack(guides).mean() if guides else tokens.new_zeros(()),
    )


def train(utterances: Sequence[Utterance], size: Size, checkpoint: Path) -> Gpt:
    """Resumes from `checkpoint` and writes it."""
    torch.manual_seed(0)
    gpt = Gpt(size.channels, size.layers).to(device())
    optimizer = _optimizer(gpt, size.gpt_learning_rate)
    step = load_checkpoint(checkpoint, gpt=gpt, optimizer=optimizer)
    rng = random.Random(step)
    held_out, stream = utterances[:HELD_OUT], batches(utterances[HELD_OUT:], rng, size.gpt_batch)
    sums, started = np.zeros(4), time.monotonic()
    while step < size.gpt_steps:
        rate = size.gpt_learning_rate * _schedule(step, size.gpt_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        weight = GUIDE_WEIGHT * max(0.1, 1 - step / GUIDE_STEPS)
        result = losses(gpt, next(stream), guided=True)
        result.total(weight).backward()
        nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        sums += result.values()
        if step % REPORT_EVERY == 0:
            _report(f"gpt {step}", sums / REPORT_EVERY, time.monotonic() - started)
            sums[:], started = 0, time.monotonic()
        if step % CHECKPOINT_EVERY == 0 or step == size.gpt_steps:
            _report(f"gpt {step} held out", _held_out_losses(gpt, held_out))
            save_checkpoint(checkpoint, step, gpt=gpt, optimizer=optimizer)
    return gpt


def _optimizer(gpt: Gpt, rate: float) -> torch.optim.Optimizer:
    embeddings = ("text_", "mel_")
    matrices = [p for n, p in gpt.named_parameters() if p.ndim >= 2 and not n.startswith(embeddings)]
    chosen = set(map(id, matrices))
    others = [p for p in gpt.parameters() if id(p) not in chosen]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.97), fused=True)


def _schedule(step: int, steps: int) -> float:
    """A short warm-up, then half a cosine down to 3 %."""
    return min(1.0, (step + 1) / 300) * (0.03 + 0.97 * (1 + math.cos(math.pi * step / steps)) / 2)


@torch.no_grad()
def _held_out_losses(gpt: Gpt, utterances: Sequence[Utterance]) -> np.ndarray:
    groups = [utterances[i : i + 25] for i in range(0, len(utterances), 25)]
    return np.mean([losses(gpt, group, guided=False).values() for group in groups], axis=0)


def _report(what: str, values: np.ndarray, seconds: float | None = None) -> None:
    token, feature, phone, guide = values
    rate = "" if seconds is None else f", {seconds / REPORT_EVERY:.3f} s a step"
    print(
        f"{what}: token {token:.4f}, feature {feature:.4f}, next phone {phone:.4f}, guide {guide:.3f}{rate}",
        flush=True,
    )
