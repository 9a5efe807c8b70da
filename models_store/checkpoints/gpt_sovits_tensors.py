"""GPT-SoVITS's tensors: the architecture that shapes state, and the shapes that an architecture implies.

Names are the published ones, those of gpt.ckpt without their `model.`, with weight norm folded.
"""

from __future__ import annotations

import re

from models_store.checkpoints.architecture import HifiganArchitecture
from models_store.checkpoints.checkpoint_file import CheckpointFile
from models_store.checkpoints.gpt_sovits_architecture import (
    FlowArchitecture,
    GptSovitsArchitecture,
    PriorEncoderArchitecture,
    StyleEncoderArchitecture,
    TextToSemanticArchitecture,
)
from models_store.checkpoints.gpt_sovits_config import HOP, SAMPLE_RATE_HZ, WINDOW, GptConfig, SovitsConfig
from models_store.checkpoints.gpt_sovits_variants import HEADER_NAMES, SYMBOLS, Variant
from models_store.checkpoints.shapes import Entries, Shape, Shapes, layer, repeats, sizes, vote

SOVITS = CheckpointFile(
    name="sovits.pth",
    title="GPT-SoVITS",
    holds="a dict whose 'weight' is the state dict of a SoVITS model",
    key="weight",
    prefix="",
    # The posterior encoder, and what the codebook's training keeps count of.
    dropped=re.compile(r"enc_q\..*|quantizer\.vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)"),
    plain_values="tensors, plain values and GPT-SoVITS's utils.HParams",
    plain_save="{'weight': model.state_dict(), 'config': config}",
    source="Upload the file of the folder SoVITS_weights that GPT-SoVITS's training wrote.",
    num_tensors="the seven hundred of a SoVITS model",
    headers=frozenset(HEADER_NAMES),
)
GPT = CheckpointFile(
    name="gpt.ckpt",
    title="GPT-SoVITS",
    holds="a dict whose 'weight' is the state dict of a text-to-semantic model",
    key="weight",
    prefix="model.",
    dropped=re.compile(r"(?!)"),
    plain_values="tensors and plain values",
    plain_save="{'weight': model.state_dict(), 'config': config}",
    source="Upload the file of the folder GPT_weights that GPT-SoVITS's training wrote.",
    num_tensors="the three hundred of a text-to-semantic model",
)

TEXT_EMBEDDING = "enc_p.text_embedding.weight"
PHONEME_EMBEDDING = "ar_text_embedding.word_embeddings.weight"
CODEBOOK = "quantizer.vq.layers.0._codebook.embed"

# Constants of the published code, not stated by any file.
TOKEN_RATE_HZ = 25
MRTE_HEADS = 4
STYLE_HEADS = 2
SSL_STRIDE = 2  # of ssl_proj: 50 Hz of HuBERT to 25 Hz of tokens


def read_text_to_semantic(shapes: Shapes, config: GptConfig, variant: Variant) -> TextToSemanticArchitecture:
    """What these tensors have; where they are silent the config speaks, then the published model."""
    channels = vote(
        sizes(shapes, r"h\.layers\.\d+\.norm[12]\.weight", 0), config.get("model.hidden_dim"), 512
    )
    audio_tokens = vote(
        sizes(shapes, r"ar_(audio_embedding\.word_embeddings|predict_layer)\.weight", 0),
        config.get("model.vocab_size"),
        1025,
    )
    return TextToSemanticArchitecture(
        layers=repeats(shapes, r"h\.layers\.(\d+)\.") or config.get("model.n_layer") or 24,
        channels=channels,
        heads=config.get("model.head") or 16,
        feed_forward_channels=vote(sizes(shapes, r"h\.layers\.\d+\.linear1\.weight", 0), 4 * channels),
        phonemes=vote(sizes(shapes, re.escape(PHONEME_EMBEDDING), 0), SYMBOLS[variant.symbols].gpt_rows),
        bert_channels=vote(sizes(shapes, r"bert_proj\.weight", 1), 1024),
        audio_tokens=audio_tokens,
        stop_audio_token=audio_tokens - 1,
    )


