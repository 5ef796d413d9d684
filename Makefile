# check is the whole gate. The others take longer; each says what it needs.

.PHONY: check sim upstream fuzz miri bench

REDIS_SRC ?= ../redis
FUZZ_SECONDS ?= 60

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	cargo test
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: left out"; fi

# Servers on a simulated disk, with more seeds and more power cuts than check has time for.
sim:
	OXIDIS_SIM_SEEDS=$${OXIDIS_SIM_SEEDS:-20000} cargo test --release --test sim

# Redis's own test suite; REDIS_SRC is a checkout of github.com/redis/redis.
upstream:
	cargo build --release
	tcl-tests/run --redis-src $(REDIS_SRC) --retry 1

# Every fuzz target for FUZZ_SECONDS; needs cargo-fuzz and a nightly compiler.
fuzz:
	for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

# The files with unsafe code, under an interpreter that sees every bad access; needs the nightly's miri.
miri:
	cargo +nightly miri test --lib -- collections::shared collections::table collections::run \
		collections::kernels types::value sys::loan --skip avalanche

# Oxidis and real Redis side by side; needs redis-server.
bench:
	cargo bench --bench compare
	cargo bench --bench snapshot
