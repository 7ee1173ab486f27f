"""Scripts in tools/curves and the files of curves that chapters show."""

import ast
import csv
import importlib
from dataclasses import asdict, dataclass

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from cnnlib.data import load
from cnnlib.models import CifarResNet
from cnnlib.models.resnet import BasicBlock
from cnnlib.summary import summarize
from cnnlib.training import fit, seed_everything
from tools import course
from tools.curves import common, googlenet, resnet

SMALL = (resnet.Run("plain-8", 8, "none"), resnet.Run("residual-8", 8, "A", zero_gamma=True))


FIELDS = ("training", "seed", "step", "error")


@dataclass
class Training:
    """What a script of this folder trains, here a subtraction."""

    name: str
    start: int

    def lines(self, seed, stop):
        errors = range(self.start - seed, 0, -1)[:stop]
        return [
            {"training": self.name, "seed": str(seed), "step": str(step), "error": str(error)}
            for step, error in enumerate(errors)
        ]


RUNS = (Training("a, b", 3), Training("c", 2))


def command(arguments, output, lines=Training.lines):
    """A script with the shared command line."""
    limit = common.Limit("--stop", None, "end after this many steps")
    return common.main(arguments, "A script.", output, FIELDS, RUNS, (0, 1), lines, limit)


@pytest.fixture
def same_threads():
    """Scripts compute on one thread; later tests get theirs back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_script_writes_a_line_for_each_step_of_each_training(tmp_path, capsys, same_threads):
    output = tmp_path / "curves.csv"
    assert command([], output) == 0
    assert output.read_text(encoding="utf-8") == (
        "training,seed,step,error\n"
        '"a, b",0,0,3\n"a, b",0,1,2\n"a, b",0,2,1\n"a, b",1,0,2\n"a, b",1,1,1\n'
        "c,0,0,2\nc,0,1,1\nc,1,0,1\n"
    )
    trainings = common.read(output, FIELDS)
    assert list(trainings) == [("a, b", 0), ("a, b", 1), ("c", 0), ("c", 1)]
    assert [line["error"] for line in trainings["a, b", 0]] == ["3", "2", "1"]
    assert "a, b, seed 0: step 2, error 1\n" in capsys.readouterr().out


def test_a_script_takes_its_options_and_computes_on_one_thread(tmp_path, same_threads):
    output = tmp_path / "other.csv"
    torch.set_num_threads(2)
    arguments = ["--output", str(output), "--stop", "1", "--seeds", "1"]
    assert command(arguments, tmp_path / "curves.csv") == 0
    assert torch.get_num_threads() == 1
    assert list(tmp_path.iterdir()) == [output]
    assert list(common.read(output, FIELDS)) == [("a, b", 1), ("c", 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stop", "0"], "--stop must be at least 1; got 0"),
        (["--seeds", "1", "1"], "--seeds must be different whole numbers of at least 0"),
        (["--seeds", "-1"], "--seeds must be different whole numbers of at least 0"),
        (["--output", "nowhere/curves.csv"], "there is no folder nowhere; create it first"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lines = lambda *_: pytest.fail("trained nevertheless")  # noqa: E731
    assert command(arguments, tmp_path / "curves.csv", lines=lines) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_the_old_file(tmp_path, same_threads):
    output = tmp_path / "curves.csv"
    output.write_text("old", encoding="utf-8")

    def interrupted(run, seed, _):
        if run.name == "c":
            raise KeyboardInterrupt
        return run.lines(seed, None)

    with pytest.raises(KeyboardInterrupt):
        command([], output, lines=interrupted)
    assert output.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("line", [{"step": "1"}, dict.fromkeys((*FIELDS, "loss"), "1")])
def test_a_line_with_other_fields_is_refused(line):
    with pytest.raises(ValueError, match="a line of curves needs the fields"):
        common.as_csv(FIELDS, [line])


@pytest.mark.parametrize("text", ["", "training,seed,error,step\na,0,1,2\n"])
def test_a_file_with_another_header_is_refused(text, tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"curves\.csv: the header should be training,seed,step"):
        common.read(path, FIELDS)


def test_without_a_limit_a_script_has_no_such_option(tmp_path, same_threads):
    def run(*arguments):
        return common.main(
            list(arguments), "A.", tmp_path / "x.csv", FIELDS, RUNS, (1,), Training.lines
        )

    with pytest.raises(SystemExit):
        run("--stop", "1")
    assert run() == 0
    assert len(common.read(tmp_path / "x.csv", FIELDS)["a, b", 1]) == 2  # the whole training


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A chapter with two experiments, and a cell between them that must not run."""
    sources = {
        "imports": "import math\nprint('for readers')",
        "roots": "def roots(n, seed):\n    return {'root': math.sqrt(n), 'seed': seed}",
        "runs": "raise AssertionError('this cell reads the file')",
        "words": "def words(text, seed):\n    return {'length': len(text)}",
    }
    notebook = nbformat.v4.new_notebook()
    for name, source in sources.items():
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=name))
    notebook.cells.append(nbformat.v4.new_markdown_cell("text", id="text"))
    (tmp_path / "book").mkdir()
    nbformat.write(notebook, tmp_path / "book" / "page.ipynb")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    common.definitions.cache_clear()
    yield "page.ipynb"
    common.definitions.cache_clear()


