"""The figure in which the reader draws a digit: LeNet-5 in JavaScript against PyTorch."""

import json
import math
import random

import figure_pages
import pytest
import torch
from figure_pages import SOURCE, announced, element, text_of

from cnnlib.data import load
from cnnlib.data.resize import resize
from tools import digit_reader

pytestmark = [pytest.mark.browser, pytest.mark.slow]

site_folder = figure_pages.site_folder
open_body, javascript = figure_pages.open_body, figure_pages.javascript

CONTENT = json.loads((SOURCE / "draw-a-digit.json").read_text("utf-8"))
RUN = """async pictures => {
    const { forward, network } = courseFigures['lenet.mjs'];
    const net = network(await courseFigures['data.mjs'].readData('draw-a-digit.json'));
    return JSON.stringify(JSON.parse(pictures).map(picture => forward(net, picture)));
}"""


@pytest.fixture(scope="module")
def reader():
    return digit_reader.rounded_network(CONTENT["weights"])


def layers(network, pictures):
    """What PyTorch has after each layer, squashed as the next layer sees it."""
    with torch.inference_mode():
        c1 = network.squash(network.c1(pictures))
        s2 = network.squash(network.s2(c1))
        c3 = network.squash(network.c3(s2))
        s4 = network.squash(network.s4(c3))
        c5 = network.squash(network.c5(s4)).flatten(1)
        f6 = network.features(pictures)
        return {"c1": c1, "s2": s2, "c3": c3, "s4": s4, "c5": c5, "f6": f6}


def test_every_layer_is_that_of_pytorch(open_body, reader):
    test = load("digits", "test").images[::8]
    noise = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    pictures = torch.cat([test, noise, torch.zeros(1, 1, 32, 32)]).double()
    page = open_body("<p>Nothing to see.</p>", everything=True)
    got = json.loads(page.evaluate(RUN, json.dumps(pictures[:, 0].tolist())))
    assert len(got) == len(pictures) > 50
    for name, expected in layers(reader, pictures).items():
        values = torch.tensor([one[name] for one in got], dtype=torch.float64)
        assert values.shape == expected.shape
        assert torch.allclose(values, expected, rtol=0, atol=1e-10), name
    with torch.inference_mode():
        expected = reader(pictures)
    scores = torch.tensor([one["scores"] for one in got], dtype=torch.float64)
    assert torch.allclose(scores, expected, rtol=0, atol=1e-8)
    assert len(set(expected.argmax(1).tolist())) == 10


def test_the_stored_accuracy_is_that_of_the_stored_weights(reader):
    test = load("digits", "test")
    with torch.inference_mode():
        right = reader(test.images.double()).argmax(1) == test.labels
    assert CONTENT["accuracy"] == pytest.approx(right.double().mean().item(), abs=0.003)
    assert CONTENT["accuracy"] > 0.85


def test_the_stored_digits_are_of_the_test_set(javascript):
    test = load("digits", "test")
    counts = [torch.tensor(one["pixels"]).reshape(8, 8) for one in CONTENT["examples"]]
    pictures = javascript("lenet.mjs", "enlarge", [[one.tolist()] for one in counts])
    assert [one["label"] for one in CONTENT["examples"]] == list(range(10))
    for label, picture in enumerate(pictures):
        distance = (test.images[:, 0] - torch.tensor(picture)).abs().amax(dim=(1, 2))
        assert distance.min() < 1e-6
        assert test.labels[distance.argmin()] == label


def test_counts_are_enlarged_as_the_data_set_is(javascript):
    generator = torch.Generator().manual_seed(1)
    counts = torch.randint(0, 17, (20, 8, 8), generator=generator)
    got = javascript("lenet.mjs", "enlarge", [[one.tolist()] for one in counts])
    expected = resize(counts[:, None].double() / 16, 32)[:, 0]
    assert torch.allclose(torch.tensor(got, dtype=torch.float64), expected, atol=1e-12)


def test_blocks_are_counted(javascript):
    bitmaps = torch.rand(10, 32, 32, generator=torch.Generator().manual_seed(2)) > 0.6
    got = javascript("lenet.mjs", "countBlocks", [[one.int().tolist()] for one in bitmaps])
    expected = 16 * torch.nn.functional.avg_pool2d(bitmaps.double(), 4)
    assert torch.equal(torch.tensor(got, dtype=torch.float64), expected)


