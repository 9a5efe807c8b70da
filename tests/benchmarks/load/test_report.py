"""The page says what was found, to whoever opens it, and asks nobody for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from benchmarks.load.adapters import Target
from benchmarks.load.arrivals import Load
from benchmarks.load.campaign import Campaign, FoundCapacity, Plan, Results, Soak
from benchmarks.load.memory import Growth, Sample
from benchmarks.load.report import write_report

# An XML namespace is a name: nobody fetches it.
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")


class References(HTMLParser):
    """Everything that a browser might fetch, and everything that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                self.found.append(value or "")
            self.found += re.findall(r"url\(([^)]*)\)", value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        self.found += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", data)


@pytest.fixture(scope="module")
def campaign(workload, simulated_server, simulate, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Two targets, one of them slower and named to be mistaken for markup."""
    targets = [Target(name, "voicecore", "http://127.0.0.1:9/") for name in ("ours", "<b>them & us")]
    folder = tmp_path_factory.mktemp("report")

    def ask(share, target, folder, processes):
        server = simulated_server(first_s=0.05 if target.name == "ours" else 0.08, refuses_every=40)
        return simulate(server, share.load, share.duration_s, workload=share.workload, run=share.run)

    plan = Plan(workload, warm_up_s=1.0, duration_s=10.0, rounds=2)
    running = Campaign(plan, targets, folder, ask=ask)
    running.run_loads([Load("poisson", rate) for rate in (1.0, 2.0, 4.0)] + [Load("listeners", 2)])
    running.results.capacities.append(FoundCapacity("ours", "poisson", 4.0, 4.4))
    samples = [Sample(float(second), {"resident": 1e9 + second}) for second in range(20)]
    running.results.soaks.append(Soak(0, samples, [Growth("resident", 0.36, 0.2, 0.5, 1.0, "steady")]))
    write_report(running, "voicecore bench <script>alert(1)</script>")
    return running


@pytest.fixture(scope="module")
def page(campaign: Campaign) -> References:
    references = References()
    references.feed((campaign.folder / "report.html").read_text())
    return references


def test_the_page_asks_nobody_for_anything(page: References, campaign: Campaign):
    assert page.found
    assert all(reference.startswith(("#", "data:")) for reference in map(str, page.found))
    assert not {"script", "iframe", "link", "object", "embed", "base"} & set(page.tags)
    text = (campaign.folder / "report.html").read_text()
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {*NAMESPACES}


def test_no_two_elements_share_an_id_and_every_reference_has_one(page: References):
    assert len(set(page.ids)) == len(page.ids)
    assert {reference[1:] for reference in page.found if reference.startswith("#")} <= set(page.ids)


def test_names_and_commands_are_text(page: References):
    text = "".join(page.text)
    assert "<b>them & us" in text
    assert "<script>alert(1)</script>" in text
    assert "b" not in page.tags


def test_the_page_says_what_was_found(page: References, campaign: Campaign):
    text = " ".join("".join(page.text).split())
    assert "ours: capacity 4 requests per second; 4.4 is too much." in text
    assert "steady" in text
    assert page.tags.count("svg") == 2 * 4 + 1  # four figures for each kind of load, and memory
    assert "status 429: busy" in text
    for target in campaign.results.targets:
        assert f"{target}, open loop; medians of rounds" in text
        assert f"{target}, paced listeners; medians of rounds" in text


def test_ratios_compare_round_with_round(page: References):
    """80 ms over 50 ms to first audio, both of them exact."""
    text = "".join(page.text)
    assert "1.60×" in text


def test_the_summary_has_every_figure(campaign: Campaign):
    summary = json.loads((campaign.folder / "summary.json").read_text())
    assert msgspec.convert(summary["results"], Results) == campaign.results
    assert summary["objective"]["ttfa_s"] == 0.1


def test_the_png_is_one(campaign: Campaign):
    png = (campaign.folder / "report.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 20_000


def test_a_campaign_of_nothing_valid_still_has_a_page(workload, simulate, simulated_server, tmp_path: Path):
    def ask(share, target, folder, processes):
        return simulate(simulated_server(blocks_client_s=0.05), share.load, share.duration_s)

    target = Target("ours", "voicecore", "http://127.0.0.1:9/")
    running = Campaign(Plan(workload, warm_up_s=0.1, duration_s=1.0), [target], tmp_path, ask=ask)
    running.run_loads([Load("constant", 30.0)])
    text = write_report(running, "voicecore bench").read_text()
    assert "3 of 3 runs were discarded" in text