def test_a_script_calls_the_functions_of_its_page(chapter, capsys):
    runs = common.experiments(roots=(4, 2), words=("a, b",))
    assert [run.name for run in runs] == ["roots 4", "roots 2", "words a, b"]
    cells = ("imports", "roots", "words")
    lines = [line for run in runs for line in common.measured(chapter, cells, run, 7)]
    assert common.as_csv(common.MEASURES, lines) == (
        "training,seed,measure,value\nroots 4,7,root,2.00\nroots 4,7,seed,7.00\n"
        'roots 2,7,root,1.41\nroots 2,7,seed,7.00\n"words a, b",7,length,4.00\n'
    )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cells", [("imports", "missing"), ("roots", "imports"), ("text",)])
def test_cells_that_the_page_does_not_have_in_this_order_are_refused(chapter, cells):
    with pytest.raises(ValueError, match=r"page\.ipynb has the code cells"):
        common.definitions(chapter, cells)


SCRIPTS = {  # page: the module of tools/curves that trains for it
    path.stem: importlib.import_module(f"tools.curves.{path.stem}")
    for path in sorted((course.ROOT / "tools" / "curves").glob("*.py"))
    if path.stem not in ("__init__", "common")
}


@pytest.mark.parametrize("page", SCRIPTS)
def test_every_stored_file_holds_every_training_of_its_script(page):
    script = SCRIPTS[page]
    assert common.output_of(page) == script.OUTPUT
    trainings = common.read(script.OUTPUT, script.FIELDS)
    assert list(trainings) == [(run.name, seed) for run in script.RUNS for seed in script.SEEDS]
    assert len(script.SEEDS) >= 3
    for run in script.RUNS:
        assert len({len(trainings[run.name, seed]) for seed in script.SEEDS}) == 1
    for line in (line for lines in trainings.values() for line in lines):
        assert all(line[field] for field in script.FIELDS)


@pytest.mark.parametrize("page", SCRIPTS)
def test_every_script_refuses_bad_arguments(page, tmp_path, capsys):
    assert SCRIPTS[page].main(["--output", str(tmp_path / "x.csv"), "--seeds", "1", "1"]) == 2
    assert "--seeds" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_file_of_curves_has_its_script():
    assert {path.stem for path in common.output_of("x").parent.iterdir()} == set(SCRIPTS)


OF_PAGES = [page for page, script in SCRIPTS.items() if hasattr(script, "CHAPTER")]


