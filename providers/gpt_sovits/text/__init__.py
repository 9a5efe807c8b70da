"""GPT-SoVITS's text front end: cutting, languages, words for everything, phones. No torch."""

from providers.gpt_sovits.text.front_end import GptSovitsTextFrontEnd, phone_reader
from providers.gpt_sovits.text.reading import PhoneReader

__all__ = ["GptSovitsTextFrontEnd", "PhoneReader", "phone_reader"]
