# coze-workflow: build it (make), see it work (make demo), hold its promises (make check test).

PREFIX = /usr/local
CARGO_TARGET_DIR ?= target

NAME = coze-workflow
BUILT = $(CARGO_TARGET_DIR)/release/$(NAME)
MAN = $(CARGO_TARGET_DIR)/man
COMPLETIONS = $(CARGO_TARGET_DIR)/completions

# make static ARCH=aarch64 or OS=macos builds for another machine, and says so in the program's name.
HERE := $(shell uname -m)
ARCH = $(HERE)
OS = linux
static_of = $(CARGO_TARGET_DIR)/static/$(NAME)$(addprefix -,$(filter-out $(HERE),$(1)))
STATIC = $(call static_of,$(ARCH)$(if $(filter-out linux,$(OS)),-$(OS))$(if $(filter windows,$(OS)),.exe))

# What make skill puts together: for these systems, on Linux for these machines, here, of this time
# (the commit's). BINARIES are the programs that go in, as MACHINE=PATH; those of make static, built
# first, unless it is given.
OSES = linux
ARCHES = x86_64 aarch64
DIST = dist
has = $(if $(filter $(1),$(OSES)),$(2))
MACHINES = $(call has,linux,$(ARCHES)) $(call has,macos,aarch64-macos x86_64-macos) $(call has,windows,x86_64-windows.exe)
BINARIES = $(foreach machine,$(MACHINES),$(machine)=$(call static_of,$(machine)))
TARGETS = $(call has,linux,$(ARCHES:=-unknown-linux-musl)) \
  $(call has,macos,aarch64-apple-darwin x86_64-apple-darwin) $(call has,windows,x86_64-pc-windows-gnullvm)
# As OpenClaw calls them.
SYSTEMS = $(call has,linux,"linux") $(call has,macos,"darwin") $(call has,windows,"win32")
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>&1 | grep -x '[0-9]*' || echo 0)
VERSION = $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)

.PHONY: all help tools build demo stand-in test check checkers fmt clippy doc rooms static static-all skill \
  skill-directory test-windows bench budget man completions install clean

all: build

help:
	@echo 'make            build the program: $(BUILT)'
	@echo 'make demo       run it against a stand-in for Coze: no account, no network'
	@echo 'make stand-in   keep the stand-in running, for commands by hand (PORT=8080 SERVICE=studio or site)'
	@echo 'make test       run every test'
	@echo 'make check      formatting, lints, documentation, and who may name what'
	@echo 'make static     a binary that needs nothing of its machine: $(STATIC)'
	@echo '                (ARCH=aarch64, OS=macos, OS=windows)'
	@echo 'make skill      the skill'"'"'s directory, $(DIST)/$(NAME), and archives with SHA256SUMS'
	@echo '                (ARCHES=$(HERE): without a cross compiler; OSES="linux macos windows")'
	@echo 'make test-windows  run the tests of the program on that for Windows, under wine'
	@echo 'make bench      measure it beside curl and the SDKs (QUICK=1: roughly)'
	@echo 'make budget     hold what must not grow: size, crates, instructions, connections'
	@echo 'make man        the manual pages, English and Chinese: $(MAN)'
	@echo 'make completions  what bash, zsh and fish complete: $(COMPLETIONS)'
	@echo 'make install    install all below $(DESTDIR)$(PREFIX) (PREFIX=, DESTDIR=)'
	@echo 'make clean      remove what was built'

