/** The contents of the image. `make image` and the Dockerfile both run lay-out.ts, which reads these lists. */

/** Debian packages: a shell for the probes and the init container, and the libraries of Node.js. */
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

/** Files of these packages that no program here uses, such as manuals and translations. Copyright files stay. */
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

/** The folder of the program in the image. */
export const home = '/opt/sallyport'

/** Files of this repository, relative to it. */
export const sources = ['package.json', 'fill-cache', 'bin', 'src', 'build/sallyport.bpf.o'] as const
export const sourcesLeftOut = ['src/lab', '**/*.test.ts'] as const

/** Further names of commands in the image. Users of Cilium type `cilium` in an agent's pod. */
export const commandNames = { cilium: 'sallyport' } as const

/** Files of npm packages that only developers need, and programs that link against the package. */
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

/** The default configuration of containers. Only the agent runs as root, as its manifest says. */
export const configuration = {
  environment: {
    /* Container runtimes run the CNI plugin on the node, which has none of these files. */
    SALLYPORT_IMAGE: '1',
    PATH: `${home}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  },
  directory: home,
  user: '65532',
  command: ['sallyport', '--help'],
} as const