def read_architecture(
    shapes: Shapes, config: SovitsConfig, variant: Variant, text_to_semantic: TextToSemanticArchitecture
) -> GptSovitsArchitecture:
    """What these tensors of sovits.pth have; where they are silent the config speaks, then published v2."""
    channels = vote(
        sizes(shapes, r"enc_p\.(encoder_ssl|encoder_text|encoder2)\.norm_layers_[12]\.\d+\.gamma", 0), 192
    )
    latent_channels = vote(
        [
            *sizes(shapes, r"dec\.conv_pre\.weight", 1),
            *(rows // 2 for rows in sizes(shapes, r"enc_p\.proj\.(weight|bias)", 0)),
            *(2 * rows for rows in sizes(shapes, r"flow\.flows\.\d+\.post\.(weight|bias)", 0)),
        ],
        192,
    )
    style_channels = vote(
        [
            *sizes(shapes, r"ref_enc\.fc\.fc\.(weight|bias)", 0),
            *sizes(shapes, r"dec\.cond\.weight", 1),
            *sizes(shapes, r"flow\.flows\.\d+\.enc\.cond_layer\.weight", 1),
        ],
        512,
    )
    return GptSovitsArchitecture(
        variant=variant.name,
        symbols=variant.symbols,
        text_to_semantic=text_to_semantic,
        ssl_channels=vote(sizes(shapes, r"ssl_proj\.(weight|bias)", 0), 768),
        codebook_tokens=vote(sizes(shapes, re.escape(CODEBOOK), 0), 1024),
        prior=_read_prior(shapes, config, variant, channels),
        flow=_read_flow(shapes, latent_channels),
        style=_read_style(shapes, variant, style_channels),
        vocoder=_read_vocoder(shapes, config, latent_channels, style_channels),
        speaker_vector_channels=(
            vote(sizes(shapes, r"sv_emb\.weight", 1), 20480) if variant.has_speaker_vector else None
        ),
        sample_rate_hz=SAMPLE_RATE_HZ,
        token_rate_hz=TOKEN_RATE_HZ,
        spectrogram_window=WINDOW,
        spectrogram_hop=HOP,
    )


def _read_prior(
    shapes: Shapes, config: SovitsConfig, variant: Variant, channels: int
) -> PriorEncoderArchitecture:
    def layers(encoder: str) -> int:
        return repeats(shapes, rf"enc_p\.{encoder}\.attn_layers\.(\d+)\.")

    positions = vote(sizes(shapes, r"enc_p\..*\.emb_rel_[kv]", 1), 9)
    return PriorEncoderArchitecture(
        channels=channels,
        feed_forward_channels=vote(sizes(shapes, r"enc_p\..*\.conv_1\.weight", 0), 768),
        feed_forward_kernel=vote(sizes(shapes, r"enc_p\..*\.conv_[12]\.weight", 2), 3),
        heads=config.heads,
        window=positions // 2,
        ssl_layers=layers("encoder_ssl") or 3,
        text_layers=layers("encoder_text") or 6,
        fused_layers=layers("encoder2") or 3,
        phonemes=SYMBOLS[variant.symbols].sovits_rows,
        mrte_channels=vote(sizes(shapes, r"enc_p\.mrte\.(c_pre|text_pre)\.(weight|bias)", 0), 512),
        mrte_heads=MRTE_HEADS,
    )


def _read_flow(shapes: Shapes, channels: int) -> FlowArchitecture:
    # Every other module is a flip, which has no tensors.
    even = {f"{int(match[1]) // 2}": () for name in shapes if (match := _COUPLING.match(name))}
    return FlowArchitecture(
        channels=channels,
        hidden_channels=vote(sizes(shapes, r"flow\.flows\.\d+\.pre\.(weight|bias)", 0), 192),
        couplings=repeats(even, r"(\d+)$") or 4,
        layers=repeats(shapes, r"flow\.flows\.\d+\.enc\.in_layers\.(\d+)\.") or 4,
        kernel=vote(sizes(shapes, r"flow\.flows\.\d+\.enc\.in_layers\.\d+\.weight", 2), 5),
    )


_COUPLING = re.compile(r"flow\.flows\.(\d{1,4})\.")


def _read_style(shapes: Shapes, variant: Variant, style_channels: int) -> StyleEncoderArchitecture:
    return StyleEncoderArchitecture(
        bins=variant.spectrogram_bins,
        channels=vote(sizes(shapes, r"ref_enc\.(spectral\.\d+\.fc|slf_attn\.\w+)\.(weight|bias)", 0), 128),
        heads=STYLE_HEADS,
        kernel=vote(sizes(shapes, r"ref_enc\.temporal\.\d+\.conv1\.conv\.weight", 2), 5),
        style_channels=style_channels,
    )


def _read_vocoder(
    shapes: Shapes, config: SovitsConfig, in_channels: int, style_channels: int
) -> HifiganArchitecture:
    stages = len(config.upsample_strides)
    per_stage = len(config.resblock_dilations)

    def resblock_kernel(block: int) -> int:
        numbers = "|".join(str(stage * per_stage + block) for stage in range(stages))
        stated = sizes(shapes, rf"dec\.resblocks\.({numbers})\.convs[12]\.\d+\.weight", 2)
        return vote(stated, 3 + 4 * block)

    return HifiganArchitecture(
        in_channels=in_channels,
        initial_channels=vote(sizes(shapes, r"dec\.(conv_pre|cond)\.(weight|bias)", 0), 512),
        upsample_strides=config.upsample_strides,
        upsample_kernels=tuple(
            vote(sizes(shapes, rf"dec\.ups\.{stage}\.weight", 2), 2 * stride)
            for stage, stride in enumerate(config.upsample_strides)
        ),
        resblock_kernels=tuple(resblock_kernel(block) for block in range(per_stage)),
        resblock_dilations=config.resblock_dilations,
        speaker_channels=style_channels,
    )


def text_to_semantic_shapes(architecture: TextToSemanticArchitecture) -> dict[str, Shape]:
    """Every tensor of gpt.ckpt that inference needs."""
    return dict(_text_to_semantic(architecture))


def sovits_shapes(architecture: GptSovitsArchitecture) -> dict[str, Shape]:
    """Every tensor of sovits.pth that inference needs."""
    ssl, flow, style = architecture.ssl_channels, architecture.flow, architecture.style
    return {
        **dict(layer("ssl_proj", (ssl, ssl, SSL_STRIDE), ssl)),
        CODEBOOK: (architecture.codebook_tokens, ssl),
        **dict(_prior(architecture)),
        **dict(_flow(flow, style.style_channels)),
        **dict(_style(style)),
        **dict(_vocoder(architecture.vocoder)),
        **dict(_speaker_vector(architecture)),
    }


def _text_to_semantic(architecture: TextToSemanticArchitecture) -> Entries:
    channels, inner = architecture.channels, architecture.feed_forward_channels
    yield from layer("bert_proj", (channels, architecture.bert_channels), channels)
    yield PHONEME_EMBEDDING, (architecture.phonemes, channels)
    yield "ar_text_position.alpha", (1,)
    yield "ar_audio_embedding.word_embeddings.weight", (architecture.audio_tokens, channels)
    yield "ar_audio_position.alpha", (1,)
    for i in range(architecture.layers):
        block = f"h.layers.{i}"
        yield f"{block}.self_attn.in_proj_weight", (3 * channels, channels)
        yield f"{block}.self_attn.in_proj_bias", (3 * channels,)
        yield from layer(f"{block}.self_attn.out_proj", (channels, channels), channels)
        yield from layer(f"{block}.linear1", (inner, channels), inner)
        yield from layer(f"{block}.linear2", (channels, inner), channels)
        yield from layer(f"{block}.norm1", (channels,), channels)
        yield from layer(f"{block}.norm2", (channels,), channels)
    yield "ar_predict_layer.weight", (architecture.audio_tokens, channels)


def _prior(architecture: GptSovitsArchitecture) -> Entries:
    prior, channels = architecture.prior, architecture.prior.channels
    yield from layer("enc_p.ssl_proj", (channels, architecture.ssl_channels, 1), channels)
    yield from _attention_stack("enc_p.encoder_ssl", prior.ssl_layers, prior)
    yield from _attention_stack("enc_p.encoder_text", prior.text_layers, prior)
    yield TEXT_EMBEDDING, (prior.phonemes, channels)
    yield from _attention("enc_p.mrte.cross_attention", prior.mrte_channels)
    yield from layer("enc_p.mrte.c_pre", (prior.mrte_channels, channels, 1), prior.mrte_channels)
    yield from layer("enc_p.mrte.text_pre", (prior.mrte_channels, channels, 1), prior.mrte_channels)
    yield from layer("enc_p.mrte.c_post", (channels, prior.mrte_channels, 1), channels)
    yield from _attention_stack("enc_p.encoder2", prior.fused_layers, prior)
    moments = 2 * architecture.flow.channels  # mean and log deviation
    yield from layer("enc_p.proj", (moments, channels, 1), moments)


def _attention_stack(name: str, layers: int, prior: PriorEncoderArchitecture) -> Entries:
    channels, inner, kernel = prior.channels, prior.feed_forward_channels, prior.feed_forward_kernel
    positions = (1, 2 * prior.window + 1, channels // prior.heads)
    for i in range(layers):
        yield f"{name}.attn_layers.{i}.emb_rel_k", positions
        yield f"{name}.attn_layers.{i}.emb_rel_v", positions
        yield from _attention(f"{name}.attn_layers.{i}", channels)
        yield from layer(f"{name}.ffn_layers.{i}.conv_1", (inner, channels, kernel), inner)
        yield from layer(f"{name}.ffn_layers.{i}.conv_2", (channels, inner, kernel), channels)
        for norm in ("norm_layers_1", "norm_layers_2"):
            yield f"{name}.{norm}.{i}.gamma", (channels,)
            yield f"{name}.{norm}.{i}.beta", (channels,)


def _attention(name: str, channels: int) -> Entries:
    for projection in ("conv_q", "conv_k", "conv_v", "conv_o"):
        yield from layer(f"{name}.{projection}", (channels, channels, 1), channels)


def _flow(flow: FlowArchitecture, style_channels: int) -> Entries:
    half, hidden = flow.channels // 2, flow.hidden_channels
    for i in range(flow.couplings):
        coupling = f"flow.flows.{2 * i}"
        yield from layer(f"{coupling}.pre", (hidden, half, 1), hidden)
        for j in range(flow.layers):
            yield from layer(f"{coupling}.enc.in_layers.{j}", (2 * hidden, hidden, flow.kernel), 2 * hidden)
            # The last layer has nothing behind it to hand a residual to.
            rows = 2 * hidden if j + 1 < flow.layers else hidden
            yield from layer(f"{coupling}.enc.res_skip_layers.{j}", (rows, hidden, 1), rows)
        gates = 2 * hidden * flow.layers
        yield from layer(f"{coupling}.enc.cond_layer", (gates, style_channels, 1), gates)
        yield from layer(f"{coupling}.post", (half, hidden, 1), half)


def _style(style: StyleEncoderArchitecture) -> Entries:
    channels = style.channels
    yield from layer("ref_enc.spectral.0.fc", (channels, style.bins), channels)
    yield from layer("ref_enc.spectral.3.fc", (channels, channels), channels)
    for i in range(2):
        yield from layer(
            f"ref_enc.temporal.{i}.conv1.conv", (2 * channels, channels, style.kernel), 2 * channels
        )
    for projection in ("w_qs", "w_ks", "w_vs", "fc"):
        yield from layer(f"ref_enc.slf_attn.{projection}", (channels, channels), channels)
    yield from layer("ref_enc.fc.fc", (style.style_channels, channels), style.style_channels)


def _vocoder(vocoder: HifiganArchitecture) -> Entries:
    channels = vocoder.initial_channels
    yield from layer("dec.conv_pre", (channels, vocoder.in_channels, 7), channels)
    yield from layer("dec.cond", (channels, vocoder.speaker_channels, 1), channels)
    per_stage = len(vocoder.resblock_kernels)
    for stage, kernel in enumerate(vocoder.upsample_kernels):
        channels //= 2
        yield from layer(f"dec.ups.{stage}", (2 * channels, channels, kernel), channels)
        for i, (width, dilations) in enumerate(
            zip(vocoder.resblock_kernels, vocoder.resblock_dilations, strict=True)
        ):
            block = f"dec.resblocks.{stage * per_stage + i}"
            for j in range(len(dilations)):
                yield from layer(f"{block}.convs1.{j}", (channels, channels, width), channels)
                yield from layer(f"{block}.convs2.{j}", (channels, channels, width), channels)
    yield "dec.conv_post.weight", (1, channels, 7)


def _speaker_vector(architecture: GptSovitsArchitecture) -> Entries:
    if architecture.speaker_vector_channels is None:
        return
    style, mrte = architecture.style.style_channels, architecture.prior.mrte_channels
    yield from layer("sv_emb", (style, architecture.speaker_vector_channels), style)
    yield from layer("ge_to512", (mrte, style), mrte)
    yield "prelu.weight", (style,)
