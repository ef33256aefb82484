# `make` without a target prints the list of targets.
MACHINE := $(shell uname -m)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

help:
	@echo 'Targets marked with * need root.'
	@echo 'make demo *        show an egress gateway in a lab on this machine, command by command, then its page (in a terminal, until ctrl-C), then remove the lab'
	@echo 'make lab *         start a lab without Sallyport, unless it is running, and open a shell in it'
	@echo 'make test-fast *   run set-up, static checks and the tests that start no lab and no other programs (before each commit)'
	@echo 'make test          run set-up, static checks and all tests; without root, tests that need it are skipped and say so'
	@echo 'make test-all *    run make test, failover and Services with 10,000 connections, 1,000 first packets, a minute of traffic and 10,000 flows seen from outside, and the lab tests on containerd'
	@echo 'make simulate *    simulate clusters with faults, one seed after another, until stopped; print seeds per hour'
	@echo 'make e2e * KUBECONFIG=<file>  run the end-to-end tests with nodes of the lab in that cluster'
	@echo 'make bench *       measure throughput and failover, compared with a gateway of kernel parts and with no gateway'
	@echo 'make bench-scale * measure the load of agent and operator in clusters of 10, 100 and 1,000 nodes'
	@echo 'make image *       build the image into build/image, without a container engine, and list its contents and sizes'
	@echo 'make image-reproducible *  build the image twice and compare'
	@echo 'make build         compile the datapath, and build the page of "sallyport ui"'
	@echo 'make chart         render the Helm chart, alerts and dashboards into deploy/, and pack the chart into build/'
	@echo 'make dist          build the files of a release into build/dist: npm package, executables, chart, SBOM, checksums'
	@echo 'make clean         remove build/'

setup:
	@./setup

# linux/icmp.h includes glibc's headers, which need the macro of a machine. The BPF target does not define it.
build/sallyport.bpf.o: $(wildcard bpf/*.c bpf/*.h)
	@mkdir -p build
	clang-16 -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror \
	  -D__$(MACHINE)__ -I/usr/include/$(MACHINE)-linux-gnu -c bpf/sallyport.bpf.c -o $@

# The page of `sallyport ui`.
build/ui/page.js: $(wildcard src/ui/*.ts src/ui/page/*.ts)
	esbuild src/ui/page/main.ts --bundle --minify --format=esm --target=es2022 --log-level=warning --outfile=$@

build: build/sallyport.bpf.o build/ui/page.js

check: setup
	@npm run --silent check

test: check
	@node test/run.ts

test-fast: check
	@node test/run.ts --fast

# Lab tests with containers of the image. By default, the lab runs processes instead of containers.
on-containerd = SALLYPORT_TEST_PODS=100 SALLYPORT_LAB_RUNTIME=containerd node --test --test-concurrency=1 $(patsubst %,test/lab/%.test.ts,$(1))

test-all: test
	@SALLYPORT_TEST_CONNECTIONS=10000 node --test test/lab/failover.test.ts
	@SALLYPORT_TEST_CONNECTIONS=10000 node --test test/lab/services.test.ts
	@SALLYPORT_TEST_PODS=1000 node --test test/lab/first-packet.test.ts
	@SALLYPORT_TEST_TRAFFIC_SECONDS=60 SALLYPORT_TEST_FLOWS=10000 node --test test/lab/outside-view.test.ts
	@SALLYPORT_TEST_STORY=whole $(call on-containerd,walkthrough killed gateways uninstall layout-upgrade chained first-packet failover)

# Use a cluster that you can spare, because the tests install and uninstall Sallyport there.
e2e: setup
	@test -n "$(KUBECONFIG)" || { echo 'KUBECONFIG is missing: run make e2e KUBECONFIG=<file>'; exit 2; }
	@E2E_KUBECONFIG='$(KUBECONFIG)' node --test --test-concurrency=1 'test/conformance/*.test.ts'

simulate: setup build
	@node test/simulation/run.ts

chart: setup
	@node src/install/chart/write-chart.ts deploy/chart deploy/monitoring
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
	@node bench/services.ts
	@node bench/capacity.ts

bench-scale: setup
	@node bench/scale/main.ts

clean:
	rm -rf build

.PHONY: help setup build check test test-fast test-all simulate e2e chart dist demo lab image image-reproducible bench bench-scale clean
