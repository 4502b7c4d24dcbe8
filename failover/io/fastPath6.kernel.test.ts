/** The fast path over a tunnel of IPv6, which leaves less of the uplink's MTU: what it carries goes as over one of IPv4. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  createDataPlaneFixture,
  type DataPlaneFixture,
  SERVER,
  STACKS,
} from '../../test/lab/dataPlaneFixture.ts';
import { AGAIN, echoes, fastDuring, NOTHING_FAST } from '../../test/lab/fastTraffic.ts';

/** Of an uplink with 1,500 bytes: less by the outer headers of IPv6, UDP, VXLAN and Ethernet. */
const TUNNEL_MTU = 1430;
const UDP_HEADER_BYTES = 8;
let fixture: DataPlaneFixture;

beforeAll(async () => {
  fixture = createDataPlaneFixture('fast6', { underlay: 6, fastPath: true });
  await fixture.lab.program('ext', SERVER).line(/ready/);
});
afterAll(async () => {
  await fixture.end();
});
beforeEach(async () => {
  await fixture.reset();
});

test.each(STACKS)(
  'what just fits the tunnel goes the fast way, and a byte more does not: $name',
  async (stack) => {
    const { family, outside: to } = stack;
    const fitting = TUNNEL_MTU - UDP_HEADER_BYTES - (family === 4 ? 20 : 40);
    const sent = (bytes: number, options = ''): string =>
      echoes(fixture.lab, { from: 'p1', to, sizes: [bytes], options });
    expect(await fastDuring(fixture, () => expect(sent(fitting)).toBe('1 of 1'))).toEqual({
      out: 1,
      back: 1,
    });
    expect(await fastDuring(fixture, () => expect(sent(fitting + 1, AGAIN)).toBe('1 of 1'))).toEqual(
      NOTHING_FAST,
    );
  },
);
