import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { renderTemplate } from './template.ts'

const network = {
  Name: 'kind',
  IPAM: { Config: [{ Subnet: '172.18.0.0/16' }, { Subnet: 'fc00::/64' }] },
  Networks: { kind: { IPAddress: '172.18.0.7' } },
  Paused: false,
}

describe('docker’s templates', () => {
  const cases = [
    {
      name: 'a range over a list, as in the walkthrough',
      template: '{{range.IPAM.Config}}{{.Subnet}}, {{end}}',
      expect: '172.18.0.0/16, fc00::/64, ',
    },
    {
      name: 'a range over the values of a map',
      template: '{{range .Networks}}{{.IPAddress}}{{end}}',
      expect: '172.18.0.7',
    },
    { name: 'text around fields', template: 'name={{ .Name }}!', expect: 'name=kind!' },
    { name: 'json', template: '{{json .IPAM.Config}}', expect: JSON.stringify(network.IPAM.Config) },
    { name: 'if', template: '{{if .Paused}}paused{{end}}{{if .Name}}named{{end}}', expect: 'named' },
    {
      name: 'blocks in blocks',
      template: '{{range .IPAM.Config}}{{if .Subnet}}x{{end}}{{end}}',
      expect: 'xx',
    },
    { name: 'an escaped new line', template: '{{.Name}}\\n', expect: 'kind\n' },
    { name: 'a missing field', template: '{{.Absent.Deeper}}', expect: '<no value>' },
  ]
  for (const { name, template, expect } of cases)
    test(name, () => assert.equal(renderTemplate(template, network), expect))

  const refused = [
    {
      name: 'an unknown function',
      template: '{{len .Networks}}',
      message: /has the action "len \.Networks": use/,
    },
    {
      name: 'a range with variables',
      template: '{{range $name, $network := .Networks}}{{$name}}{{end}}',
      message: /has the action "range \$name, \$network := \.Networks": use/,
    },
    {
      name: 'a range without {{end}}',
      template: '{{range .Networks}}x',
      message: /no \{\{end\}\} for "range \.Networks"/,
    },
    { name: 'an {{end}} without a block', template: 'x{{end}}', message: /an \{\{end\}\} without/ },
  ]
  for (const { name, template, message } of refused)
    test(`${name} is an error`, () => assert.throws(() => renderTemplate(template, network), message))
})
