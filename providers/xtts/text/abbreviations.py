"""Titles and other short forms that a reader says in full.

The published normaliser's list, which the model was trained on, and `sig.ra`, which it garbles.
"""

from __future__ import annotations

import re

# language → short form → what is said; the short forms end in a full stop, except in Russian.
_WITH_STOP = {
    "en": {
        "mr": "mister",
        "mrs": "misess",
        "dr": "doctor",
        "drs": "doctors",
        "st": "saint",
        "co": "company",
        "ltd": "limited",
        "jr": "junior",
        "esq": "esquire",
        "rev": "reverend",
        "hon": "honorable",
        "gen": "general",
        "maj": "major",
        "col": "colonel",
        "capt": "captain",
        "lt": "lieutenant",
        "sgt": "sergeant",
        "ft": "fort",
    },
    "es": {
        "sr": "señor",
        "sra": "señora",
        "dr": "doctor",
        "dra": "doctora",
        "st": "santo",
        "co": "compañía",
        "ltd": "limitada",
        "jr": "junior",
    },
    "fr": {
        "mr": "monsieur",
        "mme": "madame",
        "dr": "docteur",
        "st": "saint",
        "co": "compagnie",
        "ltd": "limitée",
        "jr": "junior",
    },
    "de": {"fr": "frau", "dr": "doktor", "st": "sankt", "co": "firma", "jr": "junior"},
    "pt": {
        "sr": "senhor",
        "sra": "senhora",
        "dr": "doutor",
        "dra": "doutora",
        "st": "santo",
        "co": "companhia",
        "ltd": "limitada",
        "jr": "júnior",
    },
    "it": {
        "sig": "signore",
        "sig.ra": "signora",
        "dr": "dottore",
        "st": "santo",
        "co": "compagnia",
        "ltd": "limitata",
        "jr": "junior",
    },
    "pl": {"p": "pani", "m": "pan", "dr": "doktor", "sw": "święty", "jr": "junior"},
    "cs": {"p": "pan", "dr": "doktor", "ing": "inženýr"},
    "nl": {"dhr": "de heer", "mevr": "mevrouw", "dr": "dokter", "jhr": "jonkheer"},
    "tr": {"b": "bay", "byk": "büyük", "dr": "doktor"},
    "hu": {"dr": "doktor", "b": "bácsi", "nőv": "nővér"},
}
_WITHOUT_STOP = {"ru": {"г-н": "господин", "г-жа": "госпожа", "д-р": "доктор"}}


def _pattern(short_forms: dict[str, str], end: str) -> re.Pattern[str]:
    longest_first = sorted(short_forms, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))}){end}")


_RULES = {
    **{language: (_pattern(forms, r"\."), forms) for language, forms in _WITH_STOP.items()},
    **{language: (_pattern(forms, r"\b"), forms) for language, forms in _WITHOUT_STOP.items()},
}


def expand_abbreviations(text: str, language: str) -> str:
    """`text` is lower case already."""
    if language not in _RULES:
        return text
    pattern, forms = _RULES[language]
    return pattern.sub(lambda match: forms[match[1]], text)
