// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/* What a test run costs by itself: taken off every figure of a program. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
