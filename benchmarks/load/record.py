"""What became of one request: a line of requests.jsonl."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True):
    """Times are in seconds since the run began.

    `scheduled_s` is when the request should have left: latencies count from there, so that neither a slow
    server nor a slow client hides what its listeners waited. `arrivals` are (time, samples) pairs: when how
    many more samples could be heard. Samples are counted per channel at `sample_rate_hz`.
    """

    index: int
    scheduled_s: float
    sent_s: float
    finished_s: float
    model: str
    voice: str
    format: str
    language: str
    text_set: str
    text: str
    seed: int
    run: int = 0  # number of the run that it is of
    is_voice_new: bool = False
    status: int = 0  # of HTTP; 0: there was none
    error: str = ""  # empty: answered to its end
    num_bytes: int = 0
    sample_rate_hz: int = 0
    arrivals: tuple[tuple[float, int], ...] = ()
    first_audible: int | None = None  # sample

    @property
    def succeeded(self) -> bool:
        return not self.error

    @property
    def num_samples(self) -> int:
        return sum(count for _, count in self.arrivals)

    @property
    def audio_s(self) -> float:
        return self.num_samples / self.sample_rate_hz if self.arrivals else 0.0

    @property
    def lag_s(self) -> float:
        """How late the client was."""
        return self.sent_s - self.scheduled_s

    @property
    def first_audio_s(self) -> float | None:
        """Latency of the first sample, audible or not."""
        return self.arrivals[0][0] - self.scheduled_s if self.arrivals else None

    @property
    def ttfa_s(self) -> float | None:
        """Latency of the first audible sample."""
        heard = 0
        if self.first_audible is not None:
            for at_s, count in self.arrivals:
                heard += count
                if heard > self.first_audible:
                    return at_s - self.scheduled_s
        return None

    @property
    def leading_silence_s(self) -> float | None:
        return None if self.first_audible is None else self.first_audible / self.sample_rate_hz

    @property
    def rtf(self) -> float | None:
        """Seconds until the end per second of audio."""
        return (self.finished_s - self.scheduled_s) / self.audio_s if self.arrivals else None

    def gaps_s(self) -> list[float]:
        """How long each underrun lasts for somebody who plays the first sample as it comes."""
        gaps = []
        if self.arrivals:
            played_until_s = self.arrivals[0][0]  # what has come so far has been played by then
            for at_s, count in self.arrivals:
                if at_s > played_until_s:
                    gaps.append(at_s - played_until_s)
                    played_until_s = at_s
                played_until_s += count / self.sample_rate_hz
        return gaps


_encoder = msgspec.json.Encoder()
decode_record = msgspec.json.Decoder(Record).decode


def encode_record(record: Record) -> bytes:
    """One line."""
    return _encoder.encode(record) + b"\n"
