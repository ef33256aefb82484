import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { missingForLab } from '../src/lab/requirements.ts'
import { capture } from '../test/support/hold-program.ts'
import { compileTools, cpuSeconds, loadBinary } from './tools.ts'
import { outpostAddress, port, setUpClassic, setUpDirect, setUpSallyport, type Way } from './ways.ts'

/**
 * Shows which part of the kernel takes how much CPU time, for each packet, request, connection or megabyte. It samples all
 * CPUs while the same load runs through one way after the other. A gateway cannot save what both ways have in common.
 */
const { values: options } = parseArgs({
  options: {
    /** The arguments of bench/load.c without host and port: a verb, seconds, and further numbers. */
    load: { type: 'string', default: 'udp 5' },
    ways: { type: 'string', default: 'classic,sallyport' },
    /** How many symbols of each way to print in addition to the parts. */
    symbols: { type: 'string', default: '0' },
  },
})

/** The first part that matches a symbol's name gets its samples. */
const parts: readonly (readonly [part: string, pattern: RegExp])[] = [
  ['programs (eBPF)', /^bpf_prog_/],
  ['helpers and maps of programs', /^(bpf_|____?bpf_|htab_|__htab|lookup_nulls|jhash|trie_|array_map|skb_do_redirect|inet_proto_csum|csum_partial|__skb_datagram|tcf_|tcx_|sch_handle|cls_)/],
  ['filter (netfilter, conntrack, NAT)', /^(nf_|nft_|__nf_|ipt_|conntrack|hash_conntrack|ipv4_confirm|ipv4_conntrack|br_nf)/],
  ['tunnel (VXLAN, UDP encapsulation)', /^(vxlan|udp_tunnel|ip_tunnel|iptunnel|metadata_dst|gro_cell|tun_|arp_reduce|__vxlan|setup_udp_tunnel)/],
  ['routes and neighbours', /^(fib_|__fib|ip_route|__ip_route|ipv4_dst|rt_|dst_|ip_rcv|ip_forward|ip_finish|ip_output|__ip_|ip_local|ip_sublist|ip_list|neigh_|arp_|ip_mc|inet_gro|inet_addr_type|__inet_dev|ipv4_|l3mdev|raw_local|find_exception)/],
  ['bridge', /^(br_|__br_|nbp_|fdb_|should_deliver|maybe_deliver|deliver_clone)/],
  ['veth pairs', /^(veth|__veth)/],
  ['sockets (UDP, TCP)', /^(udp|__udp|tcp|__tcp|sock_|__sock|inet_|__inet|skb_recv|__skb_recv|skb_consume_udp|sk_|__sk_|release_sock|lock_sock|ep_|__ep_|do_epoll|first_packet|import_|_copy|copy_|rep_movs|__check_object|aa_|apparmor|security_|siphash|secure_|__cgroup_bpf|simple_copy)/],
  ['packets: memory', /^(skb_|__skb|kfree_skb|consume_skb|napi_|__napi|kmem_|__kmem|___slab|__slab|slab_|kmalloc|__kmalloc|kfree|alloc_|__alloc|build_skb|page_|__free|free_|memset|memcpy|__memcpy|__memset|pskb_|put_|get_page|clear_page|refill|try_charge|mem_cgroup|obj_cgroup|memcg)/],
  ['packets: queues and softirqs', /^(net_rx|process_backlog|enqueue_to|__netif|netif|dev_|__dev|softirq|__do_softirq|handle_softirqs|do_softirq|run_ksoftirqd|ksoftirqd|validate_xmit|sch_|eth_type|eth_|__local_bh|__raise|raise_|__napi|rps|get_rps|generic_xmit|packet_|qdisc|llist|napi)/],
  ['entry, scheduling, locks, timers', /./],
] // biome-ignore format: a table

/** Samples per second on every CPU. */
const frequency = 1999

interface Profile {
  /** The number of samples by symbol. */
  readonly samples: ReadonlyMap<string, number>
  /** How many packets, requests, connections or megabytes the load handles in a second. */
  readonly perSecond: number
  readonly seconds: number
  /** The idle share of all CPUs' time, from 0 to 1. Samples cannot show it, because a sleeping CPU takes none. */
  readonly idle: number
}

