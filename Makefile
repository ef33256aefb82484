# `make` alone prints the targets.

MACHINE := $(shell uname -m)

# linux/icmp.h reaches glibc's headers, which ask for the machine that a BPF target does not name.
build/sallyport.bpf.o: $(wildcard bpf/*.c bpf/*.h)
	@mkdir -p build
	clang-16 -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror \
	  -D__$(MACHINE)__ -I/usr/include/$(MACHINE)-linux-gnu -c bpf/sallyport.bpf.c -o $@

build: build/sallyport.bpf.o
.PHONY: build
