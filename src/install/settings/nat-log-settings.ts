import type { Setting } from './setting.ts'

/** The settings of the NAT log. */
export const natLogSettings = [
  {
    path: 'natLog.enabled',
    key: 'nat-log',
    kind: 'boolean',
    fallback: 'false',
    help: 'Whether agents write a record of each flow of an egress policy when it ends: pod, policy, egress IP, port, begin, end, packets and bytes. The records are lines of JSON in the folder /var/log/sallyport of each node. See docs/nat-log.md.',
  },
  {
    path: 'natLog.policies',
    key: 'nat-log-policies',
    kind: 'word',
    fallback: 'all',
    choices: ['all', 'annotated'],
    help: 'Whose flows are in the NAT log. With all, those of every policy without the annotation sallyport.dev/nat-log: "off". With annotated, those of policies with the annotation sallyport.dev/nat-log: "on" or "destinations".',
  },
  {
    path: 'natLog.destinations',
    key: 'nat-log-destinations',
    kind: 'boolean',
    fallback: 'false',
    help: 'Whether every record has the destination of its flow. If false, only records of policies with the annotation sallyport.dev/nat-log: "destinations" have it. Destinations say what people do, so ask your data protection officer.',
  },
  {
    path: 'natLog.sampling',
    key: 'nat-log-sampling',
    kind: 'integer',
    fallback: '1',
    range: [1, 1_000_000],
    help: 'With 10, one of ten flows has a record. With 1, every flow.',
  },
  {
    path: 'natLog.maxRecordsPerSecond',
    key: 'nat-log-max-records-per-second',
    kind: 'integer',
    fallback: '1000',
    range: [1, 1_000_000],
    help: 'Maximum number of records that a node writes in a second, averaged over a minute. Beyond it, records are lost, and the log says how many. Packets are never dropped.',
  },
  {
    path: 'natLog.fileSize',
    key: 'nat-log-file-size',
    kind: 'integer',
    fallback: '64',
    range: [1, 100_000],
    help: 'Megabytes after which an agent starts a new file of the NAT log.',
  },
  {
    path: 'natLog.files',
    key: 'nat-log-files',
    kind: 'integer',
    fallback: '8',
    range: [0, 1000],
    help: 'Files of the NAT log that a node keeps. If 0, the agent writes no file, and sallyport who --at knows open flows only. Use 0 with a collector.',
  },
  {
    path: 'natLog.collector',
    key: 'nat-log-collector',
    kind: 'endpoint',
    fallback: '',
    help: 'Address and UDP port of an IPFIX collector, to which agents send each record, too, for example 192.0.2.10:4739. If empty, they send none.',
  },
] as const satisfies readonly Setting[]
