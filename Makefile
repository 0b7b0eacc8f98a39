# Everything that is typed here. `make` alone explains it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON_BIN := .venv/bin/python
PYTEST := $(PYTHON_BIN) -m pytest -n 2 --dist loadfile -q
TEST_ARGS ?=

.PHONY: help
help: ## Show what can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: install
install: ## Make .venv and install what ChatVault needs to run
	@scripts/install.sh requirements.txt

.PHONY: install-dev
install-dev: ## The same, with what tests and checks need
	@scripts/install.sh requirements-dev.txt

.PHONY: run
run: install ## Serve ChatVault on HOST:PORT (127.0.0.1:8000); state in CHATVAULT_HOME (./var)
	@exec $(PYTHON_BIN) manage.py serve

.PHONY: test
test: install-dev ## Run the tests, with real servers and a real browser (minutes)
	@scripts/chromium.sh
	@scripts/package.sh redis-server redis-server "the tests of shared limits"
	@scripts/package.sh promtool prometheus "the tests of figures and alerts"
	@echo "chatvault: running the tests"
	@exec $(PYTEST) -m "not long" $(TEST_ARGS)

.PHONY: test-long
test-long: install-dev ## Run the tests that kill, roll and watch real processes, and open every page
	@scripts/chromium.sh
	@scripts/package.sh redis-server redis-server "the tests of shared limits"
	@scripts/package.sh promtool prometheus "the tests of figures and alerts"
	@echo "chatvault: running the long tests"
	@exec $(PYTEST) -m long $(TEST_ARGS)

DATABASE_TESTS := tests/postgres tests/accounts tests/alerts tests/audit tests/billing \
	tests/configuration tests/forecasts tests/invoicing tests/oauth tests/providers tests/repricing \
	tests/sign_in tests/usage tests/metrics/test_control_figures.py

.PHONY: test-postgresql
test-postgresql: install-dev ## Run what touches rows on a real PostgreSQL instead of SQLite
	@echo "chatvault: running the tests of the database on PostgreSQL"
	@CHATVAULT_TEST_DATABASE=postgresql $(PYTHON_BIN) -m pytest -n 2 --dist loadfile -q \
		--ignore=tests/postgres/slow $(DATABASE_TESTS)

.PHONY: proofs-postgresql
proofs-postgresql: install-dev ## Migrate a busy PostgreSQL, cut 1,000 commits off (minutes)
	@CHATVAULT_TEST_DATABASE=postgresql CHATVAULT_TEST_COMMITS=1000 CHATVAULT_TEST_ROWS=200000 \
		$(PYTHON_BIN) -m pytest -q -n 0 -s tests/postgres/slow tests/postgres/test_ingest_faults.py

.PHONY: crawl
crawl: install-dev ## Open every page of the admin in Chromium: no violation of its policy (minutes)
	@scripts/chromium.sh
	@CHATVAULT_TEST_CRAWL=1 $(PYTHON_BIN) -m pytest -q -n 0 tests/browser/test_crawl.py

.PHONY: check
check: install-dev ## Lint, types, system checks, migrations, architecture
	@echo "chatvault: ruff" && $(PYTHON_BIN) -m ruff check . && $(PYTHON_BIN) -m ruff format --check .
	@echo "chatvault: mypy" && $(PYTHON_BIN) -m mypy
	@echo "chatvault: system checks" && $(PYTHON_BIN) manage.py check
	@echo "chatvault: migrations" && $(PYTHON_BIN) manage.py makemigrations --check --dry-run
	@echo "chatvault: architecture" && $(PYTHON_BIN) -m pytest -q -n 0 tests/architecture

.PHONY: fmt
fmt: install-dev ## Format the code and mend what ruff can mend
	@$(PYTHON_BIN) -m ruff check --fix . ; $(PYTHON_BIN) -m ruff format .

.PHONY: bench-ingest
bench-ingest: install-dev ## Measure how fast journals become rows, on PostgreSQL and on SQLite
	@$(PYTHON_BIN) -m benchmarks.ingest
	@exec $(PYTHON_BIN) -m benchmarks.ingest --sqlite

.PHONY: bench
bench: install-dev ## Measure beside other gateways; writes docs/benchmarks.md
	@exec $(PYTHON_BIN) -m benchmarks

.PHONY: proofs
proofs: install-dev ## Kill, crowd and clone real ChatVaults: do the promises hold? (minutes)
	@scripts/package.sh /usr/sbin/rabbitmq-server rabbitmq-server "the proofs of the queue"
	@exec $(PYTHON_BIN) -m tests.proofs $(PROOFS)