# What every build calls, or what to install: in one line, where Cargo or a crate would fill a page.
LEAST = $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
RUSTUP = $(shell command -v rustup)
NEWER_RUST = $(if $(RUSTUP),rustup update stable && rustup default stable,https://rustup.rs or on Debian 12: apt-get install rustc-web cargo-web)
tools:
	@rust=$$(rustc --version && cargo --version) 2>/dev/null || { echo 'no Rust: $(NEWER_RUST)' >&2; exit 1; }; \
	echo "$$rust" | awk -v least=$(LEAST) '{ split(least, least_of, "."); split($$2, of, "."); \
	  exit !(of[1] > least_of[1] || of[1] == least_of[1] && of[2] >= least_of[2]) }' || \
	  { echo "Rust is too old, it takes $(LEAST) or later: $(NEWER_RUST)" >&2; exit 1; }
	@{ echo 'int main(void) { return 0; }' | cc -xc - -o /dev/null; } >/dev/null 2>&1 || \
	  { echo 'no C compiler that links: apt-get install gcc libc6-dev' >&2; exit 1; }

build: tools
	cargo build --release --locked

# The stand-in needs crates of its own, at another level of optimisation.
STAND_IN = [ -e $(CARGO_TARGET_DIR)/debug/examples/demo ] || \
  echo '编译模拟服务 Compiling the stand-in for Coze: half a minute, once'; cargo build --locked --example demo

demo: build
	@$(STAND_IN)
	@cargo run --quiet --locked --example demo -- $(BUILT)

stand-in: build
	@$(STAND_IN)
	@cargo run --quiet --locked --example demo -- serve $(or $(SERVICE),coze) $(abspath $(dir $(BUILT))) $(PORT)

# Ends with what was left out for want of a tool, one line of totals, and cargo's exit code, which a
# pipe would lose.
TESTED = $(CARGO_TARGET_DIR)/tested
test: tools
	@mkdir -p $(CARGO_TARGET_DIR)
	@# They wait more than they work: six at a time, also where there are fewer cores.
	@[ "$$(getconf _NPROCESSORS_ONLN)" -ge 6 ] || export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-6}; \
	  { cargo test --locked --no-fail-fast 2>&1; echo $$? > $(TESTED).code; } | tee $(TESTED).txt
	@awk 'match($$0, /skipped: .*/) && !seen[$$0 = substr($$0, RSTART)]++ { print } \
	  /^test result:/ { passed += $$4; failed += $$6 } \
	  END { print passed + 0 " passed, " failed + 0 " failed" }' $(TESTED).txt; exit $$(cat $(TESTED).code)

check: fmt clippy doc rooms

# rustup's least profile and Debian bring these apart from Rust.
checkers: tools
	@missing=$$(cargo fmt --version >/dev/null 2>&1 || echo ' $(if $(RUSTUP),rustfmt,rustfmt-web)'; \
	  cargo clippy --version >/dev/null 2>&1 || echo ' $(if $(RUSTUP),clippy,rust-web-clippy)'); \
	[ -z "$$missing" ] || { echo "what checks is missing: $(if $(RUSTUP),rustup component add,apt-get install)"$$missing >&2; exit 1; }

fmt: checkers
	cargo fmt --check

clippy: checkers
	cargo clippy --all-targets --locked -- -D warnings

doc: tools
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --locked

# The sources are held to the map of the house, src/README.md: rooms, arrows, bounds.
rooms:
	@awk -f tests/rooms.awk src/README.md $$(find src -name '*.rs' | sort)

# NEED: the tools that what comes after it calls.
static: tools
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) NEED='$(NEED)' \
	  sh src/static/$(if $(filter linux,$(OS)),build.sh,foreign.sh $(OS)) $(ARCH) $(STATIC)

static-all: tools
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) sh src/static/all.sh $(foreach machine,$(MACHINES),$(machine)=$(call static_of,$(machine)))

