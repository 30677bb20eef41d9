# The two commands of the README are `cargo run --release -- serve` and `make test`.
.PHONY: test

test:
	@.ci/check
