# Few targets; `make` alone prints them.
MACHINE := $(shell uname -m)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

help:
	@echo 'make demo    walks the story of an egress gateway in a lab on this machine, and leaves nothing behind (root)'
	@echo 'make lab     starts the lab if none is there, with nothing installed in it, and opens its shell (root)'
	@echo 'make test    set-up, static checks and every test there is (root: else those that need it are skipped, and say so)'
	@echo 'make test-all  all that, 1,000 first packets, and the lab'\''s tests on containerd (root; about an hour and a half)'
	@echo 'make e2e KUBECONFIG=<file>  runs the end-to-end tests with the lab'\''s nodes in that cluster (root)'
	@echo 'make bench   measures against a gateway built from the kernel'\''s own parts and against none, and lets gateways die (root)'
	@echo 'make bench-scale  shows what agent and operator bear in clusters of 10, 100 and 1,000 nodes (root)'
	@echo 'make image   builds the image without a container engine, says what is in it and how large, and puts it into build/image (root)'
	@echo 'make image-reproducible  builds it twice and compares (root)'
	@echo 'make build   compiles the datapath'
	@echo 'make chart   renders the Helm chart into deploy/chart, and packs it into build/'
	@echo 'make dist    makes what a release offers: the command for npm and as one file, the chart, SBOM and checksums, in build/dist'
	@echo 'make clean   removes what was built'

setup:
	@./setup

# linux/icmp.h reaches glibc's headers, which ask for the machine that a BPF target does not name.
build/sallyport.bpf.o: $(wildcard bpf/*.c bpf/*.h)
	@mkdir -p build
	clang-16 -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror \
	  -D__$(MACHINE)__ -I/usr/include/$(MACHINE)-linux-gnu -c bpf/sallyport.bpf.c -o $@

build: build/sallyport.bpf.o

check: setup
	@npm run --silent check

# One file at a time: tests with namespaces and a cluster in them share two cores.
test: check
	@node image/main.ts --if-possible
	@node --test --test-concurrency=1 'src/**/*.test.ts' 'test/**/*.test.ts'
	@$(call on-containerd,walkthrough)

# Lab tests with containers of the image, where processes stand in for them by default.
on-containerd = SALLYPORT_LAB_RUNTIME=containerd node --test --test-concurrency=1 $(patsubst %,test/lab/%.test.ts,$(1))

test-all: test
	@SALLYPORT_TEST_PODS=1000 node --test test/lab/first-packet.test.ts
	@$(call on-containerd,killed rights uninstall layout-upgrade chained first-packet failover)

# Against another API server than the lab's: one that you can spare, since Sallyport is installed into it and taken away.
e2e: setup
	@test -n "$(KUBECONFIG)" || { echo 'make e2e KUBECONFIG=<file>: the cluster to try against is missing'; exit 2; }
	@E2E_KUBECONFIG='$(KUBECONFIG)' node --test --test-concurrency=1 'test/conformance/*.test.ts'

chart: setup
	@node src/install/chart/write-chart.ts deploy/chart
	@build/tools/newest/helm package deploy/chart --destination build

dist: chart
	@node packaging/main.ts

demo: setup
	@bin/sallyport lab demo

lab: setup
	@bin/sallyport lab list | grep -qx lab || bin/sallyport lab up
	@bin/sallyport lab shell

image: setup
	@node image/main.ts

image-reproducible: setup
	@node image/main.ts --check

bench: setup
	@node bench/main.ts
	@node bench/failover.ts
	@node bench/leases.ts

bench-scale: setup
	@node bench/scale/main.ts

clean:
	rm -rf build

.PHONY: help setup build check test test-all e2e chart dist demo lab image image-reproducible bench bench-scale clean