.PHONY: proofs-queue
proofs-queue: install-dev ## Kill RabbitMQ and Redis under real workers: does every job get done? (a minute)
	@scripts/package.sh redis-server redis-server "the tests of the queue"
	@scripts/package.sh /usr/sbin/rabbitmq-server rabbitmq-server "the tests of the queue"
	@CHATVAULT_TEST_BROKERS=1 $(PYTHON_BIN) -m pytest -q -n 0 tests/run/test_workers.py

.PHONY: proofs-books
proofs-books: install-dev ## Kill a worker that books a repricing: is it booked once? (a minute)
	@CHATVAULT_TEST_KILLS=1 $(PYTHON_BIN) -m pytest -q -n 0 tests/repricing/test_killed.py

.PHONY: canary
canary: install-dev ## Look for every secret in everything that ChatVault writes, under every fault
	@CHATVAULT_TEST_CANARY=1 $(PYTHON_BIN) -m pytest -q -n 0 tests/canary

.PHONY: deploy-check
deploy-check: install-dev ## Read deploy/ with helm, compose, systemd, nginx, hadolint, shellcheck
	@deploy/tools.sh && exec $(PYTHON_BIN) deploy/check.py

.PHONY: image-check
image-check: install-dev ## Build and start the image's steps without a container engine (root)
	@exec $(PYTHON_BIN) deploy/image/check.py

.PHONY: chaos
chaos: install-dev ## Break real servers and processes: CHAOS="redis_flush pg_down", CHAOS=--list
	@scripts/package.sh redis-server redis-server "the faults of shared limits"
	@exec $(PYTHON_BIN) -m tests.chaos --json docs/reliability.json $(CHAOS)

.PHONY: compose-rehearsal
compose-rehearsal: install-dev ## Run what compose.yaml says as plain processes, and use it
	@deploy/tools.sh && exec $(PYTHON_BIN) -m tests.rehearsal

.PHONY: restore-drill
restore-drill: install-dev ## Back up a busy ChatVault, destroy it, restore it, compare the ledgers
	@exec $(PYTHON_BIN) -m tests.drill

.PHONY: soak
soak: install-dev ## An hour of light load with kills and changes; SOAK_MINUTES shortens it
	@scripts/package.sh redis-server redis-server "the soak of shared limits"
	@exec $(PYTHON_BIN) -m tests.chaos.soak --json docs/reliability.json

.PHONY: reliability
reliability: install-dev ## Write the figures of the latest runs into docs/reliability.md
	@$(PYTHON_BIN) -m tests.chaos.report

.PHONY: capacity
capacity: install-dev ## Thousands of requests and streams at once on two cores (3 minutes)
	@exec $(PYTHON_BIN) -m benchmarks.capacity

ROWS ?= 1000000
DAYS ?= 90
.PHONY: bench-reports
bench-reports: install-dev ## Reports on ROWS requests in a PostgreSQL of its own (minutes a million)
	@ROWS=$(ROWS) DAYS=$(DAYS) exec $(PYTHON_BIN) -m benchmarks.reports $(BENCH_REPORTS)

.PHONY: docs
docs: install-dev ## Write the pages that are generated from the code
	@$(PYTHON_BIN) scripts/write_reference.py && $(PYTHON_BIN) scripts/write_monitoring.py && \
		$(PYTHON_BIN) scripts/write_theme.py

.PHONY: matrix
matrix: install-dev ## Ask every route as everybody, and compare with tests/matrix/expected.csv
	@MATRIX=whole $(PYTHON_BIN) -m pytest -q -n 0 tests/matrix

.PHONY: matrix-table
matrix-table: install-dev ## Add new routes to tests/matrix/expected.csv; MATRIX=write makes it anew
	@MATRIX=$(or $(MATRIX),add) $(PYTHON_BIN) -m pytest -q -n 0 tests/matrix/test_matrix.py && git diff --stat tests/matrix

.PHONY: forecast-proof
forecast-proof: install-dev ## How often forecasts' bands hold the truth, over many made-up series
	CHATVAULT_FORECAST_SEEDS=60 $(PYTHON_BIN) -m pytest -q -n 0 tests/forecasts/test_model.py

.PHONY: lock
lock: install-dev ## Compile the requirement files again, with hashes
	@for name in requirements requirements-dev; do \
		.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --custom-compile-command "make lock" $$name.in -o $$name.txt; \
	done
	@.venv/bin/uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		deploy/requirements-tools.in -o deploy/requirements-tools.txt