async function profile(way: Way, load: readonly string[]): Promise<Profile> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-profile-'))
  const data = join(directory, 'perf.data')
  const [verb = '', seconds = '5', ...rest] = load
  try {
    const running = capture(way.inPod([loadBinary, verb, outpostAddress, String(port), seconds, ...rest]))
    await setTimeout(500)
    const span = Math.max(1, Number(seconds) - 1)
    const from = cpuSeconds()
    const perf = spawn(
      'perf',
      ['record', '-q', '-a', '-e', 'cpu-clock', '-F', String(frequency), '-o', data, 'sleep', String(span)],
      { stdio: 'inherit' },
    )
    const [code] = await once(perf, 'close')
    if (code !== 0) throw new Error('perf could not record: see above')
    const to = cpuSeconds()
    const done = JSON.parse(await running) as { readonly perSecond?: number; readonly gbitPerSecond?: number }
    const text = await capture([
      'perf',
      'report',
      '-i',
      data,
      '--stdio',
      '-q',
      '-g',
      'none',
      '-n',
      '-s',
      'sym',
    ])
    const perSecond = done.perSecond ?? ((done.gbitPerSecond ?? 0) * 1e3) / 8
    const [idleSeconds, busySeconds] = [to.idle - from.idle, to.busy - from.busy]
    const idle = idleSeconds / (idleSeconds + busySeconds)
    return { samples: readReport(text), perSecond, seconds: span, idle }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Lines of `perf report -n -s sym`: per cent, samples, [k] or [.], symbol. */
function readReport(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, count = '', level = '', symbol = ''] =
      /^\s*[\d.]+%\s+(\d+)\s+\[([k.])\]\s+(.*?)\s*$/.exec(line) ?? []
    const name = level === 'k' ? symbol : `user: ${symbol}`
    if (count !== '') samples.set(name, (samples.get(name) ?? 0) + Number(count))
  }
  return samples
}

/** Samples of an idle CPU. */
const isIdle = (symbol: string): boolean =>
  /^(default_idle|\w*_safe_halt|cpu_idle|acpi_idle|intel_idle|do_idle|mwait_idle|cpuidle)/.test(symbol)

const partOf = (symbol: string): string =>
  symbol.startsWith('user: ')
    ? 'user space'
    : (parts.find(([, pattern]) => pattern.test(symbol))?.[0] ?? 'other')

const busy = ({ samples }: Profile): readonly (readonly [symbol: string, count: number])[] =>
  [...samples].filter(([symbol]) => !isIdle(symbol))

/** CPU time in microseconds for each packet, request, connection or megabyte. */
const microseconds = ({ perSecond, seconds }: Profile, count: number): number =>
  (count / frequency / (perSecond * seconds)) * 1e6

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)

function byPart(of: Profile): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const [symbol, count] of busy(of))
    counts.set(partOf(symbol), (counts.get(partOf(symbol)) ?? 0) + count)
  return counts
}

const print = (text = ''): void => void process.stdout.write(`${text}\n`)
const column = (text: string): string => text.padStart(12)
const time = (of: Profile, count: number): string => column(`${microseconds(of, count).toFixed(2)} µs`)

function printParts(profiles: ReadonlyMap<string, Profile>): void {
  const all = [...profiles.values()]
  const line = (name: string, cell: (of: Profile) => string): void =>
    print(`${name.padEnd(44)}${all.map(cell).join('')}`)
  const counts = new Map(all.map((each) => [each, byPart(each)]))
  print(`${'CPU time for each'.padEnd(44)}${[...profiles.keys()].map(column).join('')}`)
  for (const part of [...parts.map(([name]) => name), 'user space'])
    line(part, (each) => time(each, counts.get(each)?.get(part) ?? 0))
  line('together', (each) => time(each, sum(counts.get(each)?.values() ?? [])))
  line('a second', ({ perSecond }) => column(Math.round(perSecond).toLocaleString('en')))
  line('CPUs idle', ({ idle }) => column(`${(idle * 100).toFixed(0)} %`))
}

function printSymbols(name: string, of: Profile): void {
  print(`\n${name}`)
  const most = busy(of).toSorted(([, a], [, b]) => b - a)
  for (const [symbol, count] of most.slice(0, Number(options.symbols)))
    print(`${time(of, count)}  ${symbol}  (${partOf(symbol)})`)
}

const setUps = { classic: setUpClassic, direct: setUpDirect, sallyport: setUpSallyport } as const

async function run(): Promise<void> {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  await capture(['perf', '--version']).catch(() => {
    throw new Error('perf is missing: apt-get install linux-perf, then run this again')
  })
  compileTools()
  const profiles = new Map<string, Profile>()
  for (const name of options.ways.split(',')) {
    const setUp = Object.entries(setUps).find(([each]) => each === name)?.[1]
    if (setUp === undefined) throw new Error(`"${name}" is no way: ${Object.keys(setUps).join(', ')}`)
    print(`${name}: load ${options.load}`)
    const way = await setUp()
    try {
      profiles.set(name, await profile(way, options.load.split(' ')))
    } finally {
      await way.remove()
    }
  }
  printParts(profiles)
  if (Number(options.symbols) > 0) for (const [name, each] of profiles) printSymbols(name, each)
  print(`\nMade by: node bench/profile.ts --load '${options.load}' --ways ${options.ways}`)
}

try {
  await run()
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
