"""When the latent frames of an utterance become final, while its tokens are still being drawn.

The prior encoder lets every frame see every other one, so a frame's value moves with each token that follows,
for as long as the utterance goes on. To stream, it has to be frozen at some point. That point must not depend
on how a server cuts its chunks or on what else is in a batch, or the same request would sound different under
load. So it is part of the model here: tokens fall into fixed blocks, and a block's frames are what decoding
the utterance up to the block's end and `lookahead_tokens` more gives there. The end of the utterance ends its
last block. Nothing is blended: the generator sees one sequence of frozen frames, each window of it with its
exact context (providers/vocoder/windows.py), so blocks meet without a seam in the waveform.

Blocks double from 10 tokens (0.4 s) to 40, so that the first audio comes early and whole prefixes aren't read
too often. Later ones are a quarter of what precedes them, so that all readings together are at most six times
as long as one of the whole utterance, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

FIRST_BLOCK_TOKENS = 10
STEADY_BLOCK_TOKENS = 40
GROWTH = 4  # a late block is this part of what precedes it


class Reading(NamedTuple):
    """A pass of the prior encoder over an utterance's first tokens, which makes a block's frames final."""

    start: int  # tokens [start, stop) become final …
    stop: int
    tokens_read: int  # … with these known, from the utterance's first
    is_last: bool  # no token follows those read


@dataclass(frozen=True, slots=True)
class BlockSchedule:
    """Which readings an utterance takes. None of it changes with the spans that are asked for."""

    lookahead_tokens: int
    first_block_tokens: int = FIRST_BLOCK_TOKENS

    @property
    def tokens_to_first_block(self) -> int:
        return self.first_block_tokens + self.lookahead_tokens

    def readings(self, num_final: int, num_known: int, is_last: bool) -> Iterator[Reading]:
        """What can be read now. `num_final` tokens are final already: all of earlier readings' blocks."""
        stop = self._block_end(num_final)
        while stop + self.lookahead_tokens <= num_known:
            yield Reading(num_final, stop, stop + self.lookahead_tokens, is_last=False)
            num_final, stop = stop, self._block_end(stop)
        if is_last and num_final < num_known:
            yield Reading(num_final, num_known, num_known, is_last=True)

    def _block_end(self, start: int) -> int:
        if start == 0:
            return self.first_block_tokens
        return start + min(start, max(STEADY_BLOCK_TOKENS, start // GROWTH))


# Six frames of 20 ms: as far as the convolutions in the last encoder's three layers reach by themselves. What
# streaming costs against one shot, measured by benchmarks/gpt_sovits_lookahead.py on the tests' small random
# v2 over frames of look-ahead:
#
#   frames                              0      2      4      6      8     12     16
#   signal to noise, dB              30.9   35.6   39.2   39.7   39.9   41.4   41.7
#   mean distance of log-mels, dB   0.113  0.077  0.056  0.051  0.049  0.040  0.039
#
# Nearly all of the gain is there by six; what more would bring costs 20 ms per frame before the first audio.
# These are random weights: trained attention may look further ahead, so measure a trained submission.
STREAMED = BlockSchedule(lookahead_tokens=3)

# All at once, when the last token is known: what is published for speech that isn't streamed.
ONE_SHOT = BlockSchedule(lookahead_tokens=0, first_block_tokens=2**31)
