PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two test processes of one thread each finish sooner on two cores than one process of two; each begins with one half of
# the tests, so that hardly any run is trained twice, and takes over from the other when it is done.
TEST_ENV := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test check check-portable format bench bench-peers clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.demo ## Train on 2,624 real solar cells (about three minutes) and write runs/demo/report.html
	@$(BIN)/whycam demo --overwrite

test: $(VENV)/.dev ## Run all tests (a few minutes)
	@$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.dev ## Lint, format, types, layers, then all tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

check-portable: $(VENV)/.dev ## Numeric tests as other processors would compute them (about ten minutes)
	@$(BIN)/python -m tests.portable

format: $(VENV)/.dev ## Put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## Reproduce the measured figures (long); results go to benchmarks/results/
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)-peers/.installed ## Test and time against Keras, grad-cam, torchcam and captum, in an environment of their own
	WHYCAM_NO_SKIPS=1 $(VENV)-peers/bin/python -m pytest -m peers tests/explain
	$(VENV)-peers/bin/python -m benchmarks.peers

clean: ## Remove environments, caches and runs
	rm -rf $(VENV) $(VENV)-peers runs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Each environment is made from scratch when what it depends on changed; the stamp is written last.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "WhyCAM needs Python 3.11 or newer; name one with make PYTHON=...")'
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing WhyCAM (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing WhyCAM and its development tools (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,dev]"
	@touch $@

$(VENV)-peers/.installed: pyproject.toml constraints.txt benchmarks/peers-requirements.txt benchmarks/peers-without-torchvision.txt
	@$(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]" -r benchmarks/peers-requirements.txt
	@$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers-without-torchvision.txt
	@touch $@
