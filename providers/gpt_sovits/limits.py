"""How long a GPT-SoVITS utterance can be: what the decoder keeps room for. No torch here.

Published training leaves out clips with more than 540 phones (at the usual 54 s; 10 per second) or with more
than 25 phones per second, so these limits refuse only what no model has heard.
"""

from __future__ import annotations

MAX_REFERENCE_PHONES = 512  # of the reference's transcript
MAX_TEXT_PHONES = 512  # of one utterance

# 10 s of reference, and the 0.6 s of silence that the published implementation appends to it.
MAX_PROMPT_TOKENS = 264

MAX_TOKENS = 1500  # semantic tokens, 60 s: as many steps as the published implementation takes