# One commit gives the same bytes: names in order, one time, one owner, no time inside gzip.
skill: skill-directory man
	@set -e; rm -f $(DIST)/*.tar.gz; \
	pack() { \
	  tar -C $(DIST) -I 'gzip -9n' -cf $(DIST)/$$2.tar.gz --sort=name --format=ustar --mtime=@$(SOURCE_DATE_EPOCH) \
	    --mode=u=rwX,go=rX --owner=0 --group=0 --numeric-owner $$1; \
	}; \
	pack $(NAME) $(NAME)-$(VERSION)-skill; \
	for binary in $(BINARIES); do \
	  machine=$${binary%%=*} program=$(NAME); \
	  case $$machine in \
	    *.exe) machine=$${machine%.exe} program=$(NAME).exe ;; \
	    *-macos) ;; \
	    *) machine=$$machine-linux ;; \
	  esac; \
	  name=$(NAME)-$(VERSION)-$$machine; \
	  rm -rf $(DIST)/$$name; install -d $(DIST)/$$name; \
	  install -m 755 $${binary#*=} $(DIST)/$$name/$$program; \
	  install -m 644 README.md LICENSE $(DIST)/$(NAME)/THIRD-PARTY-NOTICES.txt $(DIST)/$$name; \
	  cp -r $(MAN) $(DIST)/$$name/man; \
	  pack $$name $$name; rm -r $(DIST)/$$name; \
	done; \
	cd $(DIST); sha256sum *.tar.gz > SHA256SUMS; cat SHA256SUMS

skill-directory: $(if $(filter file,$(origin BINARIES)),static-all)
	@set -e; skill=$(DIST)/$(NAME); rm -rf $$skill; install -d $$skill/bin $$skill/scripts; \
	install -m 644 src/skill/config.example.json $$skill; \
	systems=$$(echo '$(SYSTEMS)' | sed 's/ *$$//; s/^ *//; s/  */,/g'); \
	sed -e "s/\"os\":\[[^]]*\]/\"os\":[$$systems]/" \
	  -e 's/ <!-- windows: \(.*\) -->$$/$(call has,windows, \1)/' src/skill/SKILL.md > $$skill/SKILL.md; \
	install -m 755 src/skill/$(NAME).sh $$skill/scripts; \
	$(call has,windows,install -m 644 src/skill/$(NAME).cmd $$skill/scripts;) \
	cargo run --quiet --locked --example notices -- $(TARGETS) > $$skill/THIRD-PARTY-NOTICES.txt; \
	for binary in $(BINARIES); do \
	  install -m 755 $${binary#*=} $$skill/bin/$(NAME)-$${binary%%=*}; \
	done

test-windows:
	@$(MAKE) --no-print-directory static OS=windows ARCH=x86_64 NEED=$(if $(shell command -v wine),,wine64)
	@CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) sh tests/support/wine/wine.sh $(call static_of,x86_64-windows.exe)

bench: NEED = curl jq time valgrind
bench: static
	@cargo bench --quiet --locked --bench bench -- $(if $(QUICK),quick) $(STATIC)

budget: NEED = valgrind
budget: static
	@cargo bench --quiet --locked --profile dev --bench bench -- budget $(STATIC)

# Of the very texts that --help prints.
man:
	@mkdir -p $(MAN)/man1 $(MAN)/zh_CN/man1
	@awk -v version=$(VERSION) -f src/cli/help/man.awk src/cli/help/en.txt > $(MAN)/man1/$(NAME).1
	@awk -v version=$(VERSION) -v name=名称 -f src/cli/help/man.awk src/cli/help/zh.txt > $(MAN)/zh_CN/man1/$(NAME).1

# Of the options in the same text.
completions:
	@set -e; complete() { \
	  mkdir -p $(COMPLETIONS)/$$2; \
	  awk -v shell=$$1 -f src/cli/help/completions.awk src/cli/help/en.txt > $(COMPLETIONS)/$$2/$$3; \
	}; \
	complete bash bash-completion/completions $(NAME); \
	complete zsh zsh/site-functions _$(NAME); \
	complete fish fish/vendor_completions.d $(NAME).fish

# `sudo make install` may not find Cargo, which rustup keeps in a home: then what was built is taken.
install: $(if $(shell command -v cargo),build,$(if $(wildcard $(BUILT)),,build)) man completions
	@install -d $(DESTDIR)$(PREFIX)/bin && [ -w $(DESTDIR)$(PREFIX)/bin ] || \
	  { echo "$(DESTDIR)$(PREFIX) is not yours: sudo make install, or make install PREFIX=$$HOME/.local" >&2; exit 1; }
	install -m 755 $(BUILT) $(DESTDIR)$(PREFIX)/bin/$(NAME)
	for directory in man1 zh_CN/man1; do \
	  install -d $(DESTDIR)$(PREFIX)/share/man/$$directory && \
	  install -m 644 $(MAN)/$$directory/$(NAME).1 $(DESTDIR)$(PREFIX)/share/man/$$directory/$(NAME).1 || exit; \
	done
	for directory in bash-completion/completions zsh/site-functions fish/vendor_completions.d; do \
	  install -d $(DESTDIR)$(PREFIX)/share/$$directory && \
	  install -m 644 $(COMPLETIONS)/$$directory/* $(DESTDIR)$(PREFIX)/share/$$directory || exit; \
	done

clean:
	cargo clean
	rm -rf dist
