/** Datagrams there and back, and what of them went the fast way. */
import type { DataPlaneFixture } from './dataPlaneFixture.ts';
import type { DataPlaneLab } from './dataPlaneLab.ts';

export interface Fast {
  readonly out: number;
  readonly back: number;
}

export const NOTHING_FAST: Fast = { out: 0, back: 0 };

/** What went the fast way through gw1 meanwhile. */
export async function fastDuring(fixture: DataPlaneFixture, work: () => void | Promise<void>): Promise<Fast> {
  const now = async (): Promise<Fast> => ({
    out: await fixture.counted('gw1', 'fast_out'),
    back: await fixture.counted('gw1', 'fast_back'),
  });
  const before = await now();
  await work();
  const after = await now();
  return { out: after.out - before.out, back: after.back - before.back };
}

/** What gw1's stack forwards of TCP and UDP from now on: the counters of the fast path alone do not tell that it did. */
export function hearForwarded(lab: DataPlaneLab): () => number {
  const text = `table inet ear
delete table inet ear
table inet ear {
  counter heard {
  }
  chain ear { type filter hook forward priority 0;
    meta l4proto { tcp, udp } counter name heard
  }
}
`;
  lab.run('gw1', 'sh', '-c', `nft -f - <<'E'\n${text}E`);
  return () =>
    Number(/packets (\d+)/.exec(lab.run('gw1', 'nft', 'list', 'counter', 'inet', 'ear', 'heard'))?.[1]);
}

/** For what is only heard of a narrower path with its first packet. */
export const AGAIN = 'setInterval(send, 300)';

export interface Echoes {
  readonly from: string;
  readonly to: string;
  readonly sizes: readonly number[];
  /** A statement about the socket `u`, or AGAIN. */
  readonly options?: string;
}

/** Sends datagrams of these sizes, one after another, each when the one before came back; says how many did. */
export function echoes(lab: DataPlaneLab, { from, to, sizes, options = '' }: Echoes): string {
  const source = `
const u = require('dgram').createSocket('${to.includes(':') ? 'udp6' : 'udp4'}').on('error', () => {}), sizes = [${sizes}]; let back = 0;
const end = () => { console.log(back + ' of ' + sizes.length); process.exit(0); };
u.on('message', (m) => { if (m.length === sizes[back]) back++; if (back === sizes.length) end(); else send(); });
const send = () => u.send(Buffer.alloc(sizes[back]));
u.connect(8081, '${to}', () => { ${options}; send(); }); setTimeout(end, 2000);`;
  return lab.run(from, process.execPath, '-e', source).trim();
}
