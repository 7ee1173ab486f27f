"""Two builders in one process: code is coloured once for both, and never with a wrong answer."""

import pytest
from sphinx.highlighting import PygmentsBridge

from tools.builders import remember_highlighted


@pytest.fixture
def asked(monkeypatch):
    """What reaches Sphinx's own function, which is replaced by the one that remembers."""
    questions = []
    original = PygmentsBridge.highlight_block

    def highlight(self, source, lang, *rest, **options):
        questions.append((source, lang))
        return original(self, source, lang, *rest, **options)

    monkeypatch.setattr(PygmentsBridge, "highlight_block", remember_highlighted(highlight))
    return questions


def test_the_same_block_is_coloured_once_for_two_builders(asked):
    first = PygmentsBridge("html").highlight_block("x = 1", "python", location="one.ipynb")
    second = PygmentsBridge("html").highlight_block("x = 1", "python", location="index")
    assert first == second
    assert '<span class="mi">1</span>' in first
    assert asked == [("x = 1", "python")]


def test_other_words_languages_options_and_formats_are_other_questions(asked):
    bridge = PygmentsBridge("html")
    answers = {
        bridge.highlight_block("x = 1", "python"),
        bridge.highlight_block("x = 2", "python"),
        bridge.highlight_block("x = 1", "text"),
        bridge.highlight_block("x = 1", "python", hl_lines=[1]),
        PygmentsBridge("latex").highlight_block("x = 1", "python"),
    }
    assert len(answers) == len(asked) == 5
