# make demo   one plate through CellProfiler and through scikit-learn (PLATE=DIR for real images)
# make test   all tests, in Python 3.10 with everything and in Python 3.9 with CellProfiler as it comes
# make results DATA=DIR   the numbers of docs/results.md, from the folder of test images (an hour)
# Each makes what is missing first, and says so.

UV := $(or $(shell command -v uv),.uv/bin/uv)
IN_CELLPROFILER := tests/stratonet/test_card.py tests/stratonet/test_naming.py tests/stratonet/test_preprocessing.py tests/stratonet/files/test_images.py \
	tests/stratonet/test_crops.py tests/stratonet/test_network.py tests/cellprofiler_plugin/test_parquet.py tests/cellprofiler_plugin/test_measurestratofeatures.py \
	tests/cellprofiler_plugin/test_figure.py

demo: .venv/ready
	@.venv/bin/stratonet demo $(if $(PLATE),--plate "$(PLATE)")

test: .venv/ready .venv-cellprofiler/ready
	.venv/bin/python -m pytest
	.venv-cellprofiler/bin/python -m pytest $(IN_CELLPROFILER)

results: .venv/ready
	@test -n "$(DATA)" || { echo "Give the folder of test images: make results DATA=DIR" >&2; exit 2; }
	@.venv/bin/python benchmarks/results.py "$(DATA)" stratonet-results

.venv/ready: PYTHON = 3.10
.venv/ready: REQUIREMENTS = everything
.venv-cellprofiler/ready: PYTHON = 3.9
.venv-cellprofiler/ready: REQUIREMENTS = cellprofiler
.venv/ready: requirements/everything.txt
.venv-cellprofiler/ready: requirements/cellprofiler.txt
.venv/ready .venv-cellprofiler/ready: requirements/build.constraints pyproject.toml | system $(filter .uv/bin/uv,$(UV))
	@echo "Making $(@D): Python $(PYTHON), requirements/$(REQUIREMENTS).txt (a minute or two)."
	@$(UV) venv --quiet --clear --python $(PYTHON) $(@D)
	@$(UV) pip sync --quiet --python $(@D) --build-constraint requirements/build.constraints \
		requirements/$(REQUIREMENTS).txt
	@$(UV) pip install --quiet --python $(@D) --no-deps --editable .
	@touch $@

.uv/bin/uv: | system
	@echo "Installing uv into .uv."
	@python3 -m venv .uv
	@.uv/bin/pip install --quiet uv==0.13.9

# CellProfiler's Java bridge and MySQL client are compiled.
system:
	@missing=; \
	command -v javac >/dev/null || missing="$$missing openjdk-17-jdk-headless"; \
	command -v gcc >/dev/null || missing="$$missing gcc"; \
	command -v g++ >/dev/null || missing="$$missing g++"; \
	command -v mariadb_config >/dev/null || command -v mysql_config >/dev/null || missing="$$missing libmariadb-dev"; \
	python3 -c "import ensurepip, venv" 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing system packages:$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "Missing system packages. On Debian or Ubuntu type: sudo apt-get install$$missing" >&2; exit 1; \
	fi

# New pins: edit requirements/*.in, then make lock.
lock: $(filter .uv/bin/uv,$(UV))
	$(call compile,everything,3.10)
	$(call compile,cellprofiler,3.9)

define compile
	$(UV) pip compile --quiet requirements/$(1).in --override requirements/$(1).overrides \
		--build-constraint requirements/build.constraints --python-version $(2) \
		--python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header --output-file requirements/$(1).txt

endef

.PHONY: demo test results system lock
