import { ageOf, announcement, groupRoutes, visibleRows, waysOnMap } from '../model.ts'
import type { AddressTruth, NodeTruth, Picture, PolicyTruth } from '../picture.ts'
import { byId, el, table } from './elements.ts'
import { drawMap } from './map.ts'

/** The command asks each agent every 5 s. */
const oldMs = 15_000
const rowHeight = 33

let shown: Picture | undefined
let latest: Picture | undefined
let receivedMs = 0
let isConnected = false

const tag = (text: string, isBad: boolean): HTMLElement =>
  el('span', { class: isBad ? 'tag bad' : 'tag' }, text)

/** Replaces the content of an element only if it changed, so that focus, selection and scroll position stay. */
const drawn = new Map<string, string>()
function update(id: string, value: unknown, draw: () => readonly Node[]): void {
  const text = JSON.stringify(value)
  if (drawn.get(id) === text) return
  drawn.set(id, text)
  byId(id).replaceChildren(...draw())
}

function show(picture: Picture): void {
  const { policies, nodes, addresses, routes, timeline, unknown } = picture
  const said = announcement(shown, picture)
  if (said !== '') byId('announcer').textContent = said
  shown = picture
  const pods = new Set(routes.map(({ pod }) => pod)).size
  const gateways = nodes.filter(({ isGateway }) => isGateway)
  byId('summary').textContent =
    `${policies.length} policies, ${pods} pods, ${gateways.length} gateways, ${addresses.length} egress IPs`
  byId('unknown').hidden = unknown.length === 0
  const list = byId('unknown').querySelector('ul')
  list?.replaceChildren(...unknown.map((text) => el('li', {}, text)))
  update(
    'gateways',
    gateways.map(({ name, unreachableFrom }) => [name, unreachableFrom]),
    () => gateways.map(drawGateway),
  )
  const ways = groupRoutes(picture)
  const { shown: onMap, left } = waysOnMap(ways)
  const more = `The map has no room for ${left} more ways, which have the fewest pods. The table of pods has all.`
  update('map', [onMap, left], () => [drawMap(onMap), ...(left === 0 ? [] : [el('p', {}, more)])])
  update('policies', policies, () => [drawPolicies(policies)])
  update('timeline', timeline, () =>
    timeline.map(({ time, about, text, isBad }) =>
      el(
        'li',
        isBad ? { class: 'bad' } : {},
        el('time', { datetime: time }, time.slice(11, 23)),
        el('strong', {}, about),
        ` ${text}`,
      ),
    ),
  )
  update('ports', addresses, () => [drawPorts(addresses)])
  update('pods', routes, () => [el('table', { 'aria-rowcount': String(routes.length + 1) })])
  drawPods()
}

function drawGateway({ name, unreachableFrom }: NodeTruth): HTMLElement {
  const isBad = unreachableFrom.length > 0
  const text = isBad ? `unreachable from ${unreachableFrom.join(', ')}` : 'no node reports it unreachable'
  return el(
    'li',
    isBad ? { class: 'bad', 'data-gateway': name } : { 'data-gateway': name },
    el('strong', {}, name),
    el('span', {}, text),
  )
}

function drawPolicies(policies: readonly PolicyTruth[]): HTMLElement {
  return table(
    'Policies and whether they are in force',
    ['Policy', 'Ready', 'Pods', 'Gateways', 'Egress IPs'],
    policies.map(({ kind, name, ready, reason, message, pods, gateways, egressIps }) => [
      el('div', {}, el('strong', {}, name), el('br', {}), el('small', {}, `${kind}. ${message}`)),
      tag(`${ready}: ${reason}`, ready !== 'True'),
      String(pods ?? 'not reported'),
      gateways || 'none',
      egressIps || 'none',
    ]),
  )
}