def code_of(page):
    """Id to source of the code cells of the chapter that a script runs."""
    path = course.ROOT / "book" / SCRIPTS[page].CHAPTER
    cells = nbformat.read(path, as_version=4).cells
    return {cell.id: cell.source for cell in cells if cell.cell_type == "code"}


@pytest.mark.parametrize("page", OF_PAGES)
def test_the_page_defines_what_its_script_calls(page):
    code = code_of(page)
    names = set()
    assert [cell for cell in code if cell in SCRIPTS[page].CELLS] == list(SCRIPTS[page].CELLS)
    for cell in SCRIPTS[page].CELLS:
        assert "three_seeds" not in code[cell]  # a stored result would be stored again
        names |= {n.name for n in ast.parse(code[cell]).body if isinstance(n, ast.FunctionDef)}
    assert names >= {run.function for run in SCRIPTS[page].RUNS}


@pytest.mark.parametrize("page", OF_PAGES)
def test_pages_read_their_own_file_by_the_same_lines(page):
    first, *rest = code_of(page)["three-seeds"].splitlines()
    assert first == f'FILE = Path("../_static/curves/{page}.csv")'
    assert rest == code_of("augmentation")["three-seeds"].splitlines()[1:]


@pytest.mark.slow
def test_the_script_of_augmentation_trains(tmp_path, monkeypatch, same_threads):
    script = SCRIPTS["augmentation"]
    monkeypatch.setattr(script, "RUNS", script.RUNS[:1])
    assert script.main(["--output", str(tmp_path / "x.csv"), "--seeds", "3"]) == 0
    (((name, seed), rows),) = common.read(tmp_path / "x.csv", script.FIELDS).items()
    assert (name, seed) == ("with_images 20", 3)
    accuracy = {row["measure"]: float(row["value"]) for row in rows}
    assert list(accuracy) == ["training images", "new images"]
    assert 100 >= accuracy["training images"] > accuracy["new images"] > 20


@pytest.fixture(scope="module")
def stored():
    """The stored file of ResNet: name and seed of a training to its rows."""
    return common.read(resnet.OUTPUT, resnet.FIELDS)


def test_the_stored_file_of_resnet_holds_every_epoch(stored):
    for rows in stored.values():
        assert [int(row["epoch"]) for row in rows] == list(range(1, resnet.EPOCHS + 1))


def test_the_stored_errors_are_shares_of_whole_images(stored):
    sizes = {"train_error": len(load("digits", "train")), "val_error": len(load("digits", "val"))}
    for rows in stored.values():
        for field, size in sizes.items():
            images = np.array([float(row[field]) for row in rows]) * size / 100
            assert (images >= 0).all()
            assert (images <= size).all()
            assert np.abs(images - images.round()).max() <= 0.005 * size / 100 + 1e-9


def test_the_stored_curves_show_what_the_chapter_says(stored):
    def last(name):
        return [float(stored[name, seed][-1]["train_error"]) for seed in resnet.SEEDS]

    assert min(last("plain-56")) > max(last("plain-20")) + 30
    assert min(last("plain-56, rate 0.02")) > max(last("plain-20")) + 30
    assert max(last("residual-56, rate 0.02")) < min(last("plain-56, rate 0.02")) - 30
    assert max(last("residual-56")) < min(last("plain-56"))
    assert max(last("residual-56, zero")) < min(last("residual-56")) - 10


@pytest.mark.slow
def test_the_script_of_resnet_writes_the_same_again(tmp_path, monkeypatch, same_threads):
    monkeypatch.setattr(resnet, "RUNS", SMALL)
    texts = []
    for name in ("first.csv", "second.csv"):
        arguments = ["--output", str(tmp_path / name), "--epochs", "1", "--seeds", "3"]
        assert resnet.main(arguments) == 0
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    rows = list(csv.DictReader(texts[0].splitlines()))
    expected = [(run.name, "3", "1") for run in SMALL]
    assert [(row["network"], row["seed"], row["epoch"]) for row in rows] == expected
    assert all(0 < float(row["train_loss"]) < 10 for row in rows)


