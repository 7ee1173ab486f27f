"""The figures about costs: depthwise separable layers, and the table of a network's layers."""

import json
import random

import figure_pages
import pytest
from figure_pages import NO_BREAK, SOURCE, announced, element, text_of

from cnnlib import arithmetic, blocks, models
from cnnlib.summary import summarize
from tools import parameter_tables

pytestmark = [pytest.mark.browser, pytest.mark.slow]

site_folder = figure_pages.site_folder
open_body, javascript = figure_pages.open_body, figure_pages.javascript


def test_scaled_channels_are_those_of_cnnlib(javascript):
    cases = [
        [channels, width / 100, divisor]
        for channels in (1, 3, 16, 24, 32, 96, 160, 320, 1280)
        for width in range(5, 205, 5)
        for divisor in (1, 8)
    ]
    expected = [blocks.scaled_channels(*case) for case in cases]
    assert javascript("separable.mjs", "scaledChannels", cases) == expected


def test_the_three_ways_cost_what_cnnlib_says(javascript):
    rng = random.Random(30)
    cases = [
        {
            "size": rng.randint(3, 112),
            "from": rng.randint(1, 100),
            "to": rng.randint(1, 100),
            "kernel": rng.choice([3, 5, 7]),
            "stride": rng.choice([1, 2]),
            "expansion": rng.randint(1, 8),
        }
        for _ in range(200)
    ]
    for case, got in zip(
        cases, javascript("separable.mjs", "stepCosts", [[one] for one in cases]), strict=True
    ):
        size, c, k, kernel = case["size"], case["from"], case["to"], case["kernel"]
        out = arithmetic.conv_output_size(
            size, kernel, case["stride"], arithmetic.same_padding(kernel)
        )
        wide = c * case["expansion"]
        ways = {
            "full": [(c, k, kernel, out, 1)],
            "separable": [(c, c, kernel, out, c), (c, k, 1, out, 1)],
            "inverted": [
                (c, wide, 1, size, 1),
                (wide, wide, kernel, out, wide),
                (wide, k, 1, out, 1),
            ],
        }
        if case["expansion"] == 1:
            del ways["inverted"][0]
        for way, layers in ways.items():
            macs = [arithmetic.conv_macs(*one[:4], groups=one[4]) for one in layers]
            weights = [
                arithmetic.conv_parameters(*one[:3], groups=one[4], bias=False) for one in layers
            ]
            assert [one["macs"] for one in got[way]["layers"]] == macs
            assert [one["weights"] for one in got[way]["layers"]] == weights
            assert (got[way]["macs"], got[way]["weights"]) == (sum(macs), sum(weights))
        # The share that the paper derives.
        share = got["separable"]["macs"] / got["full"]["macs"]
        assert share == pytest.approx(1 / k + 1 / kernel**2)


def test_the_whole_networks_cost_what_their_summaries_say(javascript):
    cases = [
        [version, width, resolution]
        for version in (1, 2)
        for width, resolution in ((1.0, 224), (0.25, 128), (0.35, 96), (0.75, 160), (1.4, 192))
    ]
    build = {1: models.mobilenet_v1, 2: models.mobilenet_v2}
    for (version, width, resolution), got in zip(
        cases, javascript("separable.mjs", "networkCost", cases), strict=True
    ):
        network = build[version](width_multiplier=width)
        summary = summarize(network, (3, resolution, resolution))
        assert got == {"macs": summary.macs, "parameters": summary.parameters}


