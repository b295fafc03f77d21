# Two commands matter to a user: make paper and make test. Both set up .venv on first use.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
JOBS   ?= 4

.PHONY: setup apex paper paper-bracket test test-apex check night soak bench clean
setup: $(VENV)/ready
$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --only-binary :all: --prefer-binary -e ".[dev]"
	-$(PY) -m pip install --quiet --only-binary :all: -e ".[fast]"
	touch $@

paper: setup
	$(PY) supervisor.py paper --iter $(or $(ITER),3) --seed $(or $(SEED),1)

# apexomni pins pure-Python packages that were only published as source; they need no compiler either.
apex: setup $(VENV)/apex-ready
$(VENV)/apex-ready: setup.cfg
	$(PY) -m pip install --quiet --only-binary :all: --no-binary mpmath,parsimonious --prefer-binary -e ".[dev,apex]"
	touch $@

paper-bracket: apex
	$(PY) supervisor.py paper --scenario bracket --iter $(or $(ITER),3) --seed $(or $(SEED),1)

soak: setup
	$(PY) -m tests.soak --minutes $(or $(MINUTES),120) --seed $(or $(SEED),1) $(if $(OUT),--out $(OUT))

test: setup
	$(PY) -m pytest -n $(JOBS) --dist worksteal

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# What needs the native order signer of ApeX; without it these tests skip and say so.
test-apex: apex
	$(PY) -m pytest -n $(JOBS) --dist worksteal tests/adapters/apex tests/simulator/test_apex_zk.py tests/process/test_bracket.py \
		tests/process/test_bracket_faults.py "tests/process/test_qualify.py::test_every_question_is_answered_by_a_measurement[2-apex]"

night: setup
	PERPFARM_NIGHT=1 $(PY) -m pytest -n $(JOBS) -m night --timeout 0
	$(PY) -m pytest -n $(JOBS) --hypothesis-profile night tests/core tests/adapters tests/actors tests/simulator

bench: setup
	$(PY) -m bench

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
