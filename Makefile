# Each target does all of its own set-up; a second run finds it done. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Where WasmEdge is. scripts/setup.sh wrote it, and everything that compiles or links against WasmEdge reads it first.
ENV := set -a; . target/wasmedge.env; set +a;
# The core needs no Node; the addon's own features are for the addon's own build.
CORE := --no-default-features
GUESTS := --manifest-path wasm-modules/Cargo.toml
GENERATED := index.d.ts js/native.js
# What the addon is made of.
ADDON := $(shell find src -name '*.rs') Cargo.toml Cargo.lock build.rs package.json js/header.d.ts $(wildcard target/wasmedge.env)
SCRIPTS := scripts/*.sh wasm-modules/*.sh .ci/run
# In this order: what is quick and often wrong comes first.
READY := fmt-check lint dts test examples docs

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Set-up and build -------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: node_modules/.installed ## get WasmEdge, libclang and the npm packages, unless they are here
	@scripts/setup.sh

# ONNX Runtime's install script would fetch what only NVIDIA's cards need, from elsewhere.
node_modules/.installed: package-lock.json
	ONNXRUNTIME_NODE_INSTALL=skip npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: build
build: setup ## build the addon for this machine
	@compgen -G 'js/*.node' >/dev/null || rm -f target/built
	@$(MAKE) --silent target/built

# Not left to cargo alone: napi's first build in an empty target folder sets a variable that has cargo compile all of the crate again
# in the second.
target/built: $(ADDON)
	@$(ENV) npm run --silent build
	@touch $@

.PHONY: guests
guests: setup ## compile the WebAssembly modules anew (needs more: see wasm-modules/README.md)
	@sh wasm-modules/build.sh

.PHONY: proto
proto: setup ## generate the protocols' Rust code from proto/
	@cd src/remote/pb && touch remotemedia.execution.rs remotemedia.v1.rs descriptors.bin
	@$(ENV) RM_WRITE_PROTO=1 cargo test --quiet $(CORE) --test proto

# --- Checks ------------------------------------------------------------------------------------------------------------------

.PHONY: ready
ready: setup ## everything that CI runs
	@took=""; for stage in $(READY); do \
	  echo "=== $$stage"; SECONDS=0; $(MAKE) "$$stage"; took+="$$(printf '\n  %-9s %4d s' "$$stage" "$$SECONDS")"; \
	done; echo "=== ready:$$took"

.PHONY: fmt
fmt: setup ## format every source
	cargo fmt --all
	npm run --silent fmt

.PHONY: fmt-check
fmt-check: setup
	cargo fmt --all --check

.PHONY: lint
lint: setup ## lint Rust, JavaScript and shell; a warning is an error
	@$(ENV) cargo clippy --lib --bins -- --deny warnings
	@$(ENV) cargo clippy --all-targets $(CORE) -- --deny warnings
	npm run --silent lint
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "shellcheck is not installed: scripts not checked"; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences not checked"; fi

.PHONY: check
check: setup ## type-check only, the quickest answer
	@$(ENV) cargo check --all-targets
	@$(ENV) cargo check --all-targets $(CORE)

.PHONY: dts
dts: setup ## check that the generated files are the ones in git
	@rm -f target/built; $(MAKE) --silent target/built
	@git ls-files --error-unmatch $(GENERATED) >/dev/null
	@git diff --exit-code -- $(GENERATED) || { echo "generated files changed: look at them and 'git add $(GENERATED)'" >&2; exit 1; }

.PHONY: test
test: build ## run every test: guests, Rust, JavaScript
	@scripts/setup.sh --tests
	node wasm-modules/check-dist.mjs
	@$(ENV) scripts/cargo-test.sh $(GUESTS)
	@$(ENV) scripts/cargo-test.sh $(CORE)
	npm test

.PHONY: examples
examples: build ## run every example
	node scripts/run-examples.mjs

.PHONY: docs
docs: build ## run the code in README.md and docs/, check types and links
	node scripts/check-docs.mjs

# --- To look at --------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: build ## find the speech in a recording, at the edge and where that is unsure in the cloud; WAV=FILE takes another one
	@node examples/demo.mjs $(if $(WAV),"$(WAV)")

.PHONY: bench
bench: build ## measure, as bench/README.md describes
	npm run --silent bench

.PHONY: clean
clean: ## remove what was built here; WasmEdge stays
	rm -rf target node_modules wasm-modules/target js/*.node
