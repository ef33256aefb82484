/**
 * What belongs into the image, for both ways to build it: `make image` and the Dockerfile run lay-out.ts, which reads this list.
 * Everything else stays out.
 */

/** Programs and libraries that run: a shell for the probes and the init container, and what Node.js links against. */
export const debianPackages = [
  'base-files',
  'base-passwd',
  'coreutils',
  'dash',
  'findutils',
  'grep',
  'libbpf1',
  'libstdc++6',
  'mount',
  'sed',
  'util-linux',
] as const

/** Of these packages: manuals, translations and character sets that no program here asks for. Copyright files stay. */
export const debianLeftOut = [
  'boot',
  'dev/*',
  'etc/apt',
  'etc/cron.daily',
  'etc/hostname',
  'etc/logrotate.d',
  'etc/resolv.conf',
  'usr/lib/*/gconv',
  'usr/lib/systemd',
  'usr/share/bash-completion',
  'usr/share/bug',
  'usr/share/doc/*/!(copyright)',
  'usr/share/gcc',
  'usr/share/info',
  'usr/share/lintian',
  'usr/share/locale',
  'usr/share/man',
  'usr/share/perl5',
  'var/backups',
  'var/cache/*',
  'var/lib/apt',
  'var/log/*',
  'tmp/*',
] as const

/** Where the program is in the image. */
export const home = '/opt/sallyport'

/** Of this repository, relative to it. */
export const sources = ['package.json', 'fill-cache', 'bin', 'src', 'build/sallyport.bpf.o'] as const
export const sourcesLeftOut = ['src/lab', '**/*.test.ts'] as const

/** Names of commands in the image besides those in bin/: what people type in an agent's pod who come from Cilium. */
export const commandNames = { cilium: 'sallyport' } as const

/** Of an npm package: what only its developers, and programs that link against it, read. */
export const moduleFilesLeftOut = [
  '**/*.d.{ts,mts,cts}',
  '**/*.map',
  '**/*.{md,markdown}',
  'node-linux-*/{include,share}/**',
  'koffi/{doc,vendor}/**',
  'koffi/**/*.{cc,cpp,h,hh,inc,asm,S}',
  '{undici,ws,pino,zod}/{docs,test,tests,benchmarks,examples}/**',
  'zod/src/**',
] as const

/** How containers run by default. The agent's manifest asks for root; nothing else does. */
export const configuration = {
  environment: {
    /* Container runtimes run the CNI plugin on the node, where none of these files are. */
    SALLYPORT_IMAGE: '1',
    PATH: `${home}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  },
  directory: home,
  user: '65532',
  command: ['sallyport', '--help'],
} as const