def near_a_line(centre, a, b, radius):
    """Whether a point is within `radius` of the line from a to b, by trying its points."""
    steps = 400
    along = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    line = torch.tensor(a) + along[:, None] * (torch.tensor(b) - torch.tensor(a))
    return (line - torch.tensor(centre)).norm(dim=1).min().item() <= radius


def test_a_drawing_is_brought_to_one_size(javascript):
    rng = random.Random(40)
    drawings = []
    for _ in range(6):
        points = [[rng.random(), rng.random()] for _ in range(3)]
        small = [[0.3 + 0.35 * x, 0.1 + 0.35 * y] for x, y in points]
        drawings += [[points], [small]]
    bitmaps = javascript("lenet.mjs", "rasterise", [[one, 2] for one in drawings])
    for big, small in zip(bitmaps[::2], bitmaps[1::2], strict=True):
        # Rounding may decide otherwise about a pixel at the very edge.
        assert (torch.tensor(big) != torch.tensor(small)).sum() <= 2
    # Strokes fill the picture and have the width of the pen.
    [bitmap] = javascript("lenet.mjs", "rasterise", [[[[[0.5, 0.2], [0.6, 0.8]]], 2]])
    ends = [16 - 28 / 12, 2.0], [16 + 28 / 12, 30.0]
    for row in range(32):
        for column in range(32):
            centre = [column + 0.5, row + 0.5]
            expected = near_a_line(centre, *ends, 2.0)
            border = near_a_line(centre, *ends, 2.01) != near_a_line(centre, *ends, 1.99)
            assert border or bitmap[row][column] == expected
    assert javascript("lenet.mjs", "rasterise", [[[], 2]]) == [[[0] * 32] * 32]
    [dot] = javascript("lenet.mjs", "rasterise", [[[[[0.9, 0.9]]], 2]])
    assert sum(map(sum, dot)) == pytest.approx(math.pi * 4, abs=2)


def arc(x, y, across, down, start, end, count=16):
    """Points of an ellipse, from one angle in degrees to another."""
    turns = [math.radians(start + (end - start) * i / count) for i in range(count + 1)]
    return [[x + across * math.cos(turn), y + down * math.sin(turn)] for turn in turns]


DRAWINGS = [
    [arc(0.5, 0.5, 0.25, 0.35, -90, 270)],
    [[[0.38, 0.3], [0.52, 0.15], [0.52, 0.85]]],
    [[*arc(0.5, 0.33, 0.2, 0.18, -170, 40), [0.3, 0.85], [0.72, 0.85]]],
    [arc(0.48, 0.32, 0.2, 0.17, -150, 90), arc(0.48, 0.67, 0.22, 0.18, -90, 150)],
    [[[0.55, 0.15], [0.3, 0.6], [0.75, 0.6]], [[0.6, 0.35], [0.6, 0.88]]],
    [[[0.7, 0.15], [0.38, 0.15], [0.35, 0.47], *arc(0.48, 0.64, 0.2, 0.2, -120, 140)]],
    [[[0.62, 0.12], [0.42, 0.35], *arc(0.5, 0.66, 0.19, 0.2, 180, 540)]],
    [[[0.3, 0.15], [0.72, 0.15], [0.45, 0.85]], [[0.38, 0.5], [0.66, 0.5]]],
    [arc(0.5, 0.32, 0.16, 0.17, 90, 450), arc(0.5, 0.67, 0.2, 0.18, -90, 270)],
    [[*arc(0.5, 0.33, 0.18, 0.18, 0, 360), [0.66, 0.6], [0.58, 0.85]]],
]


def test_plain_drawings_are_read(javascript, reader):
    """What a reader draws is made like the data, so that the network has a chance with it."""
    bitmaps = javascript("lenet.mjs", "rasterise", [[one] for one in DRAWINGS])
    counts = javascript("lenet.mjs", "countBlocks", [[one] for one in bitmaps])
    pictures = javascript("lenet.mjs", "enlarge", [[one] for one in counts])
    with torch.inference_mode():
        answers = reader(torch.tensor(pictures, dtype=torch.float64)[:, None]).argmax(1).tolist()
    assert sum(answer == label for label, answer in enumerate(answers)) >= 9, answers


