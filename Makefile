# make demo         one plate through CellProfiler and scikit-learn (PLATE=DIR for real images)
# make test         the checks of make lint, then all tests in every environment
# make test-fast    the checks of make lint, then the tests that take little time (75 seconds)
# make lint         style, types and imports (seconds)
# make docs         the documentation with the API reference, into build/docs
# make dist         source distribution and wheel, into dist
# make images       the container images, with Docker or the program that BUILD names
# make results DATA=DIR   the numbers of docs/results.md, from the folder of test images (an hour)
# Each target first makes what is missing, and says so.

UV := $(or $(shell command -v uv),.uv/bin/uv)
# Real images, also for the tests that run in another folder.
export STRATONET_TEST_DATA ?= $(abspath ../shared/data)
PACKAGES := stratonet stratonet_app stratonet_sklearn cellprofiler_plugin training stratonet_cli.py stratonet_demo.py
# tests/conftest.py says which tests stay in one process. Three processes for two cores,
# because tests that wait for processes of their own leave cores idle.
SIDE_BY_SIDE := --numprocesses 3 --no-loadscope-reorder
# The tests of the core and the transformer, which pass with all versions of libraries
# that pyproject.toml allows.
CORE_TESTS := tests/test_packaging.py tests/stratonet --ignore tests/stratonet/extraction \
	tests/stratonet_sklearn/test_transformer.py tests/stratonet_sklearn/test_common.py
# The tests start some hundred processes. Without bytecode, each compiles everything that
# it imports: TensorFlow takes seven seconds. Hence also --compile-bytecode below.
unexport PYTHONDONTWRITEBYTECODE

demo: .venv/ready
	@.venv/bin/stratonet demo $(if $(PLATE),--plate "$(PLATE)")

# The targets that need one core run at the same time, each with its output in one piece.
# Environments are made before, so that their messages are seen.
test: lint test-everything .venv-cellprofiler/ready .venv-lowest/ready
	@echo "At the same time: docs, stock CellProfiler, the lowest and the newest libraries."
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-cellprofiler docs test-lowest test-current

# Tests that run in Python 3.9 with CellProfiler as it comes are not run twice.
test-everything: .venv/ready
	.venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "everything or not stock_cellprofiler" --durations 10 --doctest-modules tests $(PACKAGES)

test-cellprofiler: .venv-cellprofiler/ready
	.venv-cellprofiler/bin/python -m pytest -m stock_cellprofiler

