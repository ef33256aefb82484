/**
 * How long a connection is silent before the kernel asks whether its other end still knows it. Watches are silent for minutes, and
 * a device on the way that forgets a connection, or a server that dies without a word, tells nobody. client-go asks as often
 * (HTTP/2 pings). An answer costs the API server's kernel one packet and the server itself nothing:
 *
 *   5000 nodes with 8 watches each, a packet in 30 s    1300 packets/s, over all API servers
 */
export const keepAliveMs = 30_000

/** Node.js has the kernel ask ten times, a second apart; then the connection fails with ETIMEDOUT. */
export const deadConnectionMs = keepAliveMs + 10_000
