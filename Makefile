# The README's two commands are `cargo run --release -- serve` and `make test`.
# `make test` is what CI runs; each of its steps can be run alone.

export RUSTDOCFLAGS = -Dwarnings
# What CI runs is the same each time. `cargo test` alone tries other cases in each run.
export PROPTEST_RNG_SEED = 1
export UWS_DIR
# It would look for the job server of `make -j2`, which is not handed to it.
CARGO = env -u MAKEFLAGS -u MFLAGS cargo

.PHONY: test ahead tools fmt lint doc unit unit-build loom interop release autobahn-client autobahn-ci autobahn rivals benchmarks fuzz fuzz-ci fuzz-replay \
        bench-micro icount icount-build icount-baseline planted planted-apply soak sanitize simulate latency demo demo-check typescript browser cuts

# The tests wait for their clocks and peers much of the time: what later steps need is compiled then.
test: tools fmt lint doc unit-build
	@$(MAKE) --no-print-directory -j2 unit ahead loom fuzz-replay demo-check benchmarks planted-apply
	@$(MAKE) --no-print-directory typescript fuzz-ci interop browser icount autobahn-ci
	@echo "make test: all steps passed"

ahead:
	@CARGO_TERM_QUIET=true nice -n 19 $(MAKE) --no-print-directory release icount-build

# What the steps need besides Rust: Python with venv for the Autobahn suite and a client, Node and
# curl as clients, valgrind to count instructions.
tools:
	@.ci/tools

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --no-default-features --locked -- -D warnings
	cargo clippy --no-default-features --features messaging --locked -- -D warnings

doc:
	cargo doc --no-deps --document-private-items --workspace --locked

unit:
	$(CARGO) test --workspace --locked

unit-build:
	cargo test --workspace --locked --no-run

# The wake-up between cores in every order of its steps with up to five interruptions; seconds.
loom:
	cargo fmt --manifest-path tests/loom/Cargo.toml --check
	$(CARGO) clippy --manifest-path tests/loom/Cargo.toml --target-dir target/loom --all-targets --locked -- -D warnings
	$(CARGO) test --manifest-path tests/loom/Cargo.toml --target-dir target/loom --locked

# Every test under AddressSanitizer, and a server that echoes under valgrind: what is unsafe in the
# crates below. ThreadSanitizer needs a nightly compiler with the source of std.
sanitize:
	tests/sanitize/run

# The messaging layer in a simulation, with SEEDS fresh seeds for each plan of
# tests/topics_sim/main.rs; PLAN, SEED and SEEDS=1 run one again, and TRACE=c3 prints a client's words.
simulate:
	PLAN=$(PLAN) SEED=$(SEED) SEEDS=$(SEEDS) TRACE=$(TRACE) \
		cargo test --locked --test topics_sim -- --ignored --exact simulate --nocapture

# Publish to receive under the load of the promise, with one core and with two; the machine should be
# quiet.
latency:
	cargo test --release --locked --test latency -- --ignored --nocapture

# Real processes over connections that are cut, for SECONDS from a fresh SEED: see tests/cuts.
cuts:
	SECONDS=$(SECONDS) SEED=$(SEED) \
		cargo test --locked --test cuts -- --ignored --exact cuts --nocapture

# Clients that people use: Python's websockets, Node's ws, curl.
interop: release
	tests/interop/run

release:
	cargo build --release --locked --bin corewire

autobahn-client:
	cargo build --locked --example autobahn-client

# Groups 1 to 10 whole, and the quick half of 12 and 13 (compression).
autobahn-ci: release autobahn-client
	autobahn/run server --profile ci
	autobahn/run client --profile ci

# The page at / from its sources; what comes out is committed, so that `cargo build` needs no Node.
demo: demo/node_modules
	cd demo && npm run --silent build

# Whether the committed page is what its sources make, and the sources are sound.
demo-check: demo/node_modules
	cd demo && npm run --silent check

