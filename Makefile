# What a developer does with BioXen. Needs a Rust toolchain, make and python3.

NATS_SERVER = $$(python3 deploy/get_nats_server.py)
CARGO ?= cargo

SEEDS ?= 1000
FROM ?= 1
ROUNDS ?= 200

.PHONY: help run dev test simulate faults mutants static-bits guest xcpng acceptance ensemble bench bench-peers lint

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build, and show a fleet at work: two users, three cells, a refusal, the audit trail
	@nats=$(NATS_SERVER) && $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" target/release/bioxen demo

dev: ## Build, and run a fleet on port 4222 until interrupted; flags in ARGS
	@nats=$(NATS_SERVER) && $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" exec target/release/bioxen dev $(ARGS)

test: ## Run every test, with a real nats-server and clients in Python; one test's name in ARGS
	@nats=$(NATS_SERVER) && python=$$(python3 tests/python/get_python.py) \
		&& $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" BIOXEN_PYTHON="$$python" $(CARGO) test --release --workspace $(ARGS)

simulate: ## Check the fleet's invariants under faults that seeds decide: SEEDS=n of them, from FROM
	@$(CARGO) run --release -q -p bioxen-simulator -- --seeds $(SEEDS) --from $(FROM)

faults: ## Kill and stop real processes under load, ROUNDS=n times; some 9 s a round
	@nats=$(NATS_SERVER) && $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" BIOXEN_FAULT_ROUNDS=$(ROUNDS) $(CARGO) test --release --workspace --test faults -- --nocapture

mutants: ## Plant each bug of the gallery and see the simulator or a test catch it, some minutes
	@nats=$(NATS_SERVER) && BIOXEN_NATS_SERVER="$$nats" $(CARGO) test --release --workspace --test mutants -- --include-ignored --nocapture

static-bits: ## Build bioxen statically beside the other, and hold their trajectories against each other
	@triple=$$(rustc -vV | sed -n 's/^host: //p') && $(CARGO) build --release --workspace --bins \
		&& RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release -p bioxen-cli --target "$$triple" --target-dir target/static \
		&& BIOXEN_STATIC="$$PWD/target/static/$$triple/release/bioxen" $(CARGO) test --release --workspace --test checkpoints -- --ignored static_build

guest: ## Build bioxen-guest statically, as a guest on an XCP-ng pool takes it, and test that program
	@triple=$$(rustc -vV | sed -n 's/^host: //p') \
		&& RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) test --release -p bioxen-guest --target "$$triple" --target-dir target/static \
		&& echo "target/static/$$triple/release/bioxen-guest"

xcpng: ## Lose answers and kill workers on a pool of the tests' own, ROUNDS=n times
	@nats=$(NATS_SERVER) && $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" BIOXEN_XCPNG_ROUNDS=$(ROUNDS) $(CARGO) test --release --workspace --test contract -- --nocapture lost

acceptance: ## Print every row of the acceptance table with value, reference and tolerance, some minutes
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT \
		&& { $(CARGO) test --release -p bioxen-hypervisor --no-fail-fast --test acceptance --test packs --test organism \
		--test ssa --test stochastic --test single_cells --test determinism -- --include-ignored --nocapture --test-threads=1 row \
		> "$$log" 2>&1 || true; } && python3 tests/python/acceptance.py < "$$log" \
		|| { cp "$$log" target/acceptance.log; echo "all that the tests said: target/acceptance.log"; exit 1; }

ensemble: ## Run a thousand single cells of three generations on a fleet, twice, and against rebop, some minutes
	@nats=$(NATS_SERVER) && python=$$(python3 tests/python/get_python.py) \
		&& $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" BIOXEN_PYTHON="$$python" $(CARGO) test --release --workspace --test ensembles \
		-- --include-ignored --nocapture thousand

bench: ## Measure cells, commands and density, some three minutes; one benchmark as ARGS="--bench NAME"
	@nats=$(NATS_SERVER) && $(CARGO) build --release --workspace --bins \
		&& BIOXEN_NATS_SERVER="$$nats" $(CARGO) bench --package bioxen-tests $(or $(ARGS),--benches)

bench-peers: ## Measure our solvers against rebop, libRoadRunner and COPASI, on one core, some two minutes
	@python=$$(python3 tests/python/get_python.py benches/peers/requirements.txt); \
		BIOXEN_PEERS_PYTHON="$$python" $(CARGO) bench --package bioxen-tests --bench peers

lint: ## Check formatting, lints and licences
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
		else echo "skipped: cargo-deny is not installed, so licences and sources were not checked"; fi
