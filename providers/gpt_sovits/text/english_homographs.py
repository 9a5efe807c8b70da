"""English words that are spelled alike and sound different: which one, by the words around it.

Most pairs are a verb and a noun or adjective, and CMUdict has both; tables here say how to tell its variants
apart. No part-of-speech tagger is asked: those with a model in their wheel are unmaintained, and the one that
is maintained takes "the refuse" for a verb.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from providers.gpt_sovits.text.english_dictionary import Pronunciation, pronunciations

Test = Callable[[Pronunciation], bool]


def _late_stress(phones: Pronunciation) -> bool:
    vowels = [phone for phone in phones if phone[-1].isdigit()]
    return not vowels[0].endswith("1")


def _full_last_vowel(phones: Pronunciation) -> bool:
    """As in the verb "separate", whose last vowel the adjective swallows."""
    return [phone for phone in phones if phone[-1].isdigit()][-1].startswith("EY")


def _voiced_ending(phones: Pronunciation) -> bool:
    """Z and its plural, where the noun has S."""
    return next((phone for phone in reversed(phones) if phone[-1] in "SZ"), "") == "Z"


# Each kind: what the verb's pronunciation is known by, and its words.
_VERBS: tuple[tuple[Test, str], ...] = (
    (
        _late_stress,
        "abstract accent addict ally annex attribute combat combine compact compound compress conduct "
        "confines conflict console construct contest contract contrast converse convert convict decrease "
        "defect desert detail digest discharge discount escort essay excess exploit extract ferment "
        "impact implant import impress imprint incense incline increase insert insult object overflow "
        "perfect permit pervert present produce progress project protest rebel recall record refund "
        "refuse reject research segment subject survey suspect torment transfer transport update upgrade "
        "upset",
    ),
    (
        _full_last_vowel,
        "advocate affiliate aggregate alternate animate appropriate approximate articulate associate "
        "coordinate degenerate delegate deliberate desolate duplicate elaborate estimate graduate "
        "intimate moderate predicate separate subordinate syndicate",
    ),
    (_voiced_ending, "abuse close diffuse excuse misuse use"),
)
# Pairs that differ otherwise: the verb's pronunciation, and the other one.
_PAIRS = {
    "content": ("K AA1 N T EH0 N T", "K AH0 N T EH1 N T"),  # the noun, and the adjective
    "house": ("HH AW1 Z", "HH AW1 S"),
    "live": ("L IH1 V", "L AY1 V"),
    "read": ("R IY1 D", "R EH1 D"),  # the present, and the past
    "tear": ("T EH1 R", "T IH1 R"),
    "wind": ("W AY1 N D", "W IH1 N D"),
    "wound": ("W AW1 N D", "W UW1 N D"),
}

_SUBJECTS = frozenset("i you we they who".split())
_BEFORE_VERBS = _SUBJECTS | frozenset(
    "to will would can could may might must shall should do does did let let's lets please don't doesn't "
    "didn't won't wouldn't can't cannot couldn't shouldn't mustn't i'll you'll we'll they'll he'll she'll "
    "it'll i'd you'd we'd they'd he'd she'd help".split()
)
_DETERMINERS = frozenset(
    "the a an this that these those my your his her its our their no any some every each another all both "
    "which what whose".split()
)
_BEFORE_NOUNS = _DETERMINERS | frozenset(
    "of in on at by for from with about into over under between through against during without within as "
    "than is are was were be been being am i'm you're we're they're it's that's very so too more most "
    "quite one two three four five six seven eight nine ten new old good bad first last next".split()
)
_OBJECTS = _DETERMINERS | frozenset(
    "me you him us them it himself herself itself themselves up down out".split()
)
_AUXILIARIES = frozenset(
    "have has had having i've you've we've they've haven't hasn't hadn't was were be been being is are "
    "got he she it already well".split()
)
_BE = frozenset("is are was were be been am i'm you're we're they're he's she's it's feel feels felt".split())
_SKIPPED = frozenset("not also never always often just then only still even really first".split())
_AFTER_LIVE = frozenset(
    "in at on with together here there by alone near through under without up for long longer forever "
    "among around outside inside like off within".split()
)


def is_homograph(word: str) -> bool:
    return word in _pairs()


def pronunciation(words: Sequence[str], index: int) -> Pronunciation:
    """Of the homograph `words[index]`, among a sentence's words in small letters and its marks."""
    first, second = _pairs()[words[index]]
    before = _word_before(words, index)
    after = words[index + 1] if index + 1 < len(words) else ""
    return first if _TESTS.get(words[index], _is_verb)(before, after) else second


def _is_verb(before: str, after: str) -> bool:
    if before in _BEFORE_VERBS:
        return True
    return before not in _BEFORE_NOUNS and after in _OBJECTS


def _is_live_verb(before: str, after: str) -> bool:
    return before in _BEFORE_VERBS or (before not in _BEFORE_NOUNS and after in _AFTER_LIVE)


def _is_present(before: str, after: str) -> bool:
    return before not in _AUXILIARIES


def _is_content_noun(before: str, after: str) -> bool:
    return before not in _BE


def _is_wound_up(before: str, after: str) -> bool:
    return after in ("up", "down", "around", "back")


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "live": _is_live_verb,
    "read": _is_present,
    "content": _is_content_noun,
    "wound": _is_wound_up,
}


def _word_before(words: Sequence[str], index: int) -> str:
    """The nearest word on the left that says something about the class; "" at a sentence's start."""
    for word in reversed(words[:index]):
        if word not in _SKIPPED and not word.endswith("ly"):
            return word if word[0].isalpha() else ""
    return ""


@lru_cache(maxsize=1)
def _pairs() -> dict[str, tuple[Pronunciation, Pronunciation]]:
    """Word → the verb's phones and the other's, each as CMUdict has it."""
    pairs = {word: (tuple(first.split()), tuple(second.split())) for word, (first, second) in _PAIRS.items()}
    for is_verb, listed in _VERBS:
        for word in listed.split():
            variants = pronunciations(word)
            verb = next(phones for phones in variants if is_verb(phones))
            other = next(phones for phones in variants if not is_verb(phones))
            pairs[word] = (verb, other)
    return pairs