demo/node_modules: demo/package-lock.json
	cd demo && npm ci --silent --prefer-offline --no-audit --no-fund && touch node_modules

# The TypeScript client: types, style, tests, a real server in both dialects, size, and the package in
# a fresh project.
typescript: release clients/typescript/node_modules
	cd clients/typescript && npm run --silent check
	cd clients/typescript && npm run --silent lint
	cd clients/typescript && npm test --silent
	cd clients/typescript && npm run --silent test:server
	cd clients/typescript && npm run --silent size
	cd clients/typescript && npm run --silent test:pack

clients/typescript/node_modules: clients/typescript/package-lock.json
	cd clients/typescript && npm ci --silent --prefer-offline --no-audit --no-fund && touch node_modules

# The page, and tabs that share a connection, in real Chromium; screenshots in target/browser.
browser: release clients/typescript/node_modules
	tests/browser/run

# All 517 cases in both roles, a quarter of an hour; writes docs/autobahn.md.
autobahn: release autobahn-client
	autobahn/run server
	autobahn/run client
	autobahn/run table docs/autobahn.md

# corewire beside its rivals, one core against one core; writes benches/record and
# docs/benchmarks.md. Half an hour with UWS_DIR=…, the folder of uWebSockets. ROWS='echo-64 lone',
# SERVERS='corewire uws', ROUNDS=3 and SECONDS=1 select less, which is shown and not recorded; ADD=1
# puts rows that were measured as long into the newest record.
rivals: ROWS = *
rivals: SERVERS = *
rivals: ROUNDS = 9
rivals: SECONDS = 1.5
rivals:
	.ci/tools rivals
	benches/rivals/run measure --rounds $(ROUNDS) --seconds $(SECONDS) --rows $(ROWS:%='%') \
		--servers $(SERVERS:%='%') $(if $(ADD),--add)

# docs/benchmarks.md is what the newest record generates, and the rivals' programs are in order: they
# are compiled by `make rivals` alone.
benchmarks:
	cargo fmt --manifest-path benches/rivals/Cargo.toml --check
	python3 -m unittest discover -s benches/rivals
	benches/rivals/run check

# The pieces of the hot path one by one, without sockets; about three minutes. BENCH=mask measures
# what has that word in its name.
bench-micro:
	cargo bench --locked --bench micro -- $(BENCH)

# Instructions of pieces of the hot path under callgrind, built like the server. Fails where one
# costs 3 % more than in benches/icount/baseline.txt. CI runs it.
icount: icount-build
	python3 -m unittest discover -s benches/icount
	benches/icount/run

# Accepts what a change costs, or keeps what it has won.
icount-baseline: icount-build
	benches/icount/run --write

icount-build:
	cargo build --release --locked -p corewire-icount

# Plants known bugs in a copy of the tree, one at a time, and expects that the check named for each
# fails; 25 minutes. BUGS="second-host one-byte-over" chooses.
planted:
	tests/planted/run $(BUGS)

# Whether their patches still apply and the checks that they name are there: a second. CI runs it.
planted-apply:
	python3 -m unittest discover -s tests/planted
	tests/planted/run --applies

# Everything at once against the real server: floods beside polite clients, connections that come and
# go, slow readers, compression. Fails if memory grows, a descriptor stays open, something panics or
# polite clients wait. Draws target/tmp/soak.svg.
MINUTES = 30

soak:
	MINUTES=$(MINUTES) cargo test --release --locked --test soak -- --ignored --nocapture

# Each fuzz target for so many seconds, as many at a time as there are cores. Needs a C++ compiler,
# and no nightly.
fuzz: SECONDS = 60
fuzz:
	fuzz/run $(SECONDS)

# What CI runs, from a corpus that reaches most of the code at once.
fuzz-ci:
	fuzz/run 10

# The committed corpus through every target, without a fuzzer. CI runs it.
fuzz-replay:
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --all-targets --locked -- -D warnings
	$(CARGO) test --manifest-path fuzz/Cargo.toml --locked