def test_a_stored_digit_is_chosen_by_keyboard(open_body, reader):
    page = open_body(element("draw-a-digit", 'digit="0"'))
    page.keyboard.press("Tab")
    for example in CONTENT["examples"]:
        if example["label"]:
            page.keyboard.press("ArrowDown")
        counts = torch.tensor(example["pixels"]).reshape(1, 1, 8, 8).double()
        with torch.inference_mode():
            distances = -reader(resize(counts / 16, 32))[0]
        best, second = distances.topk(2, largest=False).indices.tolist()
        assert best == example["label"]
        verdict = text_of(page, "draw-a-digit", ".verdict")
        assert verdict == (
            f"The network reads {best}: distance {distances[best]:.1f} to its picture; next is "
            f"{second} with {distances[second]:.1f}."
        )
    assert announced(page, "draw-a-digit", "The network reads 9") == verdict
    page.keyboard.press("ArrowDown")
    assert announced(page, "draw-a-digit", "Nothing is drawn yet.")


PIXELS = """canvases => canvases.map(canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return [...data].filter((_, i) => i % 4 === 0);
})"""


def test_the_maps_are_painted(open_body, reader):
    page = open_body(element("draw-a-digit", 'digit="7"'))
    shown = page.locator("draw-a-digit .maps canvas").evaluate_all(PIXELS)
    counts = torch.tensor(CONTENT["examples"][7]["pixels"]).reshape(1, 1, 8, 8).double()
    expected = layers(reader, resize(counts / 16, 32))
    maps = [one for name in ("c1", "s2", "c3", "s4") for one in expected[name][0]]
    assert len(shown) == len(maps) == 6 + 6 + 16 + 16
    for grey, values in zip(shown, maps, strict=True):
        wanted = 255 * (values.flatten() + 1.7159) / (2 * 1.7159)
        assert torch.allclose(torch.tensor(grey).double(), wanted, atol=0.51)


def draw(page, moves, finger=False):
    """Draw one stroke through points from 0 to 1."""
    pad = page.locator("draw-a-digit .pad svg")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in moves]
    if not finger:
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=4)
        page.mouse.up()
        return
    touch = page.context.new_cdp_session(page)
    for kind, (x, y) in zip(
        ["touchStart"] + ["touchMove"] * (len(points) - 1), points, strict=True
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def ring(count=24):
    turns = [2 * math.pi * i / count for i in range(count + 1)]
    return [(0.5 - 0.25 * math.sin(t), 0.5 - 0.35 * math.cos(t)) for t in turns]


def test_a_digit_is_drawn_by_mouse(open_body):
    page = open_body(element("draw-a-digit"))
    draw(page, ring())
    said = announced(page, "draw-a-digit", "The network reads 0")
    assert said == text_of(page, "draw-a-digit", ".verdict")
    assert page.get_by_label("Picture", exact=True).input_value() == "drawn"
    assert page.locator("draw-a-digit .stroke").count() == 1
    # A second stroke is added; a stored digit takes the drawing away, and it comes back.
    draw(page, [(0.5, 0.3), (0.5, 0.7)])
    assert page.locator("draw-a-digit .stroke").count() == 2
    page.get_by_label("Picture", exact=True).select_option("stored digit 4")
    assert text_of(page, "draw-a-digit", ".verdict").startswith("The network reads 4")
    assert page.locator("draw-a-digit .stroke").count() == 0
    page.get_by_label("Picture", exact=True).select_option("your drawing")
    assert page.locator("draw-a-digit .stroke").count() == 2
    page.get_by_role("button", name="Clear").click()
    assert text_of(page, "draw-a-digit", ".verdict") == "Nothing is drawn yet."


def test_a_digit_is_drawn_by_finger(open_body):
    page = open_body(element("draw-a-digit"), width=390, has_touch=True, is_mobile=True)
    scrolled = page.evaluate("() => scrollY")
    draw(page, ring(), finger=True)
    assert text_of(page, "draw-a-digit", ".verdict").startswith("The network reads 0")
    assert page.evaluate("() => scrollY") == scrolled, "the page stays where it is"
