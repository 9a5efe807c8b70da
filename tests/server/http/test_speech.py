from __future__ import annotations

import numpy as np


def test_pcm_is_the_speech_itself(server, expected_tone):
    response = server.speak(response_format="pcm")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/pcm"
    samples = np.frombuffer(response.content, "<i2") / 32767
    np.testing.assert_allclose(samples, expected_tone(server.speech.spoken[0]), atol=1 / 32767)
