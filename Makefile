# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The main commands are `make demo` and `make test`; tests/harness does the work.

# The first Python that is new enough; the harness finds the other ones itself.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)
HARNESS = $(if $(PYTHON),$(PYTHON) -I -B tests/harness/run.py,$(error Python 3.11 or later is needed: none is on PATH))

# `make test PART=unit`, `make test PARTS="ruff mypy"` or `make test-unit` run some parts only.
PARTS ?= $(PART)
FLAGS = $(if $(STRICT),--strict) $(if $(KEEP),--keep) $(if $(JOBS),--jobs $(JOBS))

.DEFAULT_GOAL := help
.PHONY: help test demo prove bench hosts clean

help:
	@echo 'make demo              the whole job on an embedded fleet of three agents on this machine'
	@echo 'make test              all tests and checks'
	@echo 'make test PARTS="..."  some parts of them; STRICT=1: what is left out counts as failed;'
	@echo '                       KEEP=1: keep the work folder of a run that failed; JOBS=N: parts at a time'
	@echo 'make test-PART         one part'
	@echo 'make prove             the full proofs (docs/proofs.md); PARTS="fire truth": some; BUILDS=50 ...: other numbers'
	@echo 'make bench             speed and memory beside rm, rmz, go clean, find and du; ARGS="--help" says more'
	@echo 'make hosts             three test hosts with systemd, until Enter is pressed (as root, needs podman)'
	@echo 'make clean             remove .build, where all of this keeps its files'
	@echo 'The parts:'
	@$(HARNESS) parts

test:
	@$(HARNESS) test $(FLAGS) $(PARTS)

test-%:
	@$(HARNESS) test $(FLAGS) $*

demo:
	@$(HARNESS) demo -- $(ARGS)

# The numbers of tests/prove/main.py, those that are given.
NUMBERS = BUILDS COMPARE CUTS GOS KILLS STEPS ROUNDS LIMIT SEED
prove:
	@$(HARNESS) prove -- $(foreach n,$(NUMBERS),$(if $($(n)),$(n)=$($(n)))) $(PARTS) $(ARGS)

bench:
	@$(PYTHON) -I -B tests/benchmark/run.py $(ARGS)

hosts:
	@$(HARNESS) hosts

clean:
	@chmod -R u+w .build 2>/dev/null || true
	rm -rf .build
