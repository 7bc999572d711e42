# The verbs. `make` lists them; each is a single command, and CI runs nothing else.
# A virtual environment is made in .venv on first use; PYTHON chooses the interpreter.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MODEL  ?=
MINUTES ?=
ARGS   ?=
DOCKER ?= docker
TARGET     ?= requests
EXECUTIONS ?= 10000
SEED       ?= 1
CLANGXX    ?= clang++

# What the extension and the environment are made of: a change here rebuilds before the next verb.
CPP_SOURCES := $(shell find cpp -name '*.cc' -o -name '*.h' -o -name CMakeLists.txt)
CPP_CODE    := $(shell find cpp tests/cpp -name '*.cc' -o -name '*.h')
STAMP_SERVE := $(VENV)/.installed
STAMP_DEV   := $(VENV)/.installed-dev
STAMP_BENCH := $(VENV)/.installed-bench
STAMP_CORE  := $(VENV)/.built

comma := ,
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.NOTPARALLEL: # one pip at a time in one environment; compilers run in parallel by themselves
.PHONY: help serve chat speed bench setup build check fix test test-py test-cpp test-isa test-emulated test-san test-arm test-san-python test-browser \
        test-clients test-training prove-oracle tidy fuzz mutants load-test test-traffic test-schemathesis audit sbom soak docker docker-test dist \
        wheel-arm up helm-test test-scale test-ray test-deploy size clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# What Debian and Ubuntu keep in packages of their own is asked for before anything is downloaded.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
	  { echo "Python's headers are missing: apt install python3-dev"; exit 1; }
	@command -v c++ >/dev/null || { echo "there is no C++ compiler: apt install g++, or xcode-select --install"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment could be made: apt install python3-venv"; exit 1; }

$(STAMP_SERVE): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group build
	touch $@

$(STAMP_DEV): $(STAMP_SERVE)
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(STAMP_BENCH): $(STAMP_SERVE)
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

$(STAMP_CORE): $(STAMP_SERVE) $(CPP_SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	touch $@

serve: $(STAMP_CORE) ## set up and run the server (MODEL=folder-or-hub-name, ARGS="--port 8080")
	$(BIN)/tercet serve $(MODEL) $(ARGS)

chat: $(STAMP_CORE) ## talk to a model in the terminal
	$(BIN)/tercet chat $(MODEL) $(ARGS)

speed: $(STAMP_CORE) ## how fast is this host? (ARGS="--synthetic 2b4t")
	$(BIN)/tercet bench $(MODEL) $(ARGS)

bench: $(STAMP_BENCH) $(STAMP_CORE) build/dev/build.ninja ## all benchmarks, short, as a page with plots (ARGS="--full forward")
	$(BIN)/cmake --build build/dev --target bench_kernels
	$(BIN)/python -m benchmarks.report $(ARGS)

setup: $(STAMP_DEV) $(STAMP_CORE) ## everything a developer needs, hooks included
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

build: $(STAMP_CORE) ## (re)build the C++ extension

check: $(STAMP_DEV) $(STAMP_CORE) ## everything that must be true, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CPP_CODE)
	$(BIN)/mypy
	cd engine && ../$(BIN)/python -m mypy.stubtest --mypy-config-file ../pyproject.toml \
	  --allowlist ../cpp/tools/stubtest_allowlist.txt tercet_engine._core
	$(MAKE) --no-print-directory build/dev/build.ninja
	$(BIN)/cmake --build build/dev
	$(BIN)/python cpp/tools/check_symbols.py build/dev
	build/dev/tests/tercet_tests
	$(BIN)/pytest -q -m "not slow" -x

fix: $(STAMP_DEV) ## repair what a machine can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_CODE)

test: test-cpp test-py ## set up and run every test

test-py: $(STAMP_DEV) $(STAMP_CORE)
	$(BIN)/pytest

test-browser: $(STAMP_DEV) $(STAMP_CORE) ## the chat page in Chromium (apt install chromium)
	$(BIN)/python -m pip install --quiet --group browser
	$(BIN)/pytest -m browser tests/server

# In an environment of their own: some hold back what the others need.
test-clients: $(STAMP_DEV) $(STAMP_CORE) ## the recipes of docs/clients with the real clients (apt install nodejs npm)
	test -x .venv-clients/bin/python || $(BIN)/python -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet -r tests/clients/requirements.txt
	npm install --prefix tests/clients/node --no-audit --no-fund --no-package-lock
	$(BIN)/pytest -m clients tests/clients

test-training: $(STAMP_DEV) $(STAMP_CORE) ## the training recipe's tests; installs torch
	$(BIN)/python -m pip install --quiet -r training/requirements.txt
	$(BIN)/pytest tests/training

# In an environment of its own: torch and transformers are large, and nothing else needs them.
prove-oracle: ## the NumPy oracles against transformers (downloads torch)
	test -x .venv-oracle/bin/python || $(PYTHON) -m venv .venv-oracle
	.venv-oracle/bin/python -m pip install --quiet torch "transformers==5.23.*" accelerate numpy
	.venv-oracle/bin/python -m tests.oracle.prove $(ARGS)

build/%/build.ninja: $(STAMP_SERVE) cpp/CMakeLists.txt cpp/CMakePresets.json tests/cpp/CMakeLists.txt
	cd cpp && export PATH="$(CURDIR)/$(BIN):$$PATH" && pybind11_DIR="$$(python -m pybind11 --cmakedir)" cmake --preset $*

test-cpp: build/dev/build.ninja
	$(BIN)/cmake --build build/dev
	$(BIN)/ctest --test-dir build/dev --output-on-failure

test-isa: $(STAMP_DEV) $(STAMP_CORE) ## the model's tests once per kernel set this CPU can run
	for set in $$($(BIN)/python -c 'from tercet_engine import supported_kernels; print(*supported_kernels())'); do \
	  echo "== $$set"; TERCET_KERNELS=$$set $(BIN)/pytest -q tests/model || exit 1; done

test-emulated: $(STAMP_DEV) $(STAMP_CORE) build/dev/build.ninja ## every CPU in QEMU: C++, the model, equal answers (an hour a CPU; apt install qemu-user; ARGS="Nehalem --only cpp,answers")
	$(BIN)/cmake --build build/dev
	$(BIN)/python -m tests.emulated.run $(ARGS)

test-san: build/asan/build.ninja build/tsan/build.ninja ## C++ tests under ASan+UBSan, then TSan
	$(BIN)/cmake --build build/asan
	$(BIN)/ctest --test-dir build/asan --output-on-failure
	$(BIN)/cmake --build build/tsan
	$(BIN)/ctest --test-dir build/tsan --output-on-failure

test-san-python: $(STAMP_DEV) $(STAMP_CORE) build/asan-python/build.ninja build/tsan-python/build.ninja ## Python tests over an extension under ASan+UBSan, then TSan
	$(BIN)/cmake --build build/asan-python
	$(BIN)/python -m tests.sanitizers.run asan $(ARGS)
	$(BIN)/cmake --build build/tsan-python
	$(BIN)/python -m tests.sanitizers.run tsan $(ARGS)

test-arm: build/arm64/build.ninja ## C++ tests for 64-bit ARM, on CPUs that QEMU emulates
	$(BIN)/cmake --build build/arm64
	$(BIN)/python cpp/tools/check_symbols.py build/arm64
	$(BIN)/ctest --test-dir build/arm64 --output-on-failure

tidy: build/dev/build.ninja $(STAMP_DEV) ## clang-tidy over the C++ (minutes)
	$(BIN)/cmake --build build/dev
	$(BIN)/clang-tidy -p build/dev --quiet $(shell find cpp/src -name '*.cc')

# Coverage guides it where atheris can be installed; the C++ readers of formats are libFuzzer's (apt install clang).
fuzz: $(STAMP_DEV) $(STAMP_CORE) ## hostile inputs through one door (TARGET=config EXECUTIONS=1000000 SEED=1)
ifeq ($(TARGET),formats)
	mkdir -p build/fuzz/corpus/formats
	$(CLANGXX) -std=c++20 -O1 -g1 -ffp-contract=off -fno-math-errno -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -Icpp/include -Icpp/src tests/cpp/fuzz_formats.cc cpp/src/formats/*.cc \
	  cpp/src/linear.cc cpp/src/outliers.cc cpp/src/thread_pool.cc -pthread -o build/fuzz/formats
	build/fuzz/formats -runs=$(EXECUTIONS) -seed=$(SEED) -max_len=4096 -timeout=10 -verbosity=1 -artifact_prefix=build/fuzz/ \
	  build/fuzz/corpus/formats
else
	-$(BIN)/python -m pip install --quiet --group fuzz
	$(BIN)/python -m tests.fuzz $(TARGET) --executions $(EXECUTIONS) --seed $(SEED)
endif

mutants: $(STAMP_DEV) $(STAMP_CORE) ## every listed mutant must die
	$(BIN)/python -m tests.mutants.run $(ARGS)

load-test: $(STAMP_DEV) $(STAMP_CORE) ## a minute of 64 clients, a third of whom hang up
	$(BIN)/python -m benchmarks.load $(ARGS)

soak: $(STAMP_BENCH) $(STAMP_CORE) ## 45 minutes of everything that clients do: a verdict and a picture (MINUTES=3 MODEL=...)
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),45) $(if $(MODEL),--model $(MODEL)) $(ARGS)

dist: $(STAMP_SERVE) ## what is published: the sdist and a wheel built from it, tried in a fresh environment
	-$(BIN)/python -m pip install --quiet --group dist
	$(BIN)/python tests/dist.py

wheel-arm: $(STAMP_SERVE) ## a wheel for 64-bit ARM, built here (ARM64_ROOT=...; apt install g++-aarch64-linux-gnu)
	$(BIN)/python cpp/tools/cross_wheel.py $(or $(ARM64_ROOT),$(error ARM64_ROOT: see docs/building.md)) dist

test-traffic: $(STAMP_DEV) $(STAMP_CORE) ## random traffic over every route (MINUTES=10, ARGS="--seed 7")
	$(BIN)/python -m tests.traffic.run --minutes $(or $(MINUTES),1) $(ARGS)

# In an environment of its own, against a server of its own.
test-schemathesis: $(STAMP_DEV) $(STAMP_CORE) ## schemathesis against /openapi.json (ARGS="--max-examples 50")
	test -x .venv-schemathesis/bin/schemathesis || { $(PYTHON) -m venv .venv-schemathesis && \
	  .venv-schemathesis/bin/python -m pip install --quiet "schemathesis>=4.32,<5"; }
	$(BIN)/python -m tests.traffic.schemathesis .venv-schemathesis/bin/schemathesis $(ARGS)

# What `pip install .` brings today, without what developers have besides.
.venv-server/.installed: pyproject.toml tools/requirements.py
	rm -rf .venv-server
	$(PYTHON) -m venv .venv-server
	$(PYTHON) tools/requirements.py > .venv-server/requirements.txt
	.venv-server/bin/python -m pip install --quiet -r .venv-server/requirements.txt
	.venv-server/bin/python -m pip uninstall --quiet --yes pip setuptools
	touch $@

.venv-supply/.installed:
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet "pip-audit>=2.9" "cyclonedx-bom>=7"
	touch $@

audit: .venv-server/.installed .venv-supply/.installed ## known vulnerabilities of what the server installs (needs the network)
	$(PYTHON) tools/audit.py .venv-supply/bin/pip-audit "$$(echo .venv-server/lib/python3*/site-packages)"

sbom: .venv-server/.installed .venv-supply/.installed ## what the server installs, as CycloneDX: build/sbom.cdx.json
	mkdir -p build
	.venv-supply/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  -o build/sbom.cdx.json .venv-server/bin/python

# What the image is built on and with: BASE_IMAGE=..., CA=bundle.crt for a network with its own authority.
DOCKER_BUILD := $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(if $(CA),--secret id=ca$(comma)src=$(CA))

docker: ## build the image (BASE_IMAGE=..., CA=bundle.crt)
	DOCKER_BUILDKIT=1 $(DOCKER) build -f docker/Dockerfile $(DOCKER_BUILD) -t tercet .

docker-test: $(STAMP_CORE) ## build the image and hold it to its promises (needs a docker engine)
	DOCKER=$(DOCKER) BASE_IMAGE=$(BASE_IMAGE) CA=$(CA) $(BIN)/python docker/test.py $(ARGS)

up: ## run the image with compose
	$(DOCKER) compose up --build

test-scale: $(STAMP_DEV) $(STAMP_CORE) ## three replicas behind HAProxy: one is killed, one drained (apt install haproxy)
	$(BIN)/pytest -s tests/deploy/test_scale.py

test-ray: $(STAMP_DEV) $(STAMP_CORE) ## two replicas on Ray Serve; installs Ray (0.5 GB)
	-$(BIN)/python -m pip install --quiet "ray[serve]>=2.60"
	$(BIN)/pytest -s tests/deploy/test_ray.py

helm-test: $(STAMP_DEV) $(STAMP_CORE) ## render the Helm chart and hold it against Kubernetes' schemas
	-$(BIN)/python -m pip install --quiet --group deploy
	$(BIN)/pytest tests/deploy/test_helm.py

test-deploy: $(STAMP_DEV) $(STAMP_CORE) ## all of deploy/ that can be checked here (apt install haproxy prometheus)
	-$(BIN)/python -m pip install --quiet --group deploy
	$(BIN)/pytest tests/deploy

size: ## lines per file, longest first
	@git ls-files '*.py' '*.cc' '*.h' | xargs wc -l | sort -rn | head -40

clean: ## remove what was built
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis $(STAMP_CORE)
