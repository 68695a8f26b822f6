# `make help` lists the targets. Everything is installed into VENV, which is made when missing: a new
# machine needs Python 3.11 or newer, a C++ compiler and make.
#
# On PyPI, torch for Linux is a CUDA build of several gigabytes. For the CPU build, name the index of
# CPU builds that torch's own install page gives:  make test PIP_ARGS='--extra-index-url URL'

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
GPU_ARGS ?=
FUZZ_SECONDS ?= 300

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet $(PIP_ARGS)
EXTRAS := train sweep images bench export docs dev \
	$(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),triton)
SOURCES := setup.py pyproject.toml CMakeLists.txt $(shell find lilnetx kernels csrc -type f \
	-not -name '*.pyc' -not -name '*.so')
CXX_SOURCES := $(shell find csrc tests/cpp tests/fuzz tests/cuda -name '*.cpp' -o -name '*.h' \
	-o -name '*.inc' -o -name '*.cu' -o -name '*.cuh')
EMULATED := $(addprefix tests/cuda/test_,threads.py emulator.py cuda_weights.py cuda_cases.py)
READY := $(VENV)/.ready
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format docs sanitize fuzz cross kernels gpu-check bench figures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-9s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## build the package and install it, with all extras, into VENV (.venv)

demo: $(INSTALLED) ## time the shipped model against dense engines, layer by layer and as a whole
	$(BIN)/lilnetx-bench $(BENCH_ARGS)

test: $(INSTALLED) ## run all tests against the installed package (PYTEST_ARGS='-k name' for some)
	LILNETX_TEST_INSTALLED=1 $(BIN)/pytest $(PYTEST_ARGS)

lint: $(READY) ## check style and types: ruff, mypy, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)

format: $(READY) ## format all sources in place
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

docs: $(INSTALLED) ## build the documentation into build/site, without a warning
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The C++ test program (tests/cpp) runs every kernel and network; the codec and the file format, whose
# tests feed damaged bytes, are tested through Python too. The sanitized package lies beside the
# ordinary one; its sources come before the installed ones. CUDA kernels run in their emulator, under
# ThreadSanitizer in tiny shapes.
sanitize: $(INSTALLED) ## test the C++ parts under AddressSanitizer, UBSan and ThreadSanitizer
	PATH="$(BIN):$$PATH" LILNETX_SANITIZE=address,undefined LILNETX_BUILD_TESTS=ON \
	$(BIN)/python setup.py -q build --build-lib build/sanitize --build-temp build/sanitize.tmp
	LILNETX_TEST_PROGRAM=$(CURDIR)/build/sanitize.tmp/lilnetx._core/lnx_test $(BIN)/pytest tests/cpp
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/sanitize \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so):$$(c++ -print-file-name=libstdc++.so)" \
	$(BIN)/pytest tests/codec tests/format tests/runtime/test_session.py $(PYTEST_ARGS)
	PATH="$(BIN):$$PATH" cmake -S . -B build/thread -G Ninja -DCMAKE_BUILD_TYPE=Release \
	-DLNX_PYTHON=OFF -DLNX_TESTS=ON -DLNX_SANITIZE=thread
	PATH="$(BIN):$$PATH" cmake --build build/thread --target lnx_test
	LILNETX_TEST_PROGRAM=$(CURDIR)/build/thread/lnx_test $(BIN)/pytest tests/cpp
	PATH="$(BIN):$$PATH" cmake -S . -B build/driver -G Ninja -DLNX_PYTHON=OFF -DLNX_FUZZ=ON
	PATH="$(BIN):$$PATH" cmake --build build/driver --target lnx_fuzz
	LILNETX_FUZZ_PROGRAM=$(CURDIR)/build/driver/lnx_fuzz $(BIN)/pytest tests/fuzz
	LILNETX_EMULATOR_SANITIZE=address,undefined $(BIN)/pytest $(EMULATED)
	LILNETX_EMULATOR_SANITIZE=thread $(BIN)/pytest $(filter-out %_cases.py,$(EMULATED))

