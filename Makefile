# The two commands of the README are `cargo run --release -- serve` and `make test`.
.PHONY: test bench-echo bench-idle

test:
	@.ci/check

# One core against one core, beside fastwebsockets, tokio-tungstenite and raw TCP; about five
# minutes. Fails when corewire has less throughput than one of them.
bench-echo:
	cargo build --release --locked --target-dir target
	cargo build --release --locked --manifest-path benches/rivals/Cargo.toml --target-dir target/rivals
	benches/compare echo

# 15,000 idle connections with permessage-deflate. Fails at 512 resident bytes each.
bench-idle:
	cargo build --release --locked --target-dir target
	benches/compare idle