@pytest.mark.slow
def test_the_chapter_trains_what_the_script_trains():
    """The page cannot import the script in Colab, so it repeats it; here both run an epoch."""
    chapter = nbformat.read(course.ROOT / "book" / "architectures" / "resnet.ipynb", as_version=4)
    (cell,) = (cell for cell in chapter.cells if cell.id == "training")
    digits, new_digits = (load("digits", part, image_size=8) for part in ("train", "val"))
    page = {
        "BasicBlock": BasicBlock,
        "CifarResNet": CifarResNet,
        "digits": digits,
        "fit": fit,
        "new_digits": new_digits,
        "nn": nn,
        "seed_everything": seed_everything,
    }
    exec(cell.source, page)
    defaults = {"lr": 0.1, "zero_gamma": False}
    on_page = [{"name": name} | defaults | o for name, o in page["NETWORKS"].items()]
    assert on_page == [asdict(run) for run in resnet.RUNS]
    assert page["trained"].__defaults__ == (resnet.EPOCHS,)
    for run in SMALL:
        page["NETWORKS"][run.name] = {k: v for k, v in asdict(run).items() if k != "name"}
        _, history = page["trained"](run.name, 5, epochs=1)
        _, expected = resnet.trained(run, 5, epochs=1)
        assert history.train_loss == expected.train_loss
        assert history.val_loss == expected.val_loss


def test_the_stored_file_of_googlenet_holds_every_epoch():
    stored = common.read(googlenet.OUTPUT, googlenet.FIELDS)
    for run in googlenet.RUNS:
        for seed in googlenet.SEEDS:
            rows = stored[run.name, seed]
            assert [int(row["epoch"]) for row in rows] == list(range(1, run.epochs + 1))
            assert all(0 <= float(row["train_error"]) <= 100 for row in rows)


def test_the_three_nets_of_googlenets_budget_cost_the_same():
    macs = {
        run.network: summarize(googlenet.NETWORKS[run.network](), (1, 24, 24)).macs
        for run in googlenet.RUNS
        if run.digits == "canvas"
    }
    assert len(macs) == 3
    assert max(macs.values()) < 1.002 * min(macs.values())


@pytest.mark.slow
def test_the_script_of_googlenet_writes_the_same_again(tmp_path, monkeypatch, same_threads):
    monkeypatch.setattr(googlenet, "RUNS", googlenet.RUNS[:1])
    texts = []
    for name in ("first.csv", "second.csv"):
        arguments = ["--output", str(tmp_path / name), "--stop", "1", "--seeds", "3"]
        assert googlenet.main(arguments) == 0
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    (row,) = csv.DictReader(texts[0].splitlines())
    assert (row["seed"], row["epoch"]) == ("3", "1")


# Pages that repeat their script: cells that define the training, and how the page calls it.
REPEATED = {
    "densenet": (("imports", "training"), lambda run: (run.kind, run.size)),
    "mobilenet": (("imports", "small-networks"), lambda run: (run.name,)),
    "shufflenet": (("imports", "training"), lambda run: (run.name,)),
    "squeezenet": (("imports", "training"), lambda run: (run.name,)),
    "xception": (("imports", "training"), lambda run: (run.name,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", REPEATED)
def test_a_page_trains_what_its_script_trains(page, same_threads):
    """Colab has the page alone, so it repeats the script; here both train an epoch."""
    cells, arguments = REPEATED[page]
    script = SCRIPTS[page]
    names = common.definitions(f"architectures/{page}.ipynb", cells)
    for run in (script.RUNS[0], script.RUNS[-1]):
        histories = [
            result[-1] if isinstance(result, tuple) else result
            for result in (names["trained"](*arguments(run), 5, 1), script.trained(run, 5, 1))
        ]
        on_page, by_script = histories
        assert len(on_page) == 1
        assert on_page.train_loss == by_script.train_loss
        assert on_page.val_loss == by_script.val_loss
