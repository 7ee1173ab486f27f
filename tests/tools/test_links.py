"""Where the course lives is written in `_config.yml`; everything else follows it."""

import pytest

from tools import course, links


def test_stored_links_agree_with_the_configuration(capsys):
    assert links.main(["--check"]) == 0, capsys.readouterr().out


def test_all_kinds_of_links_follow_a_new_home():
    old = course.read_site()
    site = course.Site("https://github.com/ada/cnn", "v2", "https://ada.example/", old.colab_url)
    text = (
        f"[open]({old.colab('book/a.ipynb')}) and [paper](https://arxiv.org/abs/1512.03385)\n"
        f"[book]: {old.base_url}\n[repository]: {old.repository}\n"
    )
    assert links.updated(text, site) == (
        "[open](https://colab.research.google.com/github/ada/cnn/blob/v2/book/a.ipynb) "
        "and [paper](https://arxiv.org/abs/1512.03385)\n"
        "[book]: https://ada.example/\n[repository]: https://github.com/ada/cnn\n"
    )


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("baseurl:", "baseurl: https://x.example", "must end with a slash"),
        ("  url:", "  url: https://github.com/only-owner", "OWNER/NAME"),
        ("  branch:", "", "has no 'branch'"),
    ],
)
def test_a_malformed_configuration_is_named(tmp_path, line, replacement, message):
    lines = (course.ROOT / "_config.yml").read_text().splitlines()
    indent = "  " if line == "baseurl:" else ""
    edited = [
        indent + replacement if text.strip().startswith(line.strip()) else text for text in lines
    ]
    (tmp_path / "_config.yml").write_text("\n".join(edited))
    with pytest.raises(ValueError, match=message):
        course.read_site(tmp_path)


def test_every_page_of_the_table_of_contents_exists_and_none_is_forgotten():
    listed = set(course.pages())
    present = {
        path
        for pattern in ("*.md", "*.ipynb")
        for path in (course.ROOT / "book").rglob(pattern)
        if ".ipynb_checkpoints" not in path.parts
    }
    assert listed == present
