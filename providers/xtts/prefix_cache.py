"""Keys and values of conditioning latents: the start of every prompt that one voice speaks."""

from __future__ import annotations

from collections import OrderedDict

from providers.decoding.decoder import Decoder
from providers.decoding.kv_cache import PrefixKV
from providers.xtts.conditioning import XttsConditioning
from providers.xtts.gpt import GptWeights

# A voice of XTTS-v2 takes 7.5 MiB in float32: 17 of them; 34 in bfloat16.
CAPACITY_BYTES = 128 * 2**20


class PrefixCache:
    """The last used voices' prefixes, by bytes. A third of a short sentence's prefill is not done again."""

    def __init__(self, decoder: Decoder, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._decoder = decoder
        self._capacity_bytes = capacity_bytes
        self._entries: OrderedDict[tuple[GptWeights, XttsConditioning], PrefixKV] = OrderedDict()

    def get(self, gpt: GptWeights, conditioning: XttsConditioning) -> PrefixKV:
        key = (gpt, conditioning)
        if key not in self._entries:
            self._entries[key] = self._decoder.cache_prefix(gpt.decoder, conditioning.gpt_cond_latent)
        self._entries.move_to_end(key)
        self._trim()
        return self._entries[key]

    def forget(self, gpt: GptWeights) -> None:
        """Drop the prefixes of weights that leave the device."""
        for key in [key for key in self._entries if key[0] is gpt]:
            del self._entries[key]

    def _trim(self) -> None:
        """Keep to the capacity, but for the one just used."""
        excess = sum(prefix.size_bytes for prefix in self._entries.values()) - self._capacity_bytes
        while excess > 0 and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            excess -= dropped.size_bytes
