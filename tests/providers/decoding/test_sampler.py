from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.decoding import sampler
from providers.decoding.sampler import (
    PLAIN_RULE,
    SamplingRows,
    SamplingRule,
    filter_probabilities,
    penalise,
    random_key,
    sample,
    uniform,
)

VOCABULARY = 200
STOP = VOCABULARY - 1


def rows(count, *, temperature=1.0, top_k=0, top_p=1.0, penalty=1.0, seeds=None):
    keys = [random_key(seed, 0) for seed in (seeds if seeds is not None else range(count))]
    return SamplingRows(
        temperature=torch.full((count,), temperature),
        top_k=torch.full((count,), top_k),
        top_p=torch.full((count,), top_p),
        repetition_penalty=torch.full((count,), penalty),
        key=torch.tensor(keys),
    )


def random_logits(count, scale=3.0, seed=0):
    return torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * scale


def test_golden_filter_probabilities(golden, check_golden):
    logits = torch.from_numpy(golden["filter_logits"])
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen.scatter_(1, torch.from_numpy(golden["filter_history"]).long(), True)
    penalty, temperature, top_k, top_p = torch.from_numpy(golden["filter_params_rp_T_k_p"]).T
    probabilities = filter_probabilities(penalise(logits, seen, penalty), temperature, top_k.long(), top_p)
    check_golden("filter_probs", probabilities, golden["filter_probs"], 1e-6)


def test_golden_gpt_sovits_probabilities(gpt_sovits_golden, gpt_sovits_golden_meta, check_golden):
    """Of the first 14 steps; what the prompt and the steps before had counts as seen."""
    prompt = gpt_sovits_golden["v2_prompt_semantic"].tolist()
    drawn = gpt_sovits_golden["v2_t2s_rp1.35_text0"].tolist()
    logits = torch.from_numpy(gpt_sovits_golden["v2_t2s_step_logits_rp1.35_text0"][:14])
    logits = logits.nan_to_num(-torch.inf)  # the stop token, in steps that have none
    seen = torch.zeros_like(logits, dtype=torch.bool)
    for step in range(14):
        seen[step, prompt + drawn[:step]] = True
    for i, combination in enumerate(gpt_sovits_golden_meta["sampler_combos"]):
        params = rows(
            14,
            temperature=combination["temperature"],
            top_k=combination["top_k"],
            top_p=combination["top_p"],
            penalty=combination["repetition_penalty"],
        )
        penalised = penalise(logits, seen, params.repetition_penalty)
        probabilities = filter_probabilities(penalised, *params[:3], "top_p_first")
        name = f"v2_sampler_probs_combo{i}"
        check_golden(name, probabilities, gpt_sovits_golden[name], 1e-6)


def test_penalty_makes_seen_tokens_less_likely_and_others_not():
    logits = torch.tensor([[2.0, -2.0, 3.0, -3.0]])
    seen = torch.tensor([[True, True, False, False]])
    assert penalise(logits, seen, torch.tensor([5.0])).tolist() == [[pytest.approx(0.4), -10.0, 3.0, -3.0]]