def test_the_explorer_shows_and_says_what_is_chosen(open_body):
    page = open_body(element("depthwise-cost"))
    macs = [
        arithmetic.conv_macs(64, 128, 3, 14),
        arithmetic.conv_macs(64, 64, 3, 14, groups=64) + arithmetic.conv_macs(64, 128, 1, 14),
        arithmetic.conv_macs(64, 384, 1, 14)
        + arithmetic.conv_macs(384, 384, 3, 14, groups=384)
        + arithmetic.conv_macs(384, 128, 1, 14),
    ]
    assert text_of(page, "depthwise-cost", ".verdict") == (
        "From 64 to 128 channels on a map of 14 × 14: full convolution "
        f"{macs[0] / 1e6:.1f} M multiply-adds, depthwise separable {macs[1] / 1e6:.1f} M, "
        f"{macs[0] / macs[1]:.1f} times fewer; inverted residual {macs[2] / 1e6:.1f} M, "
        f"{macs[2] / macs[0]:.2f} times as many."
    )
    widths = page.locator("depthwise-cost .segment").evaluate_all(
        "bars => bars.map(bar => Number(bar.getAttribute('width')))"
    )
    assert len(widths) == 6
    assert sum(widths[1:3]) / widths[0] == pytest.approx(macs[1] / macs[0])
    assert sum(widths[3:]) / widths[0] == pytest.approx(macs[2] / macs[0])
    # Both dials down.
    page.get_by_label("Width multiplier α").press("Home")
    page.get_by_label("Side of the picture").press("Home")
    page.get_by_label("Stride").press("End")
    said = announced(page, "depthwise-cost", "From 16 to 32 channels on a map of 6 × 6: ")
    full = arithmetic.conv_macs(16, 32, 3, 3)
    assert f"full convolution {full:,} multiply-adds" in said
    for name, build in (("MobileNet", models.mobilenet_v1), ("MobileNetV2", models.mobilenet_v2)):
        summary = summarize(build(width_multiplier=0.25), (3, 96, 96))
        expected = f"{name}: {summary.macs / 1e6:.1f} M multiply-adds, "
        assert expected in said
        row = page.get_by_role("row").filter(
            has=page.get_by_role("rowheader", name=name, exact=True)
        )
        largest = summarize(build(), (3, 224, 224))
        shares = [
            100 * summary.macs / largest.macs,
            100 * summary.parameters / largest.parameters,
        ]
        cells = row.get_by_role("cell").all_inner_texts()
        assert [cells[1], cells[3]] == [f"{share:.0f}{NO_BREAK}%" for share in shares]


# --- The table of layers ------------------------------------------------------------------------


def stored(name):
    return json.loads((SOURCE / "parameter-tables" / f"{name}.json").read_text("utf-8"))


def summarized(network, channels, side):
    """The rows that the table must have, straight from cnnlib.summary."""
    rows = []
    for row in summarize(network, (channels, side, side)).rows:
        shape = row.output_shape
        while isinstance(shape, list):
            shape = shape[0]
        rows.append(
            {
                "name": row.name,
                "kind": row.kind,
                "shape": None if shape is None else list(shape[1:]),
                "parameters": row.parameters,
                "macs": row.macs,
                "bytes": row.activation_bytes,
            }
        )
    return rows