function drawPorts(addresses: readonly AddressTruth[]): HTMLElement {
  return table(
    'Ports of each egress IP, by node',
    ['Egress IP', 'Owner', 'Holder', 'Node', 'Ports owned', 'Of these leased', 'Flows'],
    addresses.flatMap(({ address, owner, holders, leases, users, isShort }) => {
      const names = [...new Set([...users.map(({ node }) => node), ...leases.map(({ node }) => node)])]
      return (names.length === 0 ? [''] : names).map((name) => {
        const user = users.find(({ node }) => node === name)
        return [
          isShort ? el('span', {}, address, ' ', tag('short of ports', true)) : address,
          owner,
          holders.join(', ') || 'not known',
          name || 'no node uses it',
          String(user?.portsOwned ?? 'not known'),
          String(leases.find(({ node }) => node === name)?.ports ?? 0),
          String(user?.flows ?? 'not known'),
        ]
      })
    }),
  )
}

/** Only the visible rows exist, between two rows that are as high as the others together. */
function drawPods(): void {
  const box = byId('pods')
  const target = box.querySelector('table')
  if (target === null || shown === undefined) return
  const { routes } = shown
  const { first, count } = visibleRows(routes.length, box.scrollTop, box.clientHeight, rowHeight)
  const space = (rows: number): HTMLElement => {
    const cell = el('td', { colspan: '6' })
    cell.style.height = `${rows * rowHeight}px`
    return el('tr', { class: 'space', 'aria-hidden': 'true' }, cell)
  }
  const rows = routes
    .slice(first, first + count)
    .map(({ pod, node, policy, path, holder, egressIp, destination, action, reason }, index) => {
      const isBad = action === 'drop' || action === 'unserved'
      const way = holder === node ? 'here' : `${path ?? 'unreachable'}, ${holder ?? 'no gateway'}`
      const cells = [
        pod,
        node,
        policy,
        egressIp === undefined ? '' : way,
        egressIp ?? tag(reason ?? action, isBad),
        destination,
      ]
      return el(
        'tr',
        { 'aria-rowindex': String(first + index + 2) },
        ...cells.map((cell) => el('td', {}, cell)),
      )
    })
  const heads = ['Pod', 'Node', 'Policy', 'Path, gateway', 'Egress IP', 'Destination']
  target.replaceChildren(
    el('caption', { class: 'unseen' }, 'The way of the packets of each pod'),
    el(
      'thead',
      {},
      el('tr', { 'aria-rowindex': '1' }, ...heads.map((head) => el('th', { scope: 'col' }, head))),
    ),
    el('tbody', {}, space(first), ...rows, space(Math.max(0, routes.length - first - count))),
  )
}

function showAge(): void {
  if (latest === undefined) return
  const now = Date.now()
  const old = latest.nodes.filter(
    ({ answeredAt }) => answeredAt === undefined || now - Date.parse(answeredAt) > oldMs,
  )
  const texts = [
    isConnected
      ? 'Live'
      : `The server has stopped: this is ${ageOf(new Date(receivedMs).toISOString(), now)} old`,
    ...old
      .slice(0, 3)
      .map(({ name, answeredAt }) =>
        answeredAt === undefined ? `${name}: nothing known` : `${name}: ${ageOf(answeredAt, now)} old`,
      ),
    ...(old.length > 3 ? [`${old.length - 3} more nodes`] : []),
  ]
  const target = byId('freshness')
  target.textContent = texts.join(' · ')
  target.className = texts.length > 1 || !isConnected ? 'old' : ''
}

let isPlanned = false
const plan = (work: () => void): void => {
  if (isPlanned) return
  isPlanned = true
  requestAnimationFrame(() => {
    isPlanned = false
    work()
  })
}
const draw = (): void => {
  if (latest !== undefined && latest !== shown) show(latest)
  else drawPods()
  showAge()
}

const source = new EventSource('/pictures')
source.onmessage = ({ data }) => {
  latest = JSON.parse(data) as Picture
  receivedMs = Date.now()
  isConnected = true
  plan(draw)
}
source.onerror = () => {
  isConnected = false
  showAge()
}
byId('pods').addEventListener('scroll', () => plan(draw), { passive: true })
setInterval(showAge, 1000)