@given(k=st.integers(1, VOCABULARY + 5), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_top_k_keeps_the_k_likeliest(k, seed):
    logits = random_logits(2, seed=seed)
    one = torch.ones(2)
    kept = filter_probabilities(logits, one, torch.tensor([k, 0]), one) > 0
    likeliest = logits[0].topk(min(k, VOCABULARY)).indices
    assert set(kept[0].nonzero()[:, 0].tolist()) == set(likeliest.tolist())
    assert kept[1].all()  # 0 is off


def test_top_k_keeps_ties():
    logits = torch.tensor([[1.0, 3.0, 3.0, 3.0, 0.0]])
    one = torch.ones(1)
    probabilities = filter_probabilities(logits, one, torch.tensor([2]), one)
    torch.testing.assert_close(probabilities, torch.tensor([[0, 1 / 3, 1 / 3, 1 / 3, 0]]))


@given(top_p=st.floats(0.01, 1.0), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_top_p_keeps_the_least_set_of_that_mass(top_p, seed):
    logits = random_logits(1, seed=seed)
    full = logits.double().softmax(-1)[0]
    kept = filter_probabilities(logits, torch.ones(1), torch.tensor([0]), torch.tensor([top_p]))[0] > 0
    assert kept[full.argmax()]
    assert full[kept].sum() >= top_p - 1e-6
    assert full[kept].min() >= full[~kept].max() if not kept.all() else True
    # Without its least likely member the set would fall short.
    assert kept.sum() == 1 or full[kept].sum() - full[kept].min() <= top_p + 1e-6


@given(top_p=st.floats(0.01, 1.0), temperature=st.floats(0.05, 10), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_top_p_first_keeps_the_greatest_set_within_that_mass(top_p, temperature, seed):
    """Whatever the temperature: the mass is that of the model's own probabilities."""
    logits = random_logits(1, seed=seed)
    full = logits.double().softmax(-1)[0]
    probabilities = filter_probabilities(
        logits, torch.tensor([temperature]), torch.tensor([0]), torch.tensor([top_p]), "top_p_first"
    )[0]
    ranked = full.argsort(descending=True)
    within = int((full[ranked].cumsum(0) <= top_p).sum())
    kept = ranked[: max(within, 1)]
    expected = torch.zeros(VOCABULARY, dtype=torch.double)
    expected[kept] = (logits[0, kept].double() / temperature).softmax(-1)
    margin = (full[ranked].cumsum(0) - top_p).abs().min()
    if margin > 1e-6:  # rounding decides about a token on the border
        torch.testing.assert_close(probabilities.double(), expected, rtol=0, atol=1e-5)


def test_top_p_of_one_keeps_every_token_in_either_order():
    """Also where rounding makes the sum of the probabilities exceed one."""
    logits = torch.randn(200, 1025, generator=torch.Generator().manual_seed(0)) * 4
    one = torch.ones(200)
    assert (logits.softmax(-1).sort(descending=True)[0].cumsum(-1)[:, -1] > 1).any()
    for filters in ("top_k_first", "top_p_first"):
        probabilities = filter_probabilities(logits, one, torch.zeros(200).long(), one, filters)
        torch.testing.assert_close(probabilities, logits.softmax(-1))


def test_top_k_counts_what_top_p_has_left():
    logits = torch.tensor([[0.0, 3.0, 2.5, 2.0, 1.5]])
    one = torch.ones(1)
    for top_k, kept in ((1, 1), (2, 2), (3, 2), (0, 2)):  # the first two have 74 % of the mass
        probabilities = filter_probabilities(
            logits, one, torch.tensor([top_k]), torch.tensor([0.8]), "top_p_first"
        )
        assert (probabilities[0] > 0).nonzero()[:, 0].tolist() == [1, 2][:kept]


@given(
    temperature=st.floats(0.05, 10),
    top_k=st.integers(0, 250),
    top_p=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_probabilities_sum_to_one_and_keep_their_order(temperature, top_k, top_p, seed):
    logits = random_logits(1, seed=seed)
    probabilities = filter_probabilities(
        logits, torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p])
    )[0]
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    assert (probabilities[logits[0].argsort()].diff() >= 0).all()


def test_temperature_zero_takes_the_likeliest_after_the_penalty():
    logits = random_logits(30)
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen.scatter_(1, logits.argmax(-1, keepdim=True), True)
    params = rows(30, temperature=0.0, top_k=1, penalty=10.0)
    expected = penalise(logits, seen, params.repetition_penalty).argmax(-1)
    assert torch.equal(sample(logits, seen, params, torch.arange(30), PLAIN_RULE, STOP), expected)
    assert not torch.equal(expected, logits.argmax(-1))


def test_the_stop_token_is_impossible_before_the_least_tokens():
    """And drawn from then on, where it is all but certain; each row counts its own steps."""
    logits = random_logits(30)
    logits[:, STOP] = 50.0
    seen = torch.zeros_like(logits, dtype=torch.bool)
    rule = SamplingRule(min_tokens=11)
    for temperature in (0.0, 1.0):
        drawn = sample(logits, seen, rows(30, temperature=temperature), torch.arange(30), rule, STOP)
        assert (drawn == STOP).tolist() == [False] * 11 + [True] * 19
    assert (logits[:, STOP] == 50.0).all()


def test_a_stop_token_that_is_likeliest_is_taken_whatever_was_drawn():
    logits = torch.zeros(2000, VOCABULARY)
    logits[:, STOP] = 0.1  # likeliest, and drawn about once in 181
    logits[1000:, 0] = 0.2
    seen = torch.zeros_like(logits, dtype=torch.bool)
    params, steps = rows(2000), torch.arange(2000)
    plain = sample(logits, seen, params, steps, PLAIN_RULE, STOP)
    assert 0 < (plain[:1000] == STOP).sum() < 30
    stopping = sample(logits, seen, params, steps, SamplingRule(stops_if_likeliest=True), STOP)
    assert (stopping[:1000] == STOP).all()
    assert stopping[1000:].equal(plain[1000:])


def test_likeliest_means_after_the_penalty():
    logits = torch.zeros(50, VOCABULARY)
    logits[:, 3], logits[:, STOP] = 1.0, 0.9
    seen = torch.zeros_like(logits, dtype=torch.bool)
    seen[25:, 3] = True
    params = rows(50, penalty=1.35)
    rule = SamplingRule(stops_if_likeliest=True)
    stopped = sample(logits, seen, params, torch.arange(50), rule, STOP) == STOP
    assert stopped[25:].all()
    assert not stopped[:25].all()


def test_each_row_has_its_own_parameters():
    logits = random_logits(1).expand(4, -1)
    params = SamplingRows(
        temperature=torch.tensor([0.0, 1.0, 1.0, 1.0]),
        top_k=torch.tensor([0, 1, 0, 0]),
        top_p=torch.tensor([1.0, 1.0, 1e-6, 1.0]),
        repetition_penalty=torch.tensor([1.0, 1.0, 1.0, 100.0]),
        key=torch.tensor([random_key(9, 0)] * 4),
    )
    seen = torch.zeros_like(logits, dtype=torch.bool)
    likeliest = logits[0].argmax()
    seen[3, likeliest] = True
    draws = torch.stack(
        [sample(logits, seen, params, torch.full((4,), step), PLAIN_RULE, STOP) for step in range(50)]
    )
    assert (draws[:, :3] == likeliest).all()
    assert (draws[:, 3] != likeliest).any()


@pytest.mark.parametrize("step_of_logits", [1e-6, 0.1, 1.0], ids=["no ties", "some", "many"])
def test_drawing_among_the_likeliest_is_drawing_among_all(step_of_logits, monkeypatch):
    """Rows that keep few tokens, many, all, all but for ties, and greedy ones."""
    logits = (random_logits(400) / step_of_logits).round() * step_of_logits
    params = rows(400, temperature=0.8, top_p=0.9, penalty=3.0, top_k=50)
    params.top_k[::4] = torch.arange(100)
    params.temperature[3::4] = 0.0
    params.top_k[3::8] = 0
    seen = torch.rand(400, VOCABULARY, generator=torch.Generator().manual_seed(1)) < 0.1
    draw_among, shares = sampler._draw_among, []

    def counted(tokens, *arguments):
        shares.append(tokens.shape)
        return draw_among(tokens, *arguments)

    monkeypatch.setattr(sampler, "_draw_among", counted)
    drawn = sample(logits, seen, params, torch.arange(400), PLAIN_RULE, STOP)
    monkeypatch.setattr(sampler, "_FEW", VOCABULARY)
    assert drawn.tolist() == sample(logits, seen, params, torch.arange(400), PLAIN_RULE, STOP).tolist()
    (few, _), (many, _), whole = shares
    assert whole == (400, VOCABULARY)
    assert few + many == 400
    if step_of_logits == 1e-6:
        assert many == 36  # of 0 and of 65 to 99
    else:
        assert 36 < many < 400


@pytest.mark.parametrize("top_k", [0, 90])
def test_a_rows_token_does_not_depend_on_how_many_others_keep(top_k):
    logits = random_logits(200, scale=1.0)
    params = rows(200, top_k=50, top_p=0.95)
    seen = torch.zeros_like(logits, dtype=torch.bool)
    alone = sample(logits, seen, params, torch.arange(200), PLAIN_RULE, STOP)
    params.top_k[1::2] = top_k
    together = sample(logits, seen, params, torch.arange(200), PLAIN_RULE, STOP)
    assert together[::2].tolist() == alone[::2].tolist()


def test_draws_follow_the_probabilities():
    """Chi-square over 40,000 draws: the statistic of a right sampler exceeds 2 x degrees of freedom with
    probability below 1e-4, and the seeds are fixed."""
    count = 40_000
    logits = torch.randn(1, 24, generator=torch.Generator().manual_seed(3)).expand(count, -1)
    params = rows(1, temperature=0.8, top_k=20, top_p=0.97)
    expected = filter_probabilities(logits[:1], *params[:3])[0].double() * count
    for name, keys, steps in (
        ("steps", torch.tensor([random_key(5, 0)]).expand(count, 2), torch.arange(count)),
        ("seeds", torch.tensor([random_key(seed, 0) for seed in range(count)]), torch.zeros(count).long()),
        ("utterances", torch.tensor([random_key(5, i) for i in range(count)]), torch.zeros(count).long()),
    ):
        many = SamplingRows(*(field.expand(count) for field in params[:4]), key=keys)
        drawn = sample(logits, torch.zeros(count, 24, dtype=torch.bool), many, steps, PLAIN_RULE, 23)
        observed = drawn.bincount(minlength=24).double()
        possible = expected > 0
        assert observed[~possible].sum() == 0
        statistic = ((observed - expected)[possible] ** 2 / expected[possible]).sum().item()
        assert statistic < 2 * (possible.sum().item() - 1), (name, statistic)


def test_random_numbers_are_uniform_and_unrelated():
    keys = torch.tensor([random_key(seed, index) for seed in range(20) for index in range(5)])
    numbers = uniform(keys, torch.arange(100) % 7, torch.arange(1026))
    assert numbers.min() > 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=64, range=(0, 1))[0]
    expected = numbers.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 2 * 63
    correlations = np.corrcoef(numbers.numpy())
    assert np.abs(correlations - np.eye(100)).max() < 5 / 1026**0.5


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000), st.integers(0, 1000), st.integers(0, 1025))
@settings(max_examples=200, deadline=None)
def test_the_hash_is_the_one_that_python_integers_compute(seed, utterance, step, token):
    """Tensors hold the words in int64, where products wrap: that must not change a bit."""

    def mix(word):
        word &= 0xFFFFFFFF
        word = ((word ^ (word >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        word = ((word ^ (word >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return word ^ (word >> 16)

    low, high = random_key(seed, utterance)
    word = mix(mix(token ^ mix(low + step * 0x9E3779B9)) + high)
    expected = ((word >> 9) + 0.5) / 2**23
    key = torch.tensor([[low, high]])
    assert uniform(key, torch.tensor([step]), torch.arange(1026))[0, token].item() == np.float32(expected)


def test_random_numbers_stay_between_zero_and_one():
    """Also for the extreme words: a one would give a token of probability zero an infinite score."""
    numbers = torch.cat(
        [
            uniform(torch.tensor([random_key(seed, 0)]), torch.tensor([0]), torch.arange(2**20))
            for seed in range(40)
        ]
    )
    assert numbers.max() > 1 - 2**-22
    assert numbers.min() < 2**-22
    assert numbers.max() < 1
    assert numbers.min() > 0
    assert ((numbers.double() * 2**23) % 1 == 0.5).all()


def test_keys_differ_between_seeds_and_between_utterances():
    keys = {random_key(seed, index) for seed in range(100) for index in range(100)}
    assert len(keys) == 10_000
