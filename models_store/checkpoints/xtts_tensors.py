"""XTTS-v2's tensors: the architecture that shapes state, and the shapes that an architecture implies.

Names are the published ones with weight norm folded.
"""

from __future__ import annotations

import re

from models_store.checkpoints.architecture import (
    HifiganArchitecture,
    SpeakerEncoderArchitecture,
    XttsArchitecture,
)
from models_store.checkpoints.checkpoint_file import CheckpointFile
from models_store.checkpoints.shapes import Entries, Shape, Shapes, layer, repeats, sizes, vote
from models_store.checkpoints.xtts_config import PublishedConfig

# saved by                 holds
# release                  the published names
# release of v1, v1.1      also gpt.gpt_inference.* and gpt.gpt.wte, aliases of other tensors
# trainer                  xtts.<published name>, dvae.*, torch_mel_spectrogram_*
# older transformers       the causal masks attn.bias, attn.masked_bias
MODEL = CheckpointFile(
    name="model.pth",
    title="XTTS-v2",
    holds="a dict whose 'model' is the state dict of an XTTS model",
    key="model",
    prefix="xtts.",
    dropped=re.compile(
        r"""(dvae|torch_mel_spectrogram_style_encoder|torch_mel_spectrogram_dvae)\..*
          | gpt\.gpt_inference\..*
          | gpt\.gpt\.wte\.weight
          | gpt\.text_head\.(weight|bias)
          | gpt\.gpt\.h\.\d+\.attn\.(masked_)?bias
          | .*\.num_batches_tracked""",
        re.VERBOSE,
    ),
    plain_values="tensors, plain values and XTTS's own config classes",
    plain_save="{'model': model.state_dict()}",
    source="Upload the file that XTTS's training wrote.",
    num_tensors="the thousand of an XTTS model",
)

GPT = "gpt."
TEXT_EMBEDDING = "gpt.text_embedding.weight"
CONDITIONING = "gpt.conditioning_encoder."
PERCEIVER = "gpt.conditioning_perceiver."
VOCODER = "hifigan_decoder.waveform_decoder."
SPEAKER_ENCODER = "hifigan_decoder.speaker_encoder."

# Constants of the published code, not stated by any file (fact: every released model has them).
PERCEIVER_HEAD_CHANNELS = 64
RESBLOCK_DILATIONS = (1, 3, 5)
SQUEEZE = 8  # speaker encoder: channels over squeeze-and-excitation channels; also its mel bins over T rows
SPECTROGRAM_WINDOW = 400
SPECTROGRAM_BINS = 257

# Published v2, for what a damaged checkpoint no longer tells.
SPEAKER_ENCODER_BLOCKS = (3, 4, 6, 3)


