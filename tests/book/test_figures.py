"""The interactive figures: their arithmetic against cnnlib, and themselves in a real browser.

The figures about detection, costs and the digit have files of their own; what holds for every
figure is tested here for all.
"""

import functools
import itertools
import json
import random

import figure_pages
import pytest
import torch
from figure_pages import ELEMENTS, NO_BREAK, SOURCE, announced, element, text_of
from scipy.stats import spearmanr
from torch import nn

from cnnlib import arithmetic, blocks, functional
from tools import figure_scripts, network_comparison

pytestmark = [pytest.mark.browser, pytest.mark.slow]

site_folder = figure_pages.site_folder
open_body, javascript = figure_pages.open_body, figure_pages.javascript


# --- The arithmetic against cnnlib -------------------------------------------------------------


def or_message(function, *arguments, **keywords):
    """The value, or the message of the ValueError."""
    try:
        return function(*arguments, **keywords)
    except ValueError as error:
        return str(error)


SIZES = [
    *itertools.product(
        (1, 2, 3, 5, 8, 10, 11, 32, 227), (1, 2, 3, 5, 7, 11), (1, 2, 3, 4), (0, 1, 3), (1, 2, 4)
    ),
    *[(0, 3, 1, 0, 1), (5, 0, 1, 0, 1), (5, 3, 0, 0, 1), (5, 3, 1, -1, 1), (5, 3, 1, 0, 0)],
]


def test_sizes_and_refusals_are_those_of_cnnlib(javascript):
    lists = [list(arguments) for arguments in SIZES]
    for name, ours, theirs in (
        ("convOutputSize", arithmetic.conv_output_size, lists),
        ("droppedPixels", arithmetic.dropped_pixels, lists),
        ("poolOutputSize", arithmetic.pool_output_size, lists),
    ):
        expected = [or_message(ours, *arguments) for arguments in SIZES]
        assert javascript("arithmetic.mjs", name, theirs) == expected
        kinds = {type(one) for one in expected}
        assert kinds == {int, str}, "the test has cases that fit and cases that do not"


def test_pooling_that_rounds_up_is_that_of_cnnlib(javascript):
    expected = [or_message(arithmetic.pool_output_size, *one, ceil_mode=True) for one in SIZES]
    got = javascript("arithmetic.mjs", "poolOutputSize", [[*one, True] for one in SIZES])
    assert got == expected
    down = [or_message(arithmetic.pool_output_size, *one) for one in SIZES]
    assert sum(a != b for a, b in zip(expected, down, strict=True)) > 20


def test_a_pooling_stride_left_out_is_the_window(javascript):
    lists = [[size, kernel] for size in range(1, 12) for kernel in range(1, 6)]
    expected = [or_message(arithmetic.pool_output_size, *one) for one in lists]
    assert javascript("arithmetic.mjs", "poolOutputSize", lists) == expected


def test_parameters_and_multiplications_are_those_of_cnnlib(javascript):
    rng = random.Random(0)
    cases = [
        (rng.randint(0, 24), rng.randint(1, 24), rng.randint(1, 7), rng.choice([1, 2, 3, 4]))
        for _ in range(400)
    ]
    parameters = [
        or_message(arithmetic.conv_parameters, i, o, kernel, groups=g, bias=bias)
        for i, o, kernel, g in cases
        for bias in (True, False)
    ]
    lists = [
        [i, o, kernel, {"groups": g, "bias": bias}]
        for i, o, kernel, g in cases
        for bias in (True, False)
    ]
    assert javascript("arithmetic.mjs", "convParameters", lists) == parameters
    assert {type(one) for one in parameters} == {int, str}
    macs = [or_message(arithmetic.conv_macs, i, o, k, 28, groups=g) for i, o, k, g in cases]
    lists = [[i, o, k, 28, {"groups": g}] for i, o, k, g in cases]
    assert javascript("arithmetic.mjs", "convMacs", lists) == macs


