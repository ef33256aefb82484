/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPv6 extension headers, up to the transport header
 */
#ifndef SALLYPORT_EXTENSIONS_H
#define SALLYPORT_EXTENSIONS_H

/* All that RFC 8200 has for one packet, except those of IPsec. */
enum { MAX_EXTENSION_HEADERS = 6 };

/* How far skip_extensions() has come. */
struct extensions {
	__u32 offset;		/* of the header that is to be read next */
	__u32 fragment_id;
	__u8 protocol;		/* of that header */
	__u8 is_fragment;
	__u8 is_later_fragment;
};

/*
 * Follows the extension headers to the transport header, or to the payload of a later fragment. RFC 8200 lets a packet
 * carry any number of them. The programs drop a packet with more than MAX_EXTENSION_HEADERS, as many routers do.
 */
static __noinline enum verdict skip_extensions(struct __sk_buff *skb, struct extensions *at)
{
	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		struct { __u8 next; __u8 length; __be16 rest; __be32 id; } header;

		if (at->is_later_fragment ||
		    (at->protocol != IPPROTO_HOPOPTS && at->protocol != IPPROTO_ROUTING &&
		     at->protocol != IPPROTO_DSTOPTS && at->protocol != IPPROTO_FRAGMENT))
			return CONTINUE;
		if (bpf_skb_load_bytes(skb, at->offset, &header, sizeof(header)))
			return DROP_MALFORMED;
		if (at->protocol == IPPROTO_FRAGMENT) {
			at->is_fragment = 1;
			at->is_later_fragment = (bpf_ntohs(header.rest) & ~7) != 0;
			at->fragment_id = header.id;
			at->offset += 8;
		} else {
			at->offset += (header.length + 1) * 8;
		}
		at->protocol = header.next;
	}
	return DROP_MALFORMED;
}

#endif
