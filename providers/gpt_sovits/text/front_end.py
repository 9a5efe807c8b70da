"""`GptSovitsTextFrontEnd`: text of a request → prompts of its utterances, for one submission."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from models_store.checkpoints.gpt_sovits_architecture import GptSovitsConfig
from models_store.submission import SubmissionFiles
from providers.errors import EmptyText, TextTooLong
from providers.gpt_sovits.limits import MAX_TEXT_PHONES, MAX_TOKENS
from providers.gpt_sovits.text import english
from providers.gpt_sovits.text.cutting import DEFAULT_METHOD, SENTENCE_MARKS, cut
from providers.gpt_sovits.text.languages import resolve
from providers.gpt_sovits.text.reading import PhoneReader
from providers.gpt_sovits.text.symbols import TableName, symbol_table
from providers.interface import Prompt, SamplingParams


class GptSovitsTextFrontEnd:
    """Cheap to make in every process of a pool: dictionaries are the process's, and load when needed."""

    def __init__(self, files: SubmissionFiles) -> None:
        self._config = msgspec.json.decode(files.paths["config"].read_bytes(), type=GptSovitsConfig)
        self._reader = phone_reader(self._config, files)

    @staticmethod
    def warm_up() -> None:
        """English only: the others' dictionaries take 0.3 to 0.7 s and 40 to 115 MB each, at a first text."""
        english.phones("Known words, and wugs.", symbol_table("v2"))

    @property
    def default_sampling(self) -> SamplingParams:
        """The published API's defaults."""
        architecture = self._config.architecture
        return SamplingParams(
            temperature=1.0,
            top_k=15,
            top_p=1.0,
            repetition_penalty=1.35,
            max_tokens=min(MAX_TOKENS, int(self._config.max_audio_s * architecture.token_rate_hz)),
            seed=0,
            noise_scale=0.5,
        )

    def prompts(self, text: str, language: str | None, method: str | None = None) -> list[Prompt]:
        """One prompt per utterance, in order. Raises UnsupportedLanguage, EmptyText, TextTooLong.

        `method` is how the text is cut, `cut0` to `cut5`; KeyError for any other. None is the published
        default.
        """
        mode = resolve(language, text, self._config.languages)
        pieces = cut(text, method or DEFAULT_METHOD, mode)
        prompts = [prompt for piece in pieces for prompt in self._fitting(piece, mode)]
        if not prompts:
            raise EmptyText("found nothing that can be spoken; expected at least one letter or digit")
        return prompts

    def _fitting(self, piece: str, mode: str) -> Iterator[Prompt]:
        """The prompt of a piece, or of its parts where it has too many phones for one utterance."""
        prompt = self._reader.read(piece, mode)
        if not self._reader.is_spoken(prompt):
            return
        if len(prompt.ids) <= MAX_TEXT_PHONES:
            yield prompt
            return
        if len(piece) == 1:
            raise TextTooLong(
                f"found {len(prompt.ids)} phones for {piece!r} alone; an utterance takes {MAX_TEXT_PHONES}"
            )
        middle = _break(piece)
        yield from self._fitting(piece[:middle], mode)
        yield from self._fitting(piece[middle:], mode)


def phone_reader(config: GptSovitsConfig, files: SubmissionFiles) -> PhoneReader:
    """Reads as a submission was trained to; the engine reads references' transcripts with it too."""
    table: TableName = "v1" if config.architecture.symbols == "v1" else "v2"
    return PhoneReader(table, config.languages, files.base_models)


def _break(piece: str) -> int:
    """Behind the mark, else the space, that is nearest to the middle of its inner half; else the middle."""
    middle, quarter = len(piece) // 2, len(piece) // 4
    for breaks in (SENTENCE_MARKS, " "):
        places = [i + 1 for i in range(quarter, len(piece) - quarter) if piece[i] in breaks]
        if places := [place for place in places if 0 < place < len(piece)]:
            return min(places, key=lambda place: abs(place - middle))
    return max(middle, 1)
