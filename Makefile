# make leaderboard   evaluate every folder of submissions/ and write reports/   (the main job)
# make test          the whole test suite
# make install       the package and all that training needs, no more
# make check         ruff, mypy
# make docs          the site of the documentation, in site/; a link that leads nowhere fails
# make regression    recompute quality and compare it with the committed records; CHECK="--junit FILE" gives it options
# Each sets itself up in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
PUBLISHED := srcnn resnet_8_32 dped
MISSING := $(strip $(foreach name,$(PUBLISHED),$(if $(wildcard submissions/$(name)/model.onnx),,$(name))))

# a mirror of the upstream files beside the checkout serves where HARNESS_ASSETS names none
MIRROR := $(abspath $(wildcard ../shared/assets))
ifneq ($(MIRROR),)
export HARNESS_ASSETS ?= $(MIRROR)
endif
export ORT_DISABLE_TELEMETRY := 1

.PHONY: leaderboard install baselines test regression check docs clean

leaderboard: $(VENV)/core.stamp
ifneq ($(MISSING),)
	@if $(BIN)/harness fetch weights; then $(MAKE) --no-print-directory baselines; \
	else echo "Going on without the published baselines: $(MISSING)."; fi
endif
	$(BIN)/harness run
	$(BIN)/harness tables

install: $(VENV)/reference.stamp

baselines: install
	$(BIN)/python -m reference.build --if-available $(PUBLISHED)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone

# needs the files of the dataset that the records were made on: a mirror, the cache, or a network
regression: $(VENV)/core.stamp
	$(BIN)/harness check $(CHECK)

check: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf site $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/core.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/reference.stamp: $(VENV)/core.stamp
	$(INSTALL) '.[reference]'
	touch $@

$(VENV)/docs.stamp: $(VENV)/core.stamp
	$(INSTALL) '.[docs]'
	touch $@

$(VENV)/test.stamp: $(VENV)/reference.stamp
	$(INSTALL) '.[reference,iqa,tensorflow,litert,test,dev]'
	touch $@
