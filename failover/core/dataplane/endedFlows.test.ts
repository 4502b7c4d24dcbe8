import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../../policy/address.ts';
import type { Address } from '../../../policy/model.ts';
import { examplePlan } from '../../../test/lab/dataPlaneExample.ts';
import { endedUnder, keepsPorts, parseFlow, parseTranslated } from './endedFlows.ts';
import { TRANSLATED_FLAG } from './marks.ts';

const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed.kind !== 'ok') throw new Error(text);
  return parsed.value;
};

/** As the kernel writes it. The node of the example has ports 1280 to 1407 of each address. */
const udp = (
  source: string,
  destination: string,
  answersTo: string,
  { port = 1300, mark = 0 }: { readonly port?: number; readonly mark?: number } = {},
): string =>
  `ipv4     2 udp      17 29 src=${source} dst=${destination} sport=5353 dport=53 [UNREPLIED] src=${destination} dst=${answersTo} sport=53 dport=${port} mark=${mark} zone=0 use=2`;
const TCP =
  'ipv4     2 tcp      6 431999 ESTABLISHED src=10.244.21.5 dst=198.51.100.9 sport=1 dport=2 src=198.51.100.9 dst=203.0.113.100 sport=2 dport=1100 [ASSURED] mark=0 zone=0 use=2';

describe('a line of the kernel', () => {
  test('of UDP has its ports, whatever of it is answered', () => {
    const line = udp('10.244.21.5', '198.51.100.9', '203.0.113.100');
    for (const text of [line, line.replace('[UNREPLIED] ', '').replace('mark', '[ASSURED] mark')])
      expect(parseFlow(text)).toEqual({
        protocol: 17,
        source: address('10.244.21.5'),
        destination: address('198.51.100.9'),
        answersTo: address('203.0.113.100'),
        port: 1300,
        isTranslated: false,
        numbers: [5353, 53],
      });
  });

  test('of a ping of IPv6 has type, code and id', () => {
    const [pod, outside, egress] = ['00244', '00051', '00100'].map(
      (it) => `2001:0db8:0000:0000:0000:0000:000${it[0]}:${it.slice(1)}`,
    );
    expect(
      parseFlow(
        `ipv6     10 icmpv6   58 29 src=${pod} dst=${outside} type=128 code=0 id=7 src=${outside} dst=${egress} type=129 code=0 id=1030 mark=0 zone=0 use=2`,
      ),
    ).toEqual({
      protocol: 58,
      source: address('2001:db8::244'),
      destination: address('2001:db8::51'),
      answersTo: address('2001:db8::100'),
      port: undefined,
      isTranslated: false,
      numbers: [128, 0, 7],
    });
  });

  test.each([
    {
      name: 'of TCP, which is reset,',
      line: TCP,
    },
    { name: 'that is none', line: '' },
  ])('$name is not looked at', ({ line }) => {
    expect(parseFlow(line)).toBeUndefined();
  });

  test('says of TCP as well that it was translated to an egress IP, whatever else is in its mark', () => {
    expect(parseTranslated(TCP)).toBeUndefined();
    const marked = TCP.replace('mark=0', `mark=${TRANSLATED_FLAG | 0x80}`);
    expect(parseTranslated(marked)).toMatchObject({ protocol: 6, numbers: [1, 2], port: 1100 });
    expect(parseTranslated(marked.replace('mark', '[OFFLOAD] mark'))).toMatchObject({ isTranslated: true });
  });
});

/** Of the example: 21.5 has 203.0.113.100 for 198.51.100.0/24, 101 direct, 102.7 refused; 21.6 has both for everything. */
test.each([
  {
    name: 'with the address of its route',
    from: '10.244.21.5',
    to: '198.51.100.9',
    by: '203.0.113.100',
    ended: false,
  },
  { name: 'with one of several', from: '10.244.21.6', to: '192.0.2.1', by: '203.0.113.101', ended: false },
  {
    name: 'with another egress IP',
    from: '10.244.21.5',
    to: '198.51.100.9',
    by: '203.0.113.101',
    ended: true,
  },
  {
    name: 'with the node’s address',
    from: '10.244.21.5',
    to: '198.51.100.9',
    by: '203.0.113.21',
    ended: true,
  },
  { name: 'that is refused', from: '10.244.21.5', to: '198.51.102.7', by: '203.0.113.21', ended: true },
  {
    name: 'to an excluded place, as the node',
    from: '10.244.21.5',
    to: '198.51.101.1',
    by: '203.0.113.21',
    ended: false,
  },
  {
    name: 'to an excluded place, still by the egress IP',
    from: '10.244.21.5',
    to: '198.51.101.1',
    by: '203.0.113.100',
    ended: true,
  },
  {
    name: 'beyond all routes, still by the egress IP',
    from: '10.244.21.5',
    to: '192.0.2.1',
    by: '203.0.113.100',
    ended: true,
  },
  {
    name: 'of a pod that nothing selects',
    from: '10.244.21.9',
    to: '192.0.2.1',
    by: '203.0.113.21',
    ended: false,
  },
  {
    name: 'of one that nothing selects any more',
    from: '10.244.21.9',
    to: '192.0.2.1',
    by: '203.0.113.100',
    ended: true,
  },
  { name: 'between pods', from: '10.244.21.6', to: '10.244.9.9', by: '10.244.21.6', ended: false },
  {
    name: 'to what nothing touches by now',
    from: '10.244.21.6',
    to: '10.244.9.9',
    by: '203.0.113.100',
    ended: true,
  },
  {
    name: 'with a port that is another node’s',
    from: '10.244.21.5',
    to: '198.51.100.9',
    by: '203.0.113.100',
    port: 1200,
    ended: true,
  },
  {
    name: 'with an address that is no egress IP any more',
    from: '10.244.21.9',
    to: '192.0.2.1',
    by: '203.0.113.177',
    mark: TRANSLATED_FLAG,
    ended: true,
  },
  {
    name: 'with an address that never was one',
    from: '10.244.21.9',
    to: '192.0.2.1',
    by: '203.0.113.177',
    mark: 0x80,
    ended: false,
  },
])('a flow $name: ended $ended', ({ from, to, by, ended, ...more }) => {
  const flow = parseFlow(udp(from, to, by, more));
  expect(flow === undefined ? undefined : endedUnder(examplePlan('worker-1'))(flow)).toBe(ended);
});

test('a node keeps its ports while it has all that it had, whatever others have', () => {
  const plan = examplePlan('worker-1');
  const [one, ...others] = plan.addresses;
  if (one === undefined) throw new Error('no address');
  const withBlocks = (blocks: typeof one.blocks) => ({ ...plan, addresses: [{ ...one, blocks }, ...others] });
  const isOwn = ({ node }: { readonly node: string }): boolean => node === 'worker-1';
  expect(keepsPorts(plan, { ...plan, addresses: [...plan.addresses] })).toBe(true);
  expect(keepsPorts(plan, withBlocks(one.blocks.filter(isOwn)))).toBe(true);
  expect(keepsPorts(plan, withBlocks([...one.blocks, { node: 'worker-1', first: 2048, last: 2111 }]))).toBe(
    true,
  );
  expect(keepsPorts(plan, withBlocks(one.blocks.filter((it) => !isOwn(it))))).toBe(false);
  expect(keepsPorts(plan, { ...plan, addresses: others })).toBe(false);
});