# The decoder with libFuzzer where there is clang (apt-get install clang libclang-rt-dev), else with a
# plain driver; the reader from Python, with the extension under the same sanitizers. Then what takes
# too long for 'make test': each bit of the shipped model, and 200 kills while packing.
fuzz: $(INSTALLED) ## fuzz decoder and reader, FUZZ_SECONDS (300) each; damage each bit; kill 200 times
	PATH="$(BIN):$$PATH" cmake -S . -B build/fuzz -G Ninja -DLNX_PYTHON=OFF -DLNX_FUZZ=ON \
	-DCMAKE_CXX_COMPILER=$(or $(shell command -v clang++),c++)
	PATH="$(BIN):$$PATH" cmake --build build/fuzz --target lnx_fuzz
	mkdir -p build/fuzz/corpus
	cd build/fuzz && ./lnx_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=2048 \
	-print_final_stats=1 corpus $(CURDIR)/tests/fuzz/corpus/codec
	PATH="$(BIN):$$PATH" LILNETX_SANITIZE=address,undefined \
	$(BIN)/python setup.py -q build --build-lib build/sanitize --build-temp build/sanitize.tmp
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1 \
	PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/sanitize \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so):$$(c++ -print-file-name=libstdc++.so)" \
	$(BIN)/python -W ignore tests/fuzz/fuzz_reader.py --seconds $(FUZZ_SECONDS) \
	--output build/fuzz/findings
	LILNETX_ALL_BITS=1 LILNETX_KILLS=200 $(BIN)/pytest -s \
	tests/format/test_format_shipped_damage.py tests/format/test_format_kill.py

cross: $(INSTALLED) ## test the C++ library for aarch64 and (codec, weights) big-endian s390x, in an emulator
	PATH="$(BIN):$$PATH" LILNETX_CROSS=1 $(BIN)/pytest tests/cpp $(PYTEST_ARGS)

# Each case of the table in both forms and three precisions; 'make test' runs each once, by turns.
kernels: $(INSTALLED) ## run all cases of the Triton kernels in their interpreter (about 30 minutes)
	LILNETX_ALL_KERNEL_CASES=1 LILNETX_TEST_INSTALLED=1 $(BIN)/pytest tests/kernels $(PYTEST_ARGS)

gpu-check: SINCE := $(shell date +%s)
gpu-check: $(INSTALLED) ## on a machine with a GPU: build, its tests, benchmarks against cuDNN (8 minutes)
	$(BIN)/python benchmarks/gpu_check.py --since $(SINCE) $(GPU_ARGS)

bench: $(INSTALLED) ## measure all figures of the documentation (about 12 minutes), then draw them
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/plots.py
	$(BIN)/python benchmarks/readme.py

figures: $(INSTALLED) ## check the shipped model again; draw plots and README from committed results
	$(BIN)/python benchmarks/run.py --only model
	$(BIN)/python benchmarks/plots.py
	$(BIN)/python benchmarks/readme.py

clean: ## remove VENV and everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Third-party packages, the build's own among them, so that the package itself builds without a
# temporary environment and recompiles only what changed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PYTHON must be 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys, tomllib; \
	project = tomllib.load(open("pyproject.toml", "rb")); \
	extras = project["project"]["optional-dependencies"]; \
	print(*project["build-system"]["requires"], *project["project"]["dependencies"], \
	*(line for name in sys.argv[1:] for line in extras[name]), sep="\n")' \
	$(EXTRAS) > $(VENV)/requirements.txt
	$(PIP) -c constraints.txt -r $(VENV)/requirements.txt
	touch $@

# An ordinary install, as a user gets it: tests must not find the source folder by accident. Staged
# Python files of an earlier build are dropped, or deleted modules would be installed again.
$(INSTALLED): $(READY) $(SOURCES)
	rm -rf build/lib* build/bdist*
	PATH="$(BIN):$$PATH" $(PIP) --no-deps --no-build-isolation --force-reinstall .
	touch $@