def random_stack(rng):
    kinds = ["conv", "conv", "pool", "pool-ceil"]
    layers = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.choice(kinds)
        kernel = rng.randint(1, 5)
        padding = rng.randint(0, 2 if kind == "conv" else kernel // 2)
        if rng.random() < 0.05:
            padding = kernel  # too much for a pooling layer
        layers.append(
            {
                "kind": kind,
                "kernel": kernel,
                "stride": rng.choice([1, 1, 2, 3]),
                "padding": padding,
                "dilation": rng.choice([1, 1, 1, 2]),
            }
        )
    return rng.choice([8, 17, 32, 64, 227]), layers


def follow(size, layers):
    """What the calculator must show, from cnnlib."""
    rows = []
    for layer in layers:
        numbers = [layer[name] for name in ("kernel", "stride", "padding", "dilation")]
        try:
            if layer["kind"] == "conv":
                size, before = arithmetic.conv_output_size(size, *numbers), size
            else:
                ceil_mode = layer["kind"] == "pool-ceil"
                size, before = (
                    arithmetic.pool_output_size(size, *numbers, ceil_mode=ceil_mode),
                    size,
                )
        except ValueError as error:
            rows.append({"error": str(error)})
            break
        dropped = 0 if layer["kind"] == "pool-ceil" else arithmetic.dropped_pixels(before, *numbers)
        rows.append({"size": size, "dropped": dropped})
    fields = arithmetic.receptive_field(
        [(layer["kernel"], layer["stride"], layer["dilation"]) for layer in layers]
    )
    for row, (extent, jump) in zip(rows, fields, strict=False):
        if "size" in row:
            row |= {"field": extent, "jump": jump}
    return rows + [{"blocked": True}] * (len(layers) - len(rows))


def test_stacks_have_the_sizes_and_fields_of_cnnlib(javascript):
    rng = random.Random(1)
    stacks = [random_stack(rng) for _ in range(400)]
    got = javascript("arithmetic.mjs", "followStack", [list(one) for one in stacks])
    for rows in got:
        for row in rows:
            row.pop("start", None)  # the next test
    assert got == [follow(*one) for one in stacks]
    broken = sum(any("error" in row for row in rows) for rows in got)
    assert 50 < broken < 350


def test_the_middle_of_the_field_is_where_autograd_finds_it(javascript):
    """The window of unit u is [start + u·jump, + field), cut off at the border of the picture."""
    rng = random.Random(2)
    stacks = []
    for _ in range(60):
        kernels = [rng.randint(1, 5) for _ in range(rng.randint(1, 4))]
        # A stride above the kernel leaves gaps, and a gap at the border would shorten the field.
        layers = [
            {
                "kind": "conv",
                "kernel": kernel,
                "stride": rng.randint(1, min(kernel, 2)),
                "padding": rng.randint(0, kernel // 2),
                "dilation": 1,
            }
            for kernel in kernels
        ]
        stacks.append((rng.choice([40, 57]), layers))
    for (size, layers), rows in zip(
        stacks,
        javascript("arithmetic.mjs", "followStack", [list(one) for one in stacks]),
        strict=True,
    ):
        row = rows[-1]
        line = torch.zeros(1, 1, size, requires_grad=True)
        x = line
        for layer in layers:
            ones = torch.ones(1, 1, layer["kernel"])
            x = nn.functional.conv1d(x, ones, stride=layer["stride"], padding=layer["padding"])
        unit = (row["size"] - 1) // 2
        x[0, 0, unit].backward()
        seen = line.grad[0, 0].nonzero().flatten().tolist()
        first = row["start"] + unit * row["jump"]
        assert x.shape[-1] == row["size"]
        assert (seen[0], seen[-1]) == (max(first, 0), min(first + row["field"], size) - 1)


def random_convolutions(count):
    rng = random.Random(3)
    cases = []
    while len(cases) < count:
        channels, size, kernel = rng.randint(1, 3), rng.randint(3, 8), rng.randint(1, 4)
        how = {
            "stride": rng.randint(1, 3),
            "padding": rng.randint(0, 2),
            "dilation": rng.randint(1, 3),
        }
        if (kernel - 1) * how["dilation"] + 1 > size + 2 * how["padding"]:
            continue
        picture = torch.tensor(rng.choices(range(-9, 10), k=channels * size**2))
        weights = torch.tensor(rng.choices(range(-9, 10), k=channels * kernel**2))
        cases.append(
            (picture.reshape(channels, size, size), weights.reshape(channels, kernel, kernel), how)
        )
    return cases


def test_every_step_of_the_convolution_is_that_of_cnnlib(javascript):
    cases = random_convolutions(150)
    lists = [[picture.tolist(), weights.tolist(), how] for picture, weights, how in cases]
    results = javascript("convolution.mjs", "allOutputs", lists)
    columns = javascript("convolution.mjs", "im2col", [[outputs] for outputs in results])
    for (picture, weights, how), outputs, matrix in zip(cases, results, columns, strict=True):
        x, w = picture[None].float(), weights[None].float()
        expected = functional.conv2d(x, w, **how)[0, 0]
        side = expected.shape[0]
        assert [(one["row"], one["column"]) for one in outputs] == list(
            itertools.product(range(side), repeat=2)
        )
        assert [one["total"] for one in outputs] == expected.flatten().tolist()
        unfolded = functional.im2col(x, weights.shape[-1], **how)[0]
        assert matrix == unfolded.tolist()
        for one in outputs:
            assert [tap["weight"] for tap in one["taps"]] == weights.flatten().tolist()
            products = [tap["value"] * tap["weight"] for tap in one["taps"]]
            assert [tap["product"] for tap in one["taps"]] == products
            per_channel = torch.tensor(products).reshape(len(weights), -1).sum(dim=1)
            assert one["sums"] == per_channel.tolist()


def test_a_tap_knows_where_it_lies(javascript):
    cases = random_convolutions(60)
    lists = [[picture.tolist(), weights.tolist(), how] for picture, weights, how in cases]
    outside = 0
    for (picture, _, _), outputs in zip(
        cases, javascript("convolution.mjs", "allOutputs", lists), strict=True
    ):
        size = picture.shape[-1]
        for tap in itertools.chain.from_iterable(one["taps"] for one in outputs):
            assert tap["inside"] == (0 <= tap["y"] < size and 0 <= tap["x"] < size)
            if tap["inside"]:
                assert tap["value"] == picture[tap["channel"], tap["y"], tap["x"]]
            else:
                assert tap["value"] == 0
                outside += 1
    assert outside > 0


INCEPTION = {
    "size": 28,
    "channels": 256,
    "f1": 128,
    "f3": 192,
    "f5": 96,
    "r3": 64,
    "r5": 64,
    "proj": 64,
}


def test_inception_costs_are_those_of_cnnlib(javascript):
    rng = random.Random(4)
    cases = [INCEPTION] + [{name: rng.randint(1, 300) for name in INCEPTION} for _ in range(200)]
    for case, got in zip(
        cases, javascript("arithmetic.mjs", "inceptionCost", [[one] for one in cases]), strict=True
    ):
        size, c = case["size"], case["channels"]
        naive = [(c, case["f1"], 1), (c, case["f3"], 3), (c, case["f5"], 5)]
        reduced = [
            (c, case["f1"], 1),
            (c, case["r3"], 1),
            (case["r3"], case["f3"], 3),
            (c, case["r5"], 1),
            (case["r5"], case["f5"], 5),
            (c, case["proj"], 1),
        ]
        filters = case["f1"] + case["f3"] + case["f5"]
        for module, layers, out in (
            ("naive", naive, filters + c),
            ("bottleneck", reduced, filters + case["proj"]),
        ):
            macs = [arithmetic.conv_macs(*layer, size) for layer in layers]
            weights = [arithmetic.conv_parameters(*layer, bias=False) for layer in layers]
            assert [layer["macs"] for layer in got[module]["layers"]] == macs
            assert [layer["weights"] for layer in got[module]["layers"]] == weights
            assert (got[module]["macs"], got[module]["weights"]) == (sum(macs), sum(weights))
            assert got[module]["outChannels"] == out


def test_the_shuffle_is_that_of_cnnlib(javascript):
    cases = [[groups * each, groups] for groups in range(1, 9) for each in range(1, 9)]
    for (channels, groups), order in zip(
        cases, javascript("shuffle.mjs", "shuffleOrder", cases), strict=True
    ):
        numbered = torch.arange(channels).reshape(1, channels, 1, 1)
        assert order == blocks.channel_shuffle(numbered, groups).flatten().tolist()


def test_an_output_depends_on_the_inputs_that_autograd_finds(javascript):
    cases = [
        [groups * each, groups, shuffled, output]
        for groups in range(1, 5)
        for each in range(1, 5)
        for shuffled in (True, False)
        for output in range(groups * each)
    ]
    crossed = 0
    for (channels, groups, shuffled, output), got in zip(
        cases, javascript("shuffle.mjs", "dependencies", cases), strict=True
    ):
        x = torch.ones(1, channels, 1, 1, requires_grad=True)
        ones = torch.ones(channels, channels // groups, 1, 1)
        middle = nn.functional.conv2d(x, ones, groups=groups)
        middle.retain_grad()
        moved = blocks.channel_shuffle(middle, groups) if shuffled else middle
        nn.functional.conv2d(moved, ones, groups=groups)[0, output].backward()
        assert got["inputs"] == x.grad.flatten().nonzero().flatten().tolist()
        assert got["middle"] == middle.grad.flatten().nonzero().flatten().tolist()
        each = channels // groups
        assert got["shuffled"] == [output // each * each + i for i in range(each)]
        crossed += len(got["inputs"]) > each
    assert crossed > 0


def test_the_rank_correlation_is_that_of_scipy(javascript):
    rng = random.Random(3)
    pairs = [
        [[rng.randint(0, top) for _ in range(size)] for _ in range(2)]
        for size in (4, 9, 25)
        for top in (3, 1000)
        for _ in range(10)
    ]
    pairs = [pair for pair in pairs if all(len(set(values)) > 1 for values in pair)]
    got = javascript("comparison.mjs", "rankCorrelation", pairs)
    assert got == pytest.approx([spearmanr(*pair).statistic for pair in pairs])
    tied = sum(len(set(values)) < len(values) for pair in pairs for values in pair)
    assert tied > 20


def at_least_as_good(one, other, quantity):
    return (
        one[quantity] >= other[quantity] if quantity == "top1" else one[quantity] <= other[quantity]
    )


def beaten_by(networks, quantities, one):
    """Names of the networks that are as good in both quantities and better in one."""
    return [
        other["name"]
        for other in networks
        if all(at_least_as_good(other, one, q) for q in quantities)
        and not all(at_least_as_good(one, other, q) for q in quantities)
    ]


def test_the_front_is_what_no_other_network_beats(javascript):
    rng = random.Random(4)
    made = [
        [
            {"name": str(i), "macs": rng.randint(1, 6), "top1": rng.randint(1, 6), "year": 2015}
            for i in range(12)
        ]
        for _ in range(40)
    ]
    expected = [
        [one["name"] for one in networks if not beaten_by(networks, ("macs", "top1"), one)]
        for networks in made
    ]
    assert javascript("comparison.mjs", "front", [[n, "macs", "top1"] for n in made]) == expected
    assert {len(names) for names in expected} > {1, 2, 3}
    lists = [[networks, "macs", "top1", networks[0]] for networks in made]
    better = javascript("comparison.mjs", "betterInBoth", lists)
    assert [[one["name"] for one in found] for found in better] == [
        beaten_by(networks, ("macs", "top1"), networks[0]) for networks in made
    ]
    # A year is neither good nor bad.
    assert javascript(
        "comparison.mjs", "betterInBoth", [[made[0], "macs", "year", made[0][0]]]
    ) == [None]


def test_marks_of_an_axis_lie_on_it(javascript):
    ranges = [[1.1e6, 1.5e8, True], [7.5, 400, True], [11, 190, True], [4e7, 1.6e10, True]]
    ranges += [[2011.6, 2019.4, False], [55.2, 80.4, False]]
    for (low, high, log), marks in zip(
        ranges, javascript("comparison.mjs", "ticks", ranges), strict=True
    ):
        assert 3 <= len(marks) <= 8, (low, high)
        assert all(low <= mark <= high for mark in marks)
        assert marks == sorted(set(marks))
        if log:
            assert all(f"{mark:.6e}"[0] in "1235" for mark in marks)
        else:
            steps = {b - a for a, b in itertools.pairwise(marks)}
            assert len(steps) == 1


def compared():
    """The numbers that the comparison of networks shows."""
    return json.loads((SOURCE / "network-comparison.json").read_text("utf-8"))["networks"]


def test_the_compared_counts_are_those_of_cnnlib():
    networks = compared()
    entries = network_comparison.entries()
    assert [one["name"] for one in networks] == [entry["network"] for entry in entries]
    for one, entry in zip(networks, entries, strict=True):
        expected = network_comparison.counts(entry)
        assert {key: one[key] for key in expected} == expected, one["name"]
        assert (one["year"], one["input"]) == (int(entry["year"]), int(entry["input"]))
        assert one["milliseconds"] > 0


def test_the_compared_accuracies_are_the_published_ones():
    from torchvision.models import get_model_weights

    quoted = 0
    for one, entry in zip(compared(), network_comparison.entries(), strict=True):
        assert one["source"] == entry["source"]
        assert one["top1"] == round(float(entry["top1"]), 1)
        if not entry["source"].startswith("torchvision"):
            assert "table" in entry["source"]
            quoted += 1
            continue
        weights = get_model_weights(entry["network"]).IMAGENET1K_V1
        metrics = weights.meta["_metrics"]["ImageNet-1K"]
        assert (float(entry["top1"]), float(entry["top5"])) == (metrics["acc@1"], metrics["acc@5"])
        assert one["parameters"] == weights.meta["num_params"]
        assert weights.transforms.keywords["crop_size"] == one["input"]
    assert quoted == 5


def test_numbers_are_written_as_in_the_book(javascript):
    lists = [
        [0],
        [-3],
        [999_999],
        [1_000_000],
        [854_196_224],
        [999_940_000],
        [999_960_000],
        [3.858e9],
    ]
    counts = [text.replace(NO_BREAK, " ") for text in javascript("frame.mjs", "formatCount", lists)]
    assert counts == [*("0", "−3", "999,999", "1.0 M", "854.2 M", "999.9 M", "1.00 G", "3.86 G")]
    assert javascript("frame.mjs", "formatInteger", [[1_234_567], [-12]]) == ["1,234,567", "−12"]
    sums = [[[3, -2, 0]], [[-1]], [[-1, -1000]]]
    assert javascript("frame.mjs", "formatSum", sums) == ["3 − 2 + 0", "−1", "−1 − 1,000"]


# --- In the browser ----------------------------------------------------------------------------


def test_a_page_fetches_the_figures_it_has_from_any_depth(open_body):
    body = element("inception-cost", root="../../")
    page = open_body(body, path="part/chapter/page.html")
    page.get_by_role("slider", name="Input channels").wait_for()
    loaded = [url.rsplit("/", 1)[1] for url in open_body.requests if url.endswith(".js")]
    assert sorted(loaded) == ["arithmetic.js", "frame.js", "inception-cost.js"]


def test_a_page_without_figures_fetches_nothing(open_body):
    page = open_body(
        "<p>Nothing to <em>play</em> with, not even a <code>&lt;roi-align></code>.</p>"
    )
    page.wait_for_timeout(500)
    assert [url for url in open_body.requests if "/figures/" in url.split("_static")[-1]] == []


def test_modules_are_not_taken_for_ordinary_scripts():
    """Jupyter Book puts every *.js below _static/ into every page, with or without a figure."""
    names = {path.name for path in SOURCE.iterdir()}
    assert "frame.mjs" in names
    assert [name for name in names if name.endswith((".js", ".css"))] == []


def test_every_element_can_be_built(open_body):
    """Also keeps ELEMENTS complete: the tests below run over it."""
    assert sorted(figure_scripts.elements(figure_scripts.read())) == sorted(ELEMENTS)
    page = open_body("".join(map(element, ELEMENTS)))
    for name in ELEMENTS:
        assert page.locator(name).get_by_role("region").count() == 1


STEPPER = 'size="5" kernel="3" stride="2" padding="1" channels="3"'


def test_the_stepper_by_keyboard_alone(open_body):
    page = open_body(element("conv-stepper"))
    focused = "() => document.activeElement.shadowRoot?.activeElement?.className"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "stage":
            break
    assert page.evaluate(focused) == "stage"
    shown = page.locator("conv-stepper .sum")
    assert shown.inner_text().startswith("Row 0, column 0: ")
    scrolled = page.evaluate("() => scrollY")
    page.keyboard.press("ArrowRight")
    assert shown.inner_text().startswith("Row 0, column 1: ")
    said = announced(page, "conv-stepper", "Position 2 of 9, row 0, column 1.")
    assert shown.inner_text().split(": ")[1] in said
    page.keyboard.press("End")
    assert announced(page, "conv-stepper", "Position 9 of 9").endswith(".")
    page.keyboard.press("ArrowRight")  # there is nothing further
    assert shown.inner_text().startswith("Row 2, column 2: ")
    page.keyboard.press("ArrowLeft")
    assert shown.inner_text().startswith("Row 2, column 1: ")
    page.keyboard.press("Home")
    assert shown.inner_text().startswith("Row 0, column 0: ")
    page.keyboard.press(" ")
    assert page.get_by_role("button", name="Pause").count() == 1
    assert page.evaluate("() => scrollY") == scrolled, (
        "the keys of the figure do not scroll the page"
    )


NUMBERS_SHOWN = """element => {
    const number = text => Number(text.replace('−', '-'));
    const cells = (svg, kind) => [...svg.querySelectorAll(`.cell.${kind} text`)]
        .map(text => number(text.textContent));
    const [output, columns] = [...element.shadowRoot.querySelectorAll('svg')].slice(-2);
    const stage = element.shadowRoot.querySelector('.stage');
    const perChannel = (name, kind) => [...stage.querySelectorAll(`svg[aria-label^=${name}]`)]
        .map(svg => cells(svg, kind));
    return {
        inputs: perChannel('Input', 'tap'),
        kernels: perChannel('Kernel', 'weight'),
        products: perChannel('Products', 'product'),
        output: cells(output, 'now'),
        matrix: [...columns.querySelectorAll('.cell text')].map(text => number(text.textContent)),
        frame: Number(columns.querySelector('.frame').getAttribute('x')) / 26,
    };
}"""


def test_the_stepper_shows_products_sum_and_column(open_body):
    page = open_body(element("conv-stepper", STEPPER))
    page.get_by_role("button", name="Next").click()
    shown = page.locator("conv-stepper").evaluate(NUMBERS_SHOWN)
    patch, weights = torch.tensor(shown["inputs"]), torch.tensor(shown["kernels"])
    assert patch.shape == weights.shape == (3, 9)
    assert torch.equal(torch.tensor(shown["products"]), patch * weights)
    total = (patch * weights).sum().item()
    assert shown["output"] == [total]
    assert text_of(page, "conv-stepper", ".sum").replace("−", "-").count(f"= {int(total)}") == 1
    # 27 rows and the sums; one column for the kernel, nine for the positions.
    assert shown["frame"] == 2
    matrix = [shown["matrix"][10 * row : 10 * row + 10] for row in range(28)]
    assert [row[0] for row in matrix[:27]] == weights.flatten().tolist()
    assert [row[2] for row in matrix[:27]] == patch.flatten().tolist()
    assert matrix[27][2] == total


def test_the_stepper_plays_to_the_end_and_pauses(open_body):
    page = open_body(element("conv-stepper"), before=lambda page: page.clock.install())
    shown = page.locator("conv-stepper .sum")
    page.clock.run_for(60_000)
    assert shown.inner_text().startswith("Row 0, column 0: "), "nothing moves unless asked to"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(2500)
    assert shown.inner_text().startswith("Row 0, column 2: ")
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(60_000)
    assert shown.inner_text().startswith("Row 0, column 2: ")
    page.locator("conv-stepper .stage").press(" ")
    page.clock.run_for(60_000)
    assert shown.inner_text().startswith("Row 2, column 2: ")
    assert page.get_by_role("button", name="Play").is_visible()
    assert announced(page, "conv-stepper", "Stopped at position 9 of 9")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_autoplay_is_not_for_those_who_prefer_less_motion(open_body, motion):
    page = open_body(
        element("conv-stepper", "autoplay"),
        reduced_motion=motion,
        before=lambda page: page.clock.install(),
    )
    if motion == "no-preference":
        page.get_by_role("button", name="Pause").wait_for()
    page.clock.run_for(60_000)
    end = "Row 0, column 0: " if motion == "reduce" else "Row 2, column 2: "
    assert text_of(page, "conv-stepper", ".sum").startswith(end)


def test_the_stepper_says_when_the_kernel_does_not_fit(open_body):
    page = open_body(element("conv-stepper", 'size="4" kernel="4" dilation="1"'))
    page.get_by_role("slider", name="Dilation d").press("End")
    with pytest.raises(ValueError, match="does not fit") as refused:
        arithmetic.conv_output_size(4, 4, dilation=3)
    assert text_of(page, "conv-stepper", ".message") == f"No output: {refused.value}."
    assert announced(page, "conv-stepper", "No output: ")
    assert not page.locator("conv-stepper .stage").is_visible()
    assert not page.get_by_role("button", name="Play").is_visible()
    page.get_by_role("slider", name="Dilation d").press("Home")
    assert page.locator("conv-stepper .stage").is_visible()
    assert announced(page, "conv-stepper", "Input 1 × 4 × 4, output 1 × 1, im2col matrix 16 × 1.")


def result_lines(page):
    return page.locator("stack-calculator .result").all_inner_texts()


def test_the_calculator_knows_alexnet(open_body):
    page = open_body(element("stack-calculator", 'preset="alexnet"'))
    layers = [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), *[(3, 1, 1)] * 3, (3, 2, 0)]
    fields = arithmetic.receptive_field([(kernel, stride) for kernel, stride, _ in layers])
    size, expected = 227, []
    for (kernel, stride, padding), (extent, jump) in zip(layers, fields, strict=True):
        size = arithmetic.conv_output_size(size, kernel, stride, padding)
        expected.append(f"{size} × {size}, sees {extent} × {extent}, jump {jump}.")
    assert result_lines(page) == expected
    assert text_of(page, "stack-calculator", ".total").startswith(f"Output {size} × {size};")
    # The bars say the same without eyes.
    label = page.locator("stack-calculator svg").get_attribute("aria-label")
    assert f"layer 8 sees {fields[-1].size}" in label


def test_the_calculator_follows_what_is_typed(open_body):
    page = open_body(element("stack-calculator", 'preset="three"'))
    second = page.get_by_role("group", name="Layer 2")
    second.get_by_role("spinbutton", name="Dilation").fill("40")
    with pytest.raises(ValueError, match="does not fit") as refused:
        arithmetic.conv_output_size(30, 3, dilation=40)
    broken = [f"Does not fit: {refused.value}.", "No input: a layer above does not fit."]
    # More than the field allows is not a number the calculator takes.
    assert result_lines(page)[1] == "Does not fit: dilation must be a whole number."
    second.get_by_role("spinbutton", name="Dilation").fill("16")
    with pytest.raises(ValueError, match="does not fit") as refused:
        arithmetic.conv_output_size(30, 3, dilation=16)
    broken = [f"Does not fit: {refused.value}.", "No input: a layer above does not fit."]
    assert result_lines(page)[1:] == broken
    assert announced(page, "stack-calculator", "Layer 2 does not fit: an effective kernel of 33")
    second.get_by_role("spinbutton", name="Dilation").fill("")
    assert result_lines(page)[1] == "Does not fit: dilation must be a whole number."
    second.get_by_role("spinbutton", name="Dilation").fill("2")
    assert result_lines(page)[2] == "24 × 24, sees 9 × 9, jump 1."
    page.get_by_role("spinbutton", name="Input size (pixels)").fill("10")
    second.get_by_role("combobox", name="Kind").select_option("pooling, rounded up")
    second.get_by_role("spinbutton", name="Stride").fill("2")
    size = arithmetic.pool_output_size(8, 3, 2, 0, 2, ceil_mode=True)
    assert result_lines(page)[1] == f"{size} × {size}, sees 7 × 7, jump 2."


def test_the_calculator_says_which_pixels_are_dropped(open_body):
    page = open_body(element("stack-calculator", 'preset="odd"'))
    assert arithmetic.dropped_pixels(10, 3, 2) == 1
    lines = result_lines(page)
    assert lines[0].endswith("The last row and column of the padded input are not read.")
    assert lines[2].startswith("Does not fit: an effective kernel of 3 does not fit into 2 pixels")
    page.get_by_role("group", name="Layer 1").get_by_role("spinbutton", name="Stride").fill("4")
    assert arithmetic.dropped_pixels(10, 3, 4) == 3
    assert "The last 3 rows and columns" in result_lines(page)[0]


def test_layers_are_added_and_removed_by_keyboard(open_body):
    page = open_body(element("stack-calculator", 'preset="three"'))
    page.get_by_role("button", name="Add a layer").press("Enter")
    assert len(result_lines(page)) == 4
    focus = """() => {
        const one = document.activeElement.shadowRoot.activeElement;
        return [one.localName, one.getAttribute('aria-label'),
            one.closest('li')?.querySelector('legend').textContent];
    }"""
    assert page.evaluate(focus) == ["select", None, "Layer 4"]
    page.get_by_role("button", name="Remove layer 2").press("Enter")
    assert page.evaluate(focus)[1] == "Remove layer 2", "the focus stays where the reader was"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert len(result_lines(page)) == 1
    page.get_by_role("button", name="Remove layer 1").press("Enter")
    page.wait_for_function(
        "() => document.activeElement.shadowRoot.activeElement.textContent.includes('Add a layer')"
    )
    assert announced(page, "stack-calculator", "No layers: the output is the input.")


def test_inception_starts_with_the_example_of_the_chapter(open_body):
    page = open_body(element("inception-cost"))
    naive = sum(
        arithmetic.conv_macs(256, filters, kernel, 28)
        for filters, kernel in ((128, 1), (192, 3), (96, 5))
    )
    assert f"{naive / 1e6:.1f}" == "854.2"
    verdict = text_of(page, "inception-cost", ".verdict")
    assert verdict == ("854.2 M multiply-adds naive, 271.4 M with reductions: 3.1 times fewer.")
    captions = page.locator("inception-cost caption").all_inner_texts()
    assert captions == ["naive: 672 channels out", "with 1×1 reductions: 480 channels out"]
    page.get_by_role("slider", name="1×1 before the 5×5").press("End")
    said = announced(page, "inception-cost", "854.2 M multiply-adds naive, 1.2")
    assert said.endswith("times more.")
    assert said == text_of(page, "inception-cost", ".verdict")


def test_the_bars_are_as_long_as_the_counts(open_body):
    page = open_body(element("inception-cost"))
    widths = page.locator("inception-cost .segment").evaluate_all(
        "bars => bars.map(bar => Number(bar.getAttribute('width')))"
    )
    macs = [
        arithmetic.conv_macs(*layer, 28)
        for layer in (
            *((256, 128, 1), (256, 192, 3), (256, 96, 5)),
            *((256, 128, 1), (256, 64, 1), (64, 192, 3), (256, 64, 1), (64, 96, 5), (256, 64, 1)),
        )
    ]
    assert widths == pytest.approx([600 * count / sum(macs[:3]) for count in macs])


def test_the_shuffle_is_switched_and_followed(open_body):
    page = open_body(element("channel-shuffle", 'groups="3" each="4"'))
    verdict = page.locator("channel-shuffle .verdict")
    everything = ", ".join(map(str, range(12)))
    assert verdict.inner_text() == (
        f"With the shuffle, output 0 depends on 12 of 12 input channels: {everything}."
    )
    live = page.locator("channel-shuffle .node.live")
    assert live.count() == 12 + 4 + 4 + 1
    assert page.locator("channel-shuffle .wire.live").count() == 4 * 4 + 4 + 4
    toggle = page.get_by_role("button", name="Shuffle the channels", pressed=True)
    toggle.press("Enter")
    page.get_by_role("slider", name="Follow output channel").press("End")
    assert announced(page, "channel-shuffle", "Without the shuffle, output 11 depends on 4 of 12")
    assert verdict.inner_text().endswith("input channels: 8, 9, 10, 11.")
    assert live.count() == 4 + 4 + 4 + 1
    assert page.get_by_role("button", name="Shuffle the channels", pressed=False).count() == 1
    # Fewer channels: the output that was followed may be gone.
    page.get_by_role("slider", name="Groups g").press("Home")
    assert verdict.inner_text().startswith("Without the shuffle, output 3 depends on 4 of 4")
    cost = page.locator("channel-shuffle p", has_text="Weights").inner_text()
    dense = 2 * arithmetic.conv_parameters(4, 4, 1, bias=False)
    assert f"{dense} in 1 group, {dense} without groups" in cost


def test_networks_are_compared_by_what_the_reader_chooses(open_body):
    networks = compared()
    by_name = {one["name"]: one for one in networks}
    page = open_body(element("network-comparison"))
    verdict = functools.partial(text_of, page, "network-comparison", ".verdict")
    beating = ", ".join(beaten_by(networks, ("macs", "top1"), by_name["resnet50"]))
    assert verdict() == (
        f"resnet50: multiply-adds 4.09 G, top-1 accuracy 76.1 %. Better in both: {beating}."
    )
    page.get_by_label("Network", exact=True).select_option("vgg16")
    page.get_by_label("Across", exact=True).select_option("milliseconds")
    milliseconds = round(by_name["vgg16"]["milliseconds"])
    said = announced(page, "network-comparison", f"vgg16: time {milliseconds} ms, ")
    beating = ", ".join(beaten_by(networks, ("milliseconds", "top1"), by_name["vgg16"]))
    assert f"Better in both: {beating}." in said
    times, right = ([one[key] for one in networks] for key in ("milliseconds", "top1"))
    expected = f"{spearmanr(times, right).statistic:.2f}"
    assert said.endswith(f"Rank correlation of the two over all 25 networks: {expected}.")
    # Full colour for those that nobody beats.
    points = page.locator("network-comparison .point[transform]")
    titles = points.locator("title").evaluate_all("all => all.map(one => one.textContent)")
    full = page.locator("network-comparison .point[transform]:not(.beaten) title")
    assert sorted(titles) == sorted(by_name)
    assert sorted(full.evaluate_all("all => all.map(one => one.textContent)")) == sorted(
        one["name"] for one in networks if not beaten_by(networks, ("milliseconds", "top1"), one)
    )
    page.get_by_label("Upwards", exact=True).select_option("year")  # no end of it is the good one
    announced(page, "network-comparison", f"vgg16: time {milliseconds} ms, year 2014.")
    assert "Better" not in verdict()
    assert page.locator("network-comparison .point.beaten").count() == 0


def test_the_compared_points_lie_where_their_numbers_are(open_body):
    page = open_body(element("network-comparison", 'x="parameters" y="top1"'))
    places = page.locator("network-comparison .point[transform]").evaluate_all(
        "all => all.map(one => [one.textContent, ...one.getAttribute('transform')"
        ".match(/-?[\\d.]+/g).map(Number)])"
    )
    networks = {one["name"]: one for one in compared()}
    across = sorted(places, key=lambda one: one[1])
    assert [networks[name]["parameters"] for name, *_ in across] == sorted(
        one["parameters"] for one in networks.values()
    )
    heights = {name: y for name, _, y in places}
    low, high = heights["alexnet"], heights["xception"]
    assert low > high  # more accurate is higher up
    share = (heights["resnet50"] - low) / (high - low)
    top = {name: networks[name]["top1"] for name in ("alexnet", "resnet50", "xception")}
    expected = (top["resnet50"] - top["alexnet"]) / (top["xception"] - top["alexnet"])
    assert share == pytest.approx(expected, abs=0.002)
    page.locator("network-comparison .point[transform]").nth(0).click()
    assert text_of(page, "network-comparison", ".verdict").startswith("alexnet: parameters 61.1 M")
    assert page.get_by_label("Network", exact=True).input_value() == "alexnet"
    page.get_by_text("The numbers as a table").click()
    rows = page.locator("network-comparison tbody tr").all_inner_texts()
    assert len(rows) == 25
    assert rows[0].split("\t")[0] == across[0][0]


# --- For everybody, everywhere ------------------------------------------------------------------

# Each figure at its start, and grown to the most it can be.
GROWN = {
    "conv-stepper": 'size="8" kernel="4" padding="2" channels="3"',
    "stack-calculator": 'preset="vgg16"',
    "inception-cost": 'channels="1024" f1="512" f3="512" f5="512"',
    "channel-shuffle": 'groups="4" each="4"',
    "network-comparison": 'x="milliseconds" y="activations" network="shufflenet_v2_x0_5"',
    "detection-playground": 'preset="crowd" benchmark="coco" threshold="100"',
    "anchor-labels": 'sizes="32-64-128" ratios="1-2" stride="16"',
    "roi-align": 'bins="4" samples="3"',
    "parameter-table": 'network="densenet201"',
    "draw-a-digit": 'digit="8"',
    "depthwise-cost": 'from="512" to="512" kernel="7" expansion="8" width="140" down="2"',
}
SMALL = {"conv-stepper": STEPPER}
EVERYTHING = "".join(element(name, GROWN[name]) for name in ELEMENTS)


def test_a_narrow_phone_shows_all_of_it(open_body):
    page = open_body(EVERYTHING, width=360, has_touch=True, is_mobile=True)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    for name in ELEMENTS:
        outside = page.locator(name).evaluate(
            """figure => [...figure.shadowRoot.querySelectorAll('section *')].filter(one => {
                if (one.closest('.scroll') && !one.matches('.scroll')) return false;
                const box = one.getBoundingClientRect();
                return one.checkVisibility() && box.width > 1 && (box.right > 360 || box.left < 0);
            }).map(one => `${one.localName}.${one.getAttribute('class')}`)"""
        )
        assert outside == [], name


def test_controls_are_large_enough_for_a_thumb(open_body):
    page = open_body(EVERYTHING, width=390, has_touch=True, is_mobile=True)
    for name in ELEMENTS:
        sizes = page.locator(f"{name} :is(button, input, select)").evaluate_all(
            """all => all.map(one => {
                const { width, height } = one.getBoundingClientRect();
                return [one.outerHTML.slice(0, 60), width, height];
            })"""
        )
        assert sizes, name
        assert [one for one in sizes if min(one[1:]) < 40] == []


def test_the_stepper_by_touch(open_body):
    page = open_body(element("conv-stepper"), width=390, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Next").tap()
    assert text_of(page, "conv-stepper", ".sum").startswith("Row 0, column 1: ")
    page.get_by_role("button", name="Back").tap()
    assert text_of(page, "conv-stepper", ".sum").startswith("Row 0, column 0: ")


def test_the_buttons_stay_in_sight_on_a_phone(open_body):
    page = open_body(element("conv-stepper", STEPPER), width=390, has_touch=True, is_mobile=True)
    button = page.get_by_role("button", name="Next")
    page.evaluate("() => window.scrollTo(0, 900)")
    scrolled = page.evaluate("() => scrollY")
    assert scrolled > 600, "far enough for the buttons to be gone if they did not stay"
    box = button.bounding_box()
    assert 40 <= box["y"] <= 120, "just below the bar of the book's pages"
    # A finger at this place; Playwright's own tap() would scroll first.
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown = page.locator("conv-stepper .sum", has_text="Row 0, column 1: ")
    shown.wait_for()
    assert page.evaluate("() => scrollY") == scrolled, "a step does not move the page"


def test_a_window_made_narrower_redraws_instead_of_shrinking(open_body):
    page = open_body(EVERYTHING)
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_timeout(200)
    for name in ELEMENTS:
        smallest = page.locator(name).evaluate(
            """figure => {
                const texts = [...figure.shadowRoot.querySelectorAll('svg text')];
                return Math.min(...texts.map(text => {
                    const { a, b } = text.getScreenCTM();  // text may be turned
                    return Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize);
                }));
            }"""
        )
        assert smallest > 8, name


# Every piece of text with its contrast against the first opaque background behind it, and every
# line or edge that carries a meaning against the background of the figure.
CONTRASTS = """figure => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgb = colour => {  // whatever notation the colour is in
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const known = new Map();
    const luminance = colour => {
        if (!known.has(colour)) known.set(colour, measure(colour));
        return known.get(colour);
    };
    const measure = colour => {
        const [r, g, b] = rgb(colour).slice(0, 3).map(value => {
            const c = value / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = element => {
        const square = element.localName === 'text' && element.parentNode.querySelector('rect');
        if (square && element.parentNode.localName === 'g') return getComputedStyle(square).fill;
        for (let e = element; e; e = e.parentNode?.host ?? e.parentElement ?? e.parentNode) {
            if (e.nodeType !== 1) continue;
            const colour = getComputedStyle(e).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
        return 'white';
    };
    const root = figure.shadowRoot;
    const paper = behind(root.querySelector('section'));
    const texts = [...root.querySelectorAll('section *')].filter(one => one.checkVisibility()
        && [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
    const colour = one => getComputedStyle(one)[one.localName === 'text' ? 'fill' : 'color'];
    const edges = [...root.querySelectorAll(
        '.cell.tap rect, .cell.now rect, .frame, .wire.live, .field-bar, .picture, ' +
        '.node.live rect, ' +
        '.box-edge, .object-edge, .curve, .object, .region, .read, .rounded, .ring')];
    return {
        paper: luminance(paper),
        texts: texts.length,
        poor: texts.map(one => [ratio(colour(one), behind(one)), one.textContent.trim()])
            .filter(([value]) => value < 4.5),
        faint: edges.map(one => [ratio(getComputedStyle(one).stroke, paper),
            one.getAttribute('class'), one.parentNode.getAttribute('class')])
            .filter(([value]) => value < 3),
    };
}"""


def test_light_and_dark_follow_the_book(open_body):
    page = open_body("".join(element(name, SMALL.get(name, "")) for name in ELEMENTS))
    for name in ELEMENTS:
        figure = page.locator(name)
        measured = {}
        for theme in ("light", "dark", "light"):  # and back
            page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            page.wait_for_timeout(50)
            measured[theme] = figure.evaluate(CONTRASTS)
        assert measured["light"]["paper"] > 0.8
        assert measured["dark"]["paper"] < 0.1
        for theme, result in measured.items():
            assert result["texts"] > 10
            assert result["poor"] == [], f"{name}: text that is hard to read in {theme}"
            assert result["faint"] == [], f"{name}: lines that are hard to see in {theme}"


def test_everything_has_a_name(open_body):
    page = open_body(EVERYTHING)
    for name in ELEMENTS:
        nameless = page.locator(name).evaluate(
            """figure => {
                const root = figure.shadowRoot;
                const controls = [...root.querySelectorAll('input, select')].filter(one =>
                    one.labels.length !== 1 || !one.labels[0].textContent.trim());
                const buttons = [...root.querySelectorAll('button')].filter(one =>
                    !(one.getAttribute('aria-label') || one.textContent).trim());
                const pictures = [...root.querySelectorAll('svg')].filter(one =>
                    one.getAttribute('role') !== 'img' || !one.getAttribute('aria-label'));
                const ids = [...root.querySelectorAll('[id]')].map(one => one.id);
                const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
                return [...controls, ...buttons, ...pictures].map(one => one.outerHTML.slice(0, 80))
                    .concat(twice);
            }"""
        )
        assert nameless == [], name


FIRST_SLIDERS = {
    "conv-stepper": ("Input size W", "Input 1 × 6 × 6, output 4 × 4, im2col matrix 9 × 16."),
    "inception-cost": ("Input size", "1,334.7"),
    "depthwise-cost": ("Input channels", "From 72 to 128 channels on a map of 14 × 14: "),
    "channel-shuffle": ("Groups g", "With the shuffle, output 0 depends on"),
}
# Where a choice comes first: what is said once the next option is taken.
FIRST_CHOICES = {
    "detection-playground": ("Start from", "4 of 6 boxes stay."),
    "anchor-labels": ("Distance of positions", "288 anchors: "),
    "draw-a-digit": ("Picture", "The network reads 4: distance "),
    "parameter-table": ("Network", "googlenet on 224 × 224 pixels"),
    "roi-align": ("Show", "Bin in row 0, column 0: RoIAlign"),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_the_first_control_is_reached_and_moved_by_keyboard(open_body, name):
    page = open_body(element(name))
    page.keyboard.press("Tab")
    first = page.evaluate(
        "() => document.activeElement.shadowRoot.activeElement.labels[0].textContent"
    )
    if name == "stack-calculator":
        assert first == "Start from"
        page.keyboard.press("ArrowUp")  # from LeNet-5 to the three layers
        assert announced(page, name, "Output 26 × 26; one of its numbers sees 7 pixels each way")
        return
    if name == "network-comparison":
        assert first == "Across"
        page.keyboard.press("ArrowDown")  # from multiply-adds to activations
        assert announced(page, name, "resnet50: activation memory 90 MB, top-1 accuracy 76.1 %.")
        return
    if name in FIRST_CHOICES:
        label, start = FIRST_CHOICES[name]
        assert first == label
        page.keyboard.press("ArrowDown")
        assert announced(page, name, start)
        return
    label, start = FIRST_SLIDERS[name]
    assert first == label
    page.keyboard.press("ArrowRight")
    if name == "inception-cost":
        size = INCEPTION["size"] + 7
        layers = ((128, 1), (192, 3), (96, 5))
        macs = sum(arithmetic.conv_macs(256, filters, kernel, size) for filters, kernel in layers)
        start = f"{macs / 1e9:.2f} G multiply-adds naive"
    assert announced(page, name, start)


@pytest.mark.parametrize("name", ELEMENTS)
def test_the_still_picture_is_printed_and_shown_without_scripts(open_body, name):
    page = open_body(element(name))
    picture = page.get_by_alt_text("a still picture")
    region = page.locator(f"{name} section")
    assert region.is_visible()
    assert not picture.is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible()
    assert not region.is_visible()
    page = open_body(element(name), java_script_enabled=False)
    assert page.get_by_alt_text("a still picture").is_visible()


def test_without_a_fallback_the_figure_itself_is_printed(open_body):
    page = open_body("<channel-shuffle></channel-shuffle>")
    page.emulate_media(media="print")
    assert page.locator("channel-shuffle section").is_visible()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("network-comparison", "network-comparison.json"),
        ("parameter-table", "parameter-tables/index.json"),
        ("parameter-table", "parameter-tables/vgg16.json"),
        ("draw-a-digit", "draw-a-digit.json"),
    ],
)
def test_data_that_cannot_be_loaded_are_said_and_the_still_picture_shown(open_body, name, file):
    def refuse(page):
        page.route(f"**/{file}.js", lambda route: route.abort())

    page = open_body(element(name), before=refuse, wait=False)
    sentence = f"This figure could not be loaded: {file} is missing or damaged. "
    said = announced(page, name, sentence)
    assert text_of(page, name, ".message") == said
    assert page.get_by_alt_text("a still picture").is_visible()
    assert page.locator(f"{name} :is(button, input, select)").count() == 0
    assert len(open_body.problems) == 1
    open_body.problems.clear()  # the request that was refused


def test_a_damaged_data_file_is_said(open_body, site_folder):
    damaged = site_folder / "_static" / "figures" / "draw-a-digit.json.js"
    whole = damaged.read_text("utf-8")
    damaged.write_text(whole[:1000], "utf-8")
    try:
        page = open_body(element("draw-a-digit"), wait=False)
        assert announced(page, "draw-a-digit", "This figure could not be loaded: draw-a-digit.json")
    finally:
        damaged.write_text(whole, "utf-8")
    assert len(open_body.problems) == 1  # the browser's own: the script ends too early
    open_body.problems.clear()


@pytest.mark.parametrize(
    ("name", "attribute", "complaint"),
    [
        ("conv-stepper", 'size="9"', "a whole number from 3 to 8"),
        ("conv-stepper", 'kernel="three"', "a whole number from 1 to 4"),
        ("inception-cost", 'f3="-1"', "a whole number from 16 to 512"),
        ("channel-shuffle", 'groups="2.5"', "a whole number from 1 to 4"),
        ("stack-calculator", 'preset="alexnt"', "three, lenet5, alexnet, vgg16, odd"),
        ("detection-playground", 'preset="cats"', "duplicates, crowd, loose"),
        ("detection-playground", 'threshold="0.5"', "a whole number from 0 to 100"),
        ("anchor-labels", 'sizes="48"', "expected 32, 64, 32-64, 32-64-128"),
        ("roi-align", 'samples="0"', "a whole number from 1 to 3"),
        ("roi-align", 'show="both"', "expected align, pool"),
        ("depthwise-cost", 'expansion="9"', "a whole number from 1 to 8"),
        ("depthwise-cost", 'down="3"', "expected 2, 4, 8, 16, 32"),
        ("parameter-table", 'network="vgg61"', "lenet5, cifar_resnet20, unet"),
        ("parameter-table", 'group="layer"', "expected none, stage, map, kind"),
        ("parameter-table", 'sort="size"', "expected order, parameters, macs, bytes"),
        ("draw-a-digit", 'digit="10"', "a whole number from 0 to 9"),
        ("network-comparison", 'x="flops"', "parameters, macs, activations, layers"),
        ("network-comparison", 'network="lenet5"', "alexnet, zfnet, vgg16"),
    ],
)
def test_a_wrong_attribute_is_reported_and_the_default_shown(open_body, name, attribute, complaint):
    page = open_body(element(name, attribute) + element(name))
    wrong, plain = page.get_by_role("region").all()
    key = attribute.split("=")[0]
    assert [text for text in open_body.problems if f"<{name} {key}" in text and complaint in text]
    assert len(open_body.problems) == 1
    open_body.problems.clear()  # the one that was asked for
    assert wrong.inner_text() == plain.inner_text()
