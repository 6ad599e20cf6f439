# coze-workflow: build it (make), see it work (make demo), hold its promises (make check test).

PREFIX = /usr/local
CARGO_TARGET_DIR ?= target

NAME = coze-workflow
BUILT = $(CARGO_TARGET_DIR)/release/$(NAME)
STATIC = $(CARGO_TARGET_DIR)/static/$(NAME)

.PHONY: all help build demo stand-in test check fmt clippy doc rooms static install clean

all: build

help:
	@echo 'make            build the program: $(BUILT)'
	@echo 'make demo       run it against a stand-in for Coze: no account, no network'
	@echo 'make stand-in   keep the stand-in running, for commands by hand (PORT=8080)'
	@echo 'make test       run every test'
	@echo 'make check      formatting, lints, documentation, and who may name what'
	@echo 'make static     a binary that needs nothing of its machine: $(STATIC)'
	@echo 'make install    install it below $(DESTDIR)$(PREFIX) (PREFIX=, DESTDIR=)'
	@echo 'make clean      remove what was built'

build:
	cargo build --release --locked

demo: build
	@cargo run --quiet --locked --example demo -- $(BUILT)

stand-in:
	@cargo run --quiet --locked --example demo -- serve $(PORT)

test:
	cargo test --locked

check: fmt clippy doc rooms

fmt:
	cargo fmt --check

clippy:
	cargo clippy --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --locked

# Who may name what: the arrows between the rooms point down only because each outside thing has
# one door. Tests (from `#[cfg(test)]` + `mod tests` on, and files called tests.rs) and comments
# may name anything. only WORD ROOMS SENTENCE: ROOMS are file or directory names, as src/(ROOMS).
rooms:
	@status=0; \
	only() { \
	  found=$$(find src -name '*.rs' ! -name tests.rs | sort | xargs awk -v word="$$1" -v rooms="^src/($$2)([.]rs$$|/)" ' \
	    FNR == 1 { in_tests = 0; before = "" } \
	    before ~ /^#\[cfg\(test\)\]/ && /^(pub\(crate\) )?mod tests/ { in_tests = 1 } \
	    { before = $$0 } \
	    in_tests || /^[ ]*\/\// || FILENAME ~ rooms { next } \
	    $$0 ~ "(^|[^A-Za-z0-9_])" word { print FILENAME ":" FNR ": " $$0 }'); \
	  if [ -n "$$found" ]; then printf '%s\n  %s\n' "$$found" "$$3"; status=1; fi; \
	}; \
	only 'ureq([^A-Za-z0-9_]|$$)' 'http' 'ureq is named in src/http.rs only: everything else asks through src/api.rs'; \
	only 'lexopt([^A-Za-z0-9_]|$$)' 'cli' 'lexopt is named in src/cli.rs only'; \
	only '((env|fs)::|std::(env|fs)|std::[{][^}]*(env|fs))' 'config|batch|main' 'environment and files belong to config, batch and main'; \
	only '(e?print(ln)?!|process::exit|ExitCode)' 'main' 'only src/main.rs prints and exits'; \
	only '(Instant|SystemTime|thread::sleep)' 'time' 'clock and sleep belong to src/time.rs: take a Clock'; \
	only 'unsafe[^A-Za-z0-9_]' '' 'no unsafe code'; \
	if grep -HnE '^[^/]*serde' src/sse.rs 2>/dev/null; then echo '  src/sse.rs knows nothing of JSON'; status=1; fi; \
	exit $$status

# musl first: glibc's resolver, linked in, still wants the machine's own glibc for unusual
# nsswitch.conf entries, and glibc itself weighs a megabyte: hence the two limits. Made for size
# (opt-level s), since it is what travels with a skill and it mostly waits for the network.
static:
	@set -e; arch=$$(uname -m); \
	target=$$arch-unknown-linux-musl; flags=; limit=2000000; \
	if ! ls "$$(rustc --print target-libdir --target $$target)"/libstd-*.rlib >/dev/null 2>&1 || ! command -v musl-gcc >/dev/null; then \
	  echo "static: no musl here (rustup target add $$target; apt-get install musl-tools): linking glibc instead"; \
	  target=$$arch-unknown-linux-gnu; flags='-C target-feature=+crt-static -C relocation-model=pie'; limit=3000000; \
	fi; \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s RUSTFLAGS="$$flags" cargo build --release --locked --target $$target; \
	mkdir -p $(CARGO_TARGET_DIR)/static; \
	cp $(CARGO_TARGET_DIR)/$$target/release/$(NAME) $(STATIC); \
	if readelf -lW $(STATIC) | grep INTERP || readelf -dW $(STATIC) | grep NEEDED; then \
	  echo 'static: it still needs a shared library (above)'; exit 1; \
	fi; \
	readelf -hW $(STATIC) | grep -q 'Type: *DYN' || { echo 'static: it is not position-independent'; exit 1; }; \
	bytes=$$(wc -c < $(STATIC)); \
	echo "$(STATIC): $$target, static-pie, $$bytes bytes"; \
	if [ $$bytes -ge $$limit ]; then echo "static: it should stay under $$limit bytes"; exit 1; fi

install: build
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILT) $(DESTDIR)$(PREFIX)/bin/$(NAME)

clean:
	cargo clean
