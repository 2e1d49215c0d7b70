# The one door.  `make mnist` trains LeNet from nothing; `make test` runs the tests; both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tested torch alone comes first: it is by far the largest piece, and a build for this machine's device that pip
# is configured to find is kept by what follows.
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help venv mnist test test-all check format bench bench-data proto docs conformance clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make venv      set up .venv with everything the targets below need
venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "caffelite needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[plot,digits,leveldb,dev]'
	@touch $@

## make mnist     get MNIST, train LeNet, test it, and say how well and where everything lies
DATA := data/mnist
MODELS := models/mnist
mnist: venv
	@$(BIN)/caffelite data mnist $(DATA) --or-digits
	@if [ -d $(DATA)/mnist_train_lmdb ]; then name=lenet; iterations=10000; batches=100; what=MNIST; \
	else name=lenet_digits; iterations=1000; batches=3; what="scikit-learn's digits, NOT MNIST"; fi; \
	weights=$(MODELS)/$${name}_iter_$$iterations.caffemodel; run=$(MODELS)/$${name}_run; \
	set -ex; \
	$(BIN)/caffelite train --solver $(MODELS)/$${name}_solver.prototxt; \
	$(BIN)/caffelite test --weights $$weights --iterations $$batches 2> $$run/test.log \
	    || { set +x; cat $$run/test.log; exit 1; }; \
	$(BIN)/caffelite plot $$run --out $$run/curves.png; \
	set +x; echo; \
	sed -n 's/.*\] accuracy = /test accuracy: /p' $$run/test.log; \
	echo "data:          $(DATA) ($$what)"; \
	echo "weights:       $$weights"; \
	echo "solver state:  $${weights%.caffemodel}.solverstate (to train on: caffelite train --snapshot)"; \
	echo "the run:       $$run (log, curves.png, settings, versions)"

# A process for each processor, with one thread each: processes with several threads wait for one another.
ALONE := OMP_NUM_THREADS=1
## make test      the tests, without the slow ones
test: venv
	@$(ALONE) $(BIN)/python -m pytest -q -n auto --dist worksteal -m 'not slow'

## make test-all  the tests, with the slow ones
test-all: venv
	$(ALONE) $(BIN)/python -m pytest -q -n auto --dist worksteal

## make check     style, types, and the rules of the house
check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## make format    put the code into the style that `make check` asks for
format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## make bench     speed against hand-written PyTorch, and against the original where CAFFE_BIN names its binary
bench: venv
	$(BIN)/python -m benchmarks

## make bench-data   how fast data layers feed a net
bench-data: venv
	$(BIN)/python -m benchmarks.data

## make proto     caffelite/proto/caffe.desc from protos/caffe.proto
proto: venv
	$(BIN)/python -m grpc_tools.protoc -Iprotos --descriptor_set_out=caffelite/proto/caffe.desc caffe.proto

## make docs      docs/cli.md from the commands, docs/layers.md from the layers, docs/solvers.md from the solver types,
##                docs/checks.md from the codes of check
docs: venv
	$(BIN)/python -m caffelite.commands._docs docs/cli.md
	$(BIN)/python -m caffelite.commands._layer_docs protos/caffe.proto docs/layers.md
	$(BIN)/python -m caffelite.commands._solver_docs docs/solvers.md
	$(BIN)/python -m caffelite.commands._dialect_docs docs/dialects.md
	$(BIN)/python -m caffelite.commands._check_docs docs/checks.md

## make conformance   docs/conformance.md: what the recorded cases give here, and which settings are tested
conformance: venv
	$(BIN)/python -m tests.conformance docs/conformance.md

## make clean     remove what the tools left behind (not .venv, data or snapshots)
clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find caffelite tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
