/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stages of from_pod: a packet to a Service goes on as one to an endpoint
 */
#ifndef SALLYPORT_TAKE_SERVICE_H
#define SALLYPORT_TAKE_SERVICE_H

static __always_inline enum verdict enter_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	if (replaces_kube_proxy)
		return enter_any_service(skb, packet, journey);
	return chained && journey->pod->policy_set ? enter_outside_service(skb, packet, journey) : CONTINUE;
}

/* If no flow has the packet, a Service may. Then the flow to the endpoint is looked up. Fills in `endpoint_port` and `mapping`. */
static __always_inline enum verdict take_service(struct __sk_buff *skb, struct packet *packet, struct journey *journey)
{
	if (journey->mapping || !(chained || replaces_kube_proxy))
		return CONTINUE;
	return enter_service(skb, packet, journey) ?:
	       journey->endpoint_port ? find_flow(packet, journey) : CONTINUE;
}

/*
 * Before the packet leaves, and so before any reply. A pod may send to an endpoint itself after it has sent there through a
 * Service.
 */
static __always_inline enum verdict note_service(const struct journey *journey)
{
	if (chained || replaces_kube_proxy)
		journey->mapping->through_service = journey->endpoint_port > 0;
	return CONTINUE;
}

#endif
