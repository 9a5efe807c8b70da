"""Spans of several utterances → their samples, in batches of windows of equal length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from providers.vocoder.hifigan import HifiganGenerator
from providers.vocoder.windows import FrameSpan, Window, split_into_windows


@dataclass(frozen=True, slots=True)
class Batching:
    """How windows are brought together. None of it changes a sample beyond rounding."""

    length_multiple: int  # windows are padded to multiples of this many frames
    max_window_frames: int  # longer spans are split
    max_batch_frames: int  # frames over all windows that are vocoded at once


# A CPU core does one window as fast per frame as several, and faster while its activations stay in the cache:
# of 256 frames, 5 to 10 % faster than of 512. Of every length oneDNN makes some forty convolutions, in 30 ms
# and 15 MB, and keeps a thousand: twenty lengths would fit, and a hundred come. Multiples of six add 1 % to
# XTTS's windows, most of which are of 20 tokens, 113 or 114 frames; multiples of four add 2 %, of eight 5 %.
# A GPU is only full with many windows, and there padding is cheaper than another launch of 150 kernels.
CPU_BATCHING = Batching(length_multiple=6, max_window_frames=256, max_batch_frames=256)
CUDA_BATCHING = Batching(length_multiple=16, max_window_frames=1024, max_batch_frames=8192)


@dataclass(frozen=True, slots=True, eq=False)
class VocoderInput:
    """What one utterance has to vocode now."""

    span: FrameSpan
    frames: Tensor  # [n, in_channels]: exactly those of span.context(receptive field)
    speaker: Tensor  # [speaker_channels]


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One window of one input, padded."""

    source: int  # index of the input
    frames: Tensor  # [length, in_channels]
    speaker: Tensor
    context: tuple[int, int]  # frames on the left and on the right that get no samples
    keep: slice  # of the samples


class Vocoder:
    def __init__(self, generator: HifiganGenerator, batching: Batching | None = None) -> None:
        self.generator = generator
        on_cpu = generator.device.type == "cpu"
        self.batching = batching or (CPU_BATCHING if on_cpu else CUDA_BATCHING)

    @torch.inference_mode()
    def vocode(self, inputs: Sequence[VocoderInput]) -> list[Tensor]:
        """The samples of each input's span: float32 [n · samples_per_frame] in [-1, 1], on the device."""
        samples: list[list[Tensor]] = [[] for _ in inputs]
        pieces = [piece for i, item in enumerate(inputs) for piece in self._pieces(i, item)]
        kept: dict[int, Tensor] = {}
        for batch in self._batches(pieces):
            frames = torch.stack([pieces[i].frames for i in batch])
            speakers = torch.stack([pieces[i].speaker for i in batch])
            waves = self.generator(frames, speakers, pieces[batch[0]].context)
            kept.update({i: wave[pieces[i].keep] for i, wave in zip(batch, waves, strict=True)})
        for i, piece in enumerate(pieces):  # windows of an input in their order
            samples[piece.source].append(kept[i])
        return [torch.cat(parts) if parts else self._silence() for parts in samples]

    def _pieces(self, source: int, item: VocoderInput) -> Iterator[_Piece]:
        field = self.generator.receptive_field
        first, _ = item.span.context(field)
        for window in split_into_windows(item.span, field, self.batching.max_window_frames):
            context, padding = window.context(field), window.padding(self.batching.length_multiple)
            frames = F.pad(item.frames[window.start - first : window.stop - first], (0, 0, *padding))
            keep = self._kept_samples(window, first_frame=window.start - padding[0] + context[0])
            yield _Piece(source, frames, item.speaker, context, keep)

    def _kept_samples(self, window: Window, first_frame: int) -> slice:
        """Of the samples that the generator makes of the window, whose first ones are of `first_frame`."""
        scale = self.generator.samples_per_frame
        return slice((window.keep_start - first_frame) * scale, (window.keep_stop - first_frame) * scale)

    def _batches(self, pieces: Sequence[_Piece]) -> Iterator[list[int]]:
        """Indices of pieces of equal length and context, in the order of the first of each."""
        alike: dict[tuple[int, tuple[int, int]], list[int]] = defaultdict(list)
        for i, piece in enumerate(pieces):
            alike[len(piece.frames), piece.context].append(i)
        for (length, _), members in alike.items():
            size = max(self.batching.max_batch_frames // length, 1)
            yield from (members[i : i + size] for i in range(0, len(members), size))

    def _silence(self) -> Tensor:
        return torch.empty(0, device=self.generator.device)