# The wheel, with the tests of the source distribution: what users of either have.
test-lowest: dist .venv-lowest/ready
	@$(UV) pip install --quiet --python .venv-lowest --no-deps --reinstall-package stratonet dist/*.whl
	cd build/sdist && $(CURDIR)/.venv-lowest/bin/pytest $(SIDE_BY_SIDE) $(CORE_TESTS)

# Not every machine has Python 3.12 or can fetch it.
test-current: | $(filter .uv/bin/uv,$(UV))
	@if $(UV) python find 3.12 >/dev/null 2>&1 || $(UV) python install --quiet 3.12; then \
		$(MAKE) --no-print-directory .venv-current/ready && \
		.venv-current/bin/python -m pytest $(SIDE_BY_SIDE) $(CORE_TESTS); \
	else \
		echo "Skipped: the tests with the newest libraries. They need Python 3.12, which is not installed and could not be fetched."; \
	fi

test-fast: lint .venv/ready
	.venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

lint: .venv-lint/ready
	.venv-lint/bin/ruff check .
	.venv-lint/bin/ruff format --check .
	.venv-lint/bin/mypy
	.venv-lint/bin/lint-imports
	.venv-lint/bin/cffconvert --validate
	.venv-lint/bin/hadolint Dockerfile

docs: .venv/ready
	@TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --conf-dir docs . build/docs
	@echo "Written: build/docs/docs/index.html"

dist: | $(filter .uv/bin/uv,$(UV))
	@rm -rf dist build/sdist
	@$(UV) build --quiet --out-dir dist
	@mkdir -p build/sdist
	@tar -xzf dist/stratonet-*.tar.gz -C build/sdist --strip-components 1
	@echo "Written: $$(ls dist/*)"

BUILD ?= docker
images:
	$(BUILD) build --target features --tag stratonet-features .
	$(BUILD) build --target cellprofiler --tag stratonet-cellprofiler .
	for image in stratonet-features stratonet-cellprofiler; do $(BUILD) run --rm $$image stratonet --version || exit 1; done

results: .venv/ready
	@test -n "$(DATA)" || { echo "Give the folder of test images: make results DATA=DIR" >&2; exit 2; }
	@.venv/bin/python benchmarks/results.py "$(DATA)" stratonet-results

.venv/ready: PYTHON = 3.10
.venv/ready: REQUIREMENTS = everything
.venv-cellprofiler/ready: PYTHON = 3.9
.venv-cellprofiler/ready: REQUIREMENTS = cellprofiler
.venv-lowest/ready: PYTHON = 3.10
.venv-lowest/ready: REQUIREMENTS = lowest
.venv-current/ready: PYTHON = 3.12
.venv-current/ready: REQUIREMENTS = current
.venv-lint/ready: PYTHON = 3.10
.venv-lint/ready: REQUIREMENTS = lint
.venv/ready: requirements/everything.txt
.venv-cellprofiler/ready: requirements/cellprofiler.txt
.venv-lowest/ready: requirements/lowest.txt
.venv-current/ready: requirements/current.txt
.venv-lint/ready: requirements/lint.txt
.venv/ready .venv-cellprofiler/ready: | system
ENVIRONMENTS := .venv/ready .venv-cellprofiler/ready .venv-lowest/ready .venv-current/ready .venv-lint/ready
$(ENVIRONMENTS): requirements/build.constraints pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@echo "Making $(@D): Python $(PYTHON), requirements/$(REQUIREMENTS).txt (a minute or two)."
	@$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	@$(UV) pip sync --quiet --compile-bytecode --python $(@D) \
		--build-constraint requirements/build.constraints requirements/$(REQUIREMENTS).txt
	@$(UV) pip install --quiet --python $(@D) --no-deps --editable .
	@touch $@

.uv/bin/uv: | system
	@echo "Installing uv into .uv."
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet uv==0.13.9

# CellProfiler's Java bridge and MySQL client are compiled. Chromium is for the tests that
# look at the report; without it they are skipped, so it is not required.
system:
	@missing=; \
	command -v javac >/dev/null || missing="$$missing openjdk-17-jdk-headless"; \
	command -v gcc >/dev/null || missing="$$missing gcc"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	command -v mariadb_config >/dev/null || command -v mysql_config >/dev/null || missing="$$missing libmariadb-dev"; \
	python3 -c "import ensurepip, venv" 2>/dev/null || missing="$$missing python3-venv"; \
	if [ "$$(id -u)" = 0 ]; then command -v chromium >/dev/null || missing="$$missing chromium"; fi; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing system packages:$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "Missing system packages. On Debian or Ubuntu type: sudo apt-get install$$missing" >&2; exit 1; \
	fi

# For new pins, edit requirements/*.in, then make lock.
lock: $(filter .uv/bin/uv,$(UV))
	$(COMPILE) --python-version 3.10 --override requirements/everything.overrides \
		requirements/everything.in --output-file requirements/everything.txt
	$(COMPILE) --python-version 3.9 --override requirements/cellprofiler.overrides \
		requirements/cellprofiler.in --output-file requirements/cellprofiler.txt
	$(COMPILE) --python-version 3.10 --override requirements/container.overrides \
		pyproject.toml --extra evaluate requirements/container.in --output-file requirements/container.txt
	$(COMPILE) --python-version 3.10 requirements/lint.in --output-file requirements/lint.txt
	$(COMPILE) --python-version 3.10 requirements/speed.in --output-file requirements/speed.txt
	$(COMPILE) --python-version 3.10 --resolution lowest-direct --no-build $(CORE) \
		requirements/lowest.in --output-file requirements/lowest.txt
	$(COMPILE) --python-version 3.12 --upgrade $(CORE) \
		requirements/current.in --output-file requirements/current.txt

CORE := pyproject.toml --extra sklearn --extra cellprofiler --extra extract
COMPILE = $(UV) pip compile --quiet --build-constraint requirements/build.constraints \
	--python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --no-header

.PHONY: demo test test-everything test-cellprofiler test-lowest test-current test-fast lint docs dist images results system lock
