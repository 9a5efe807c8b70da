"""`XttsTextFrontEnd`: text of a request → prompts of its utterances, for one submission."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
from tokenizers import Tokenizer

from models_store.checkpoints.architecture import XttsConfig
from models_store.submission import SubmissionFiles
from providers.errors import EmptyText, TextTooLong, UnsupportedLanguage
from providers.interface import Prompt, SamplingParams
from providers.xtts.text.cleaning import clean, is_speakable
from providers.xtts.text.detection import detect
from providers.xtts.text.languages import LANGUAGES, Language, is_auto, offered_languages, resolve
from providers.xtts.text.normalization import spoken, transliterate
from providers.xtts.text.sentences import split

# Digits and signs grow when they are put into words, so a piece within the limit on characters can take
# longer to say than the 28 s that 602 speech tokens last. At this growth English takes about 25 s.
_GROWTH = 1.5


class XttsTextFrontEnd:
    """Not thread-safe (num2words keeps state); cheap to make in every process of a pool."""

    def __init__(self, files: SubmissionFiles) -> None:
        self._config = msgspec.json.decode(files.paths["config"].read_bytes(), type=XttsConfig)
        self._tokenizer = Tokenizer.from_file(str(files.paths["vocabulary"]))
        self._languages = offered_languages(files.submission.languages)
        if not self._languages:
            raise UnsupportedLanguage(", ".join(files.submission.languages), tuple(LANGUAGES))

    @staticmethod
    def warm_up() -> None:
        detect("Most clients don't say which language a text is in.", tuple(LANGUAGES))

    @property
    def default_sampling(self) -> SamplingParams:
        return SamplingParams(
            temperature=self._config.temperature,
            top_k=self._config.top_k,
            top_p=self._config.top_p,
            repetition_penalty=self._config.repetition_penalty,
            max_tokens=self._config.architecture.max_speech_tokens,
            seed=0,
        )

    def prompts(self, text: str, language: str | None, method: str | None = None) -> list[Prompt]:
        """One prompt per utterance, in order. Raises UnsupportedLanguage, EmptyText, TextTooLong.

        XTTS's texts are cut in one way: `method` says nothing here.
        """
        text = clean(text)
        row = self._language(text, language)
        pieces = split(text, row.primary, row.max_chars)
        prompts = [prompt for piece in pieces for prompt in self._fitting(piece, row)]
        if not prompts:
            raise EmptyText("found nothing that can be spoken; expected at least one letter or digit")
        return prompts

    def _language(self, text: str, tag: str | None) -> Language:
        if tag is None or is_auto(tag):
            return self._languages[detect(text, tuple(self._languages))]
        return resolve(tag, self._languages)

    def _fitting(self, piece: str, language: Language) -> Iterator[Prompt]:
        """The prompt of a piece, or of its parts where its words are too many for one utterance."""
        words = spoken(piece, language.code)
        if not is_speakable(words):
            return
        normalised = transliterate(words, language.code)
        ids = self._encode(normalised, language)
        allowed_ids = self._config.max_text_tokens - 1
        excess = max(len(ids) / allowed_ids, len(words) / (_GROWTH * language.max_chars))
        if excess <= 1 or (len(piece) == 1 and len(ids) <= allowed_ids):
            yield Prompt(ids=ids, text=normalised, language=language.code)
            return
        if len(piece) == 1:
            raise TextTooLong(
                f"found {len(ids)} text tokens for {piece!r} alone; this submission takes {allowed_ids}"
            )
        # Even parts, and a tenth more for words that don't end where a part does.
        even = math.ceil(1.1 * len(piece) / math.ceil(excess))
        for part in split(piece, language.primary, min(len(piece) - 1, even)):
            yield from self._fitting(part, language)

    def _encode(self, normalised: str, language: Language) -> tuple[int, ...]:
        prompt = f"[{language.code}]{normalised}".replace(" ", "[SPACE]")
        return tuple(self._tokenizer.encode(prompt).ids)