def test_the_tables_are_the_summaries_of_cnnlib(javascript):
    """Each row of each network; what is left out owns nothing.

    Every third network at all its sizes, the others at the one of their paper.
    """
    networks = parameter_tables.networks()
    assert stored("index")["networks"] == [name for name, *_ in networks]
    contents = [stored(name) for name, *_ in networks]
    chosen = [
        range(len(sides)) if i % 3 == 0 else [(len(sides) - 1) // 2]
        for i, (*_, sides) in enumerate(networks)
    ]
    lists = [[one, which] for one, some in zip(contents, chosen, strict=True) for which in some]
    decoded = iter(javascript("tables.mjs", "decode", lists))
    for (name, network, channels, sides), content, some in zip(
        networks, contents, chosen, strict=True
    ):
        assert content["network"] == name
        assert (content["channels"], tuple(content["sizes"])) == (channels, sides)
        for side in (sides[which] for which in some):
            remaining = iter(summarized(network, channels, side))
            for row in next(decoded):
                for expected in remaining:
                    if expected == row:
                        break
                    assert not any(expected[key] for key in ("parameters", "macs", "bytes"))
                else:
                    pytest.fail(f"{name} at {side}: {row} is not in the summary")
            assert not any(row["parameters"] or row["macs"] or row["bytes"] for row in remaining)


def test_all_tables_together_stay_small():
    folder = SOURCE / "parameter-tables"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert len(sizes) == len(stored("index")["networks"]) + 1
    assert sum(sizes.values()) < 250_000, sizes


def test_groups_add_up(javascript):
    networks = {name: network for name, network, *_ in parameter_tables.networks()}
    for name in ("resnet50", "vgg16", "inception_v3"):
        content = stored(name)
        [rows] = javascript("tables.mjs", "decode", [[content, 1]])
        whole = javascript("tables.mjs", "totals", [[rows]])[0]
        summary = summarize(
            networks[name],
            (3, content["sizes"][1], content["sizes"][1]),
        )
        assert whole == {
            "parameters": summary.parameters,
            "macs": summary.macs,
            "bytes": summary.activation_bytes,
        }
        grouped = javascript("tables.mjs", "group", [[rows, by] for by in ("stage", "map", "kind")])
        for groups in grouped:
            for key, total in whole.items():
                assert sum(one[key] for one in groups) == total
            assert sum(one["count"] for one in groups) == len(rows)
            assert len({one["name"] for one in groups}) == len(groups)
        if name == "resnet50":
            names = [one["name"] for one in grouped[0]]
            assert [n for n in names if n.startswith("stage")] == [f"stage{i}" for i in range(1, 5)]
            third = next(one for one in grouped[0] if one["name"] == "stage3")
            expected = sum(row["macs"] for row in rows if row["name"].startswith("stage3."))
            assert third["macs"] == expected
        ranked = javascript("tables.mjs", "sortRows", [[rows, "parameters"]])[0]
        assert [one["parameters"] for one in ranked] == sorted(
            (row["parameters"] for row in rows), reverse=True
        )


def body_rows(page):
    texts = page.locator("parameter-table tbody tr").all_inner_texts()
    return [text.replace(NO_BREAK, " ").split("\t") for text in texts]


def test_the_table_of_vgg16_is_that_of_the_chapter(open_body):
    page = open_body(element("parameter-table"))
    summary = summarize(models.vgg16(), (3, 224, 224))
    assert text_of(page, "parameter-table", ".verdict") == (
        "vgg16 on 224 × 224 pixels: 138.4 M parameters "
        f"({summary.parameter_bytes / 1e6:.0f} MB), {summary.macs / 1e9:.2f} G multiply-adds, "
        f"{summary.activation_bytes / 1e6:.1f} MB of activations."
    )
    rows = body_rows(page)
    assert rows[0][:2] == ["input", "Input"]
    page.get_by_label("Sorted by").select_option("parameters")
    said = announced(page, "parameter-table", "vgg16 on 224 × 224 pixels")
    largest = max(summary.rows, key=lambda row: row.parameters)
    assert f"first {largest.name}: parameters {largest.parameters:,}" in said
    first = body_rows(page)[0]
    assert first[0] == largest.name
    assert first[3] == f"{largest.parameters:,}"
    page.get_by_label("Rows are").select_option("kind of layer")
    kinds = {row[0]: row for row in body_rows(page)}
    convolutions = [row for row in summary.rows if row.kind == "Conv2d"]
    assert kinds["Conv2d"][1] == str(len(convolutions))
    assert kinds["Conv2d"][2] == f"{sum(row.parameters for row in convolutions):,}"
    assert kinds["MaxPool2d"][2:4] == ["–", "–"]


def test_another_network_and_another_size_are_chosen(open_body):
    page = open_body(element("parameter-table"))

    def fetched():
        return [url.rsplit("/", 1)[1] for url in open_body.requests if "tables/" in url]

    assert fetched() == ["index.json.js", "vgg16.json.js"]
    page.get_by_label("Network", exact=True).select_option("resnet18")
    announced(page, "parameter-table", "resnet18 on 224 × 224 pixels")
    assert fetched()[2:] == ["resnet18.json.js"]
    page.get_by_label("Picture", exact=True).select_option("320 × 320")
    summary = summarize(models.resnet18(), (3, 320, 320))
    said = announced(page, "parameter-table", "resnet18 on 320 × 320 pixels")
    assert f"{summary.macs / 1e9:.2f} G multiply-adds" in said
    page.get_by_label("Network", exact=True).select_option("lenet5")
    announced(page, "parameter-table", "lenet5 on 32 × 32 pixels: 60,000 parameters")
    sizes = page.get_by_label("Picture", exact=True).locator("option").all_inner_texts()
    assert sizes == ["32 × 32"]


def test_a_table_that_cannot_be_loaded_is_said_and_asked_for_again(open_body, site_folder):
    page = open_body(element("parameter-table"))
    file = site_folder / "_static" / "figures" / "parameter-tables" / "resnet18.json.js"
    networks = page.get_by_label("Network", exact=True)
    elsewhere = file.rename(site_folder / file.name)
    try:
        networks.select_option("resnet18")
        said = announced(page, "parameter-table", "The table of resnet18 could not be loaded: ")
    finally:
        elsewhere.rename(file)
    assert "resnet18.json is missing or damaged. " in said
    assert said.endswith("Choose again to try once more.")
    assert text_of(page, "parameter-table", ".verdict").startswith("vgg16 ")
    assert len(open_body.problems) == 1
    open_body.problems.clear()  # the file that was asked for
    networks.select_option("vgg16")
    networks.select_option("resnet18")
    assert announced(page, "parameter-table", "resnet18 on 224 × 224 pixels")