def read_architecture(shapes: Shapes, config: PublishedConfig) -> XttsArchitecture:
    """The architecture these tensors have. Where they are silent config.json speaks, then published v2."""
    channels = vote(
        [
            *sizes(shapes, r"gpt\.gpt\.h\.\d+\.ln_[12]\.weight", 0),
            *sizes(shapes, r"gpt\.(final_norm|gpt\.ln_f)\.weight", 0),
        ],
        config.get("model_args.gpt_n_model_channels", int),
        1024,
    )
    heads = config.get("model_args.gpt_n_heads", int) or 16
    return XttsArchitecture(
        layers=repeats(shapes, r"gpt\.gpt\.h\.(\d+)\.") or config.get("model_args.gpt_layers", int) or 30,
        channels=channels,
        heads=heads,
        text_positions=vote(
            sizes(shapes, r"gpt\.text_pos_embedding\.emb\.weight", 0),
            (config.get("model_args.gpt_max_text_tokens", int) or 402) + 2,
        ),
        audio_tokens=vote(
            sizes(shapes, r"gpt\.mel_(embedding\.weight|head\.weight|head\.bias)", 0),
            config.get("model_args.gpt_num_audio_tokens", int),
            1026,
        ),
        audio_positions=vote(
            sizes(shapes, r"gpt\.mel_pos_embedding\.emb\.weight", 0),
            (config.get("model_args.gpt_max_audio_tokens", int) or 605) + 3,
        ),
        start_audio_token=config.get("model_args.gpt_start_audio_token", int) or 0,
        stop_audio_token=config.get("model_args.gpt_stop_audio_token", int) or 0,
        conditioning_mel_bins=vote(sizes(shapes, r"mel_stats", 0), 80),
        conditioning_blocks=repeats(shapes, re.escape(CONDITIONING) + r"attn\.(\d+)\.") or 6,
        conditioning_heads=heads,
        perceiver_depth=repeats(shapes, re.escape(PERCEIVER) + r"layers\.(\d+)\.") or 2,
        perceiver_latents=vote(sizes(shapes, re.escape(PERCEIVER) + "latents", 0), 32),
        perceiver_heads=max(1, vote(sizes(shapes, r".*\.to_q\.weight", 0), 512) // PERCEIVER_HEAD_CHANNELS),
        perceiver_head_channels=PERCEIVER_HEAD_CHANNELS,
        input_sample_rate_hz=config.get("model_args.input_sample_rate", int) or 22_050,
        output_sample_rate_hz=config.get("model_args.output_sample_rate", int) or 24_000,
        code_stride=config.get("model_args.gpt_code_stride_len", int) or 1024,
        output_hop=config.get("model_args.output_hop_length", int) or 256,
        vocoder=_read_vocoder(shapes, channels),
        speaker_encoder=_read_speaker_encoder(shapes),
    )


def _read_vocoder(shapes: Shapes, channels: int) -> HifiganArchitecture:
    prefix = re.escape(VOCODER)
    stages = repeats(shapes, prefix + r"ups\.(\d+)\.") or 4
    blocks = repeats(shapes, prefix + r"resblocks\.(\d+)\.") or 3 * stages
    per_stage = max(1, blocks // stages)
    upsample_kernels = tuple(
        vote(sizes(shapes, prefix + rf"ups\.{stage}\.weight", 2), 16 if stage < stages // 2 else 4)
        for stage in range(stages)
    )
    return HifiganArchitecture(
        in_channels=vote(sizes(shapes, prefix + r"conv_pre\.weight", 1), channels),
        initial_channels=vote(sizes(shapes, prefix + r"(conv_pre|cond_layer)\.(weight|bias)", 0), 512),
        # Transposed convolutions overlap by half in every released generator: kernels 16, 16, 4, 4.
        upsample_strides=tuple(max(1, kernel // 2) for kernel in upsample_kernels),
        upsample_kernels=upsample_kernels,
        resblock_kernels=tuple(
            vote(_resblock_kernels(shapes, block, stages, per_stage), 3 + 4 * block)
            for block in range(per_stage)
        ),
        resblock_dilations=(RESBLOCK_DILATIONS,) * per_stage,
        speaker_channels=vote(sizes(shapes, prefix + r"(cond_layer|conds\.\d+)\.weight", 1), 512),
    )


def _resblock_kernels(shapes: Shapes, block: int, stages: int, per_stage: int) -> list[int]:
    """The kernel of resblock `block` of every stage, as all its convolutions state it."""
    numbers = "|".join(str(stage * per_stage + block) for stage in range(stages))
    return sizes(shapes, re.escape(VOCODER) + rf"resblocks\.({numbers})\.convs[12]\.\d+\.weight", 2)


def _read_speaker_encoder(shapes: Shapes) -> SpeakerEncoderArchitecture:
    prefix = re.escape(SPEAKER_ENCODER)
    stages = (1, 2, 3, 4)
    return SpeakerEncoderArchitecture(
        mel_bins=vote(sizes(shapes, prefix + r"torch_spec\.1\.mel_scale\.fb", 1), 64),
        blocks=tuple(
            repeats(shapes, prefix + rf"layer{stage}\.(\d+)\.") or SPEAKER_ENCODER_BLOCKS[stage - 1]
            for stage in stages
        ),
        channels=tuple(
            vote(sizes(shapes, prefix + rf"layer{stage}\.\d+\.bn[12]\.weight", 0), 16 << stage)
            for stage in stages
        ),
        embedding_channels=vote(sizes(shapes, prefix + r"fc\.(weight|bias)", 0), 512),
    )


def expected_shapes(architecture: XttsArchitecture, text_tokens: int) -> dict[str, Shape]:
    """Every tensor that inference needs, by published name, weight norm folded."""
    mel_bins = architecture.conditioning_mel_bins
    return {
        "mel_stats": (mel_bins,),
        **dict(_gpt(architecture, text_tokens)),
        **dict(_conditioning(architecture)),
        **dict(_vocoder(architecture.vocoder)),
        **dict(_speaker_encoder(architecture.speaker_encoder)),
    }


def _gpt(architecture: XttsArchitecture, text_tokens: int) -> Entries:
    channels = architecture.channels
    yield TEXT_EMBEDDING, (text_tokens, channels)
    yield f"{GPT}mel_embedding.weight", (architecture.audio_tokens, channels)
    yield f"{GPT}text_pos_embedding.emb.weight", (architecture.text_positions, channels)
    yield f"{GPT}mel_pos_embedding.emb.weight", (architecture.audio_positions, channels)
    for i in range(architecture.layers):
        block = f"{GPT}gpt.h.{i}"
        yield from layer(f"{block}.ln_1", (channels,), channels)
        yield from layer(f"{block}.attn.c_attn", (channels, 3 * channels), 3 * channels)
        yield from layer(f"{block}.attn.c_proj", (channels, channels), channels)
        yield from layer(f"{block}.ln_2", (channels,), channels)
        yield from layer(f"{block}.mlp.c_fc", (channels, 4 * channels), 4 * channels)
        yield from layer(f"{block}.mlp.c_proj", (4 * channels, channels), channels)
    yield from layer(f"{GPT}gpt.ln_f", (channels,), channels)
    yield from layer(f"{GPT}final_norm", (channels,), channels)
    yield from layer(f"{GPT}mel_head", (architecture.audio_tokens, channels), architecture.audio_tokens)


def _conditioning(architecture: XttsArchitecture) -> Entries:
    channels = architecture.channels
    yield from layer(f"{CONDITIONING}init", (channels, architecture.conditioning_mel_bins, 1), channels)
    for i in range(architecture.conditioning_blocks):
        block = f"{CONDITIONING}attn.{i}"
        yield from layer(f"{block}.norm", (channels,), channels)
        yield from layer(f"{block}.qkv", (3 * channels, channels, 1), 3 * channels)
        yield from layer(f"{block}.proj_out", (channels, channels, 1), channels)
    inner = architecture.perceiver_heads * architecture.perceiver_head_channels
    hidden = channels * 4 * 2 // 3  # of the gated feed-forward
    yield f"{PERCEIVER}latents", (architecture.perceiver_latents, channels)
    for i in range(architecture.perceiver_depth):
        block = f"{PERCEIVER}layers.{i}"
        yield f"{block}.0.to_q.weight", (inner, channels)
        yield f"{block}.0.to_kv.weight", (2 * inner, channels)
        yield f"{block}.0.to_out.weight", (channels, inner)
        yield from layer(f"{block}.1.0", (2 * hidden, channels), 2 * hidden)
        yield from layer(f"{block}.1.2", (channels, hidden), channels)
    yield f"{PERCEIVER}norm.gamma", (channels,)


def _vocoder(architecture: HifiganArchitecture) -> Entries:
    channels = architecture.initial_channels
    speaker = architecture.speaker_channels
    yield from layer(f"{VOCODER}conv_pre", (channels, architecture.in_channels, 7), channels)
    yield from layer(f"{VOCODER}cond_layer", (channels, speaker, 1), channels)
    per_stage = len(architecture.resblock_kernels)
    for stage, kernel in enumerate(architecture.upsample_kernels):
        channels //= 2
        yield from layer(f"{VOCODER}ups.{stage}", (2 * channels, channels, kernel), channels)
        yield from layer(f"{VOCODER}conds.{stage}", (channels, speaker, 1), channels)
        for i, (width, dilations) in enumerate(
            zip(architecture.resblock_kernels, architecture.resblock_dilations, strict=True)
        ):
            block = f"{VOCODER}resblocks.{stage * per_stage + i}"
            for j in range(len(dilations)):
                yield from layer(f"{block}.convs1.{j}", (channels, channels, width), channels)
                yield from layer(f"{block}.convs2.{j}", (channels, channels, width), channels)
    yield f"{VOCODER}conv_post.weight", (1, channels, 7)


def _speaker_encoder(architecture: SpeakerEncoderArchitecture) -> Entries:
    prefix = SPEAKER_ENCODER
    previous = architecture.channels[0]
    yield from layer(f"{prefix}conv1", (previous, 1, 3, 3), previous)
    yield from _batch_norm(f"{prefix}bn1", previous)
    for stage, (blocks, channels) in enumerate(
        zip(architecture.blocks, architecture.channels, strict=True), 1
    ):
        for i in range(blocks):
            block = f"{prefix}layer{stage}.{i}"
            yield f"{block}.conv1.weight", (channels, previous, 3, 3)
            yield from _batch_norm(f"{block}.bn1", channels)
            yield f"{block}.conv2.weight", (channels, channels, 3, 3)
            yield from _batch_norm(f"{block}.bn2", channels)
            yield from layer(f"{block}.se.fc.0", (channels // SQUEEZE, channels), channels // SQUEEZE)
            yield from layer(f"{block}.se.fc.2", (channels, channels // SQUEEZE), channels)
            if i == 0 and stage > 1:
                yield f"{block}.downsample.0.weight", (channels, previous, 1, 1)
                yield from _batch_norm(f"{block}.downsample.1", channels)
            previous = channels
    yield f"{prefix}torch_spec.0.filter", (1, 1, 2)
    yield f"{prefix}torch_spec.1.spectrogram.window", (SPECTROGRAM_WINDOW,)
    yield f"{prefix}torch_spec.1.mel_scale.fb", (SPECTROGRAM_BINS, architecture.mel_bins)
    # Three of the four stages halve the mel axis; what is left of it is folded into the channels.
    pooled = previous * (architecture.mel_bins // 8)
    attention = 128
    yield from layer(f"{prefix}attention.0", (attention, pooled, 1), attention)
    yield from _batch_norm(f"{prefix}attention.2", attention)
    yield from layer(f"{prefix}attention.3", (pooled, attention, 1), pooled)
    # Mean and deviation over time.
    yield from layer(
        f"{prefix}fc", (architecture.embedding_channels, 2 * pooled), architecture.embedding_channels
    )


def _batch_norm(name: str, channels: int) -> Entries:
    yield from layer(name, (channels,), channels)
    yield f"{name}.running_mean", (channels,)
    yield f"{name}.running_var", (channels,)
