"""XTTS's text front end: cleaning, language, splitting, words for everything, tokens. No torch."""

from providers.xtts.text.front_end import XttsTextFrontEnd

__all__ = ["XttsTextFrontEnd"]
