# Convolutional networks, from one filter to Mask R-CNN. `make help` lists the targets.
# Variables: PYTHON=python3.11 (which interpreter makes .venv)
#            TORCH_INDEX=URL   (take torch and torchvision from another package index, such as
#                               PyTorch's CPU-only one: saves several GB where there is no GPU)
#            TEST_ARGS="-k lenet" (passed on to pytest)
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
TORCH_INDEX ?=
TEST_ARGS ?=
ASSIGNMENT ?=
PORT ?= 8000

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.course-installed
.DEFAULT_GOAL := help
.PHONY: help env book serve test quick notebooks release public grade bench links lint pins clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):[^#]*## /  make \1|/' | column -t -s '|'

# The stamp is remade only when the pins change, so a second `make book` installs nothing.
$(STAMP): requirements.txt pyproject.toml tools/environment.py
	@test -n "$(PYTHON)" || { echo "No python3 found. Install Python 3.11 to 3.13 (on Debian: apt-get install python3 python3-venv)."; exit 1; }
	@"$(PYTHON)" tools/environment.py --venv $(VENV) --stamp $(STAMP) --torch-index "$(TORCH_INDEX)"

env: $(STAMP) ## create or update .venv

book: $(STAMP) ## build the book into _build/html
	@$(BIN)/python -m tools.book

serve: book ## build the book and serve it on http://127.0.0.1:8000 (PORT=…)
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# Files in the order of the folders: by number of tests, xdist's own order, the file with few but
# long tests came last, and one process waited minutes for the other.
test: $(STAMP) book ## the whole test suite, and every chapter re-executed and compared
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TEST_ARGS) tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval -p no:cacheprovider book

quick: $(STAMP) ## the fast tests and the style checks, under two minutes
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow and not browser" $(TEST_ARGS)

lint: $(STAMP) ## ruff, check and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

notebooks: $(STAMP) ## re-execute the chapters and store their outputs (FILES="book/…" for some)
	@$(BIN)/python -m tools.notebooks execute $(FILES)

release: $(STAMP) ## regenerate exercises/ from solutions/
	@$(BIN)/python -m grading release $(ASSIGNMENT)

public: $(STAMP) ## write the tree that students may see: make public DEST=folder
	@$(BIN)/python -m grading public "$(DEST)"

grade: $(STAMP) ## grade what is in submitted/: make grade ASSIGNMENT=a1_layers
	@test -n "$(ASSIGNMENT)" || { echo "Say which: make grade ASSIGNMENT=a1_layers"; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grading grade "$(ASSIGNMENT)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grading feedback "$(ASSIGNMENT)"

bench: $(STAMP) ## speed against named peers, as ratios
	@$(BIN)/python -m bench

links: $(STAMP) ## rewrite links and install cells after a change of _config.yml
	@$(BIN)/python -m tools.links

pins: $(STAMP) ## recompile requirements.txt from requirements.in
	@$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command "make pins" --output-file requirements.txt $(PINS_ARGS)

clean: ## remove what was built (.venv stays; remove it by hand)
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
