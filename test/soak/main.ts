/** `npm run soak -- [--rotations 20]`: rotates the webhook's CA and leaf so often under load, and says what was lost. */
import { parseArgs } from 'node:util';
import { openCertificateGround } from './certificateGround.ts';
import { REVIEWS_PER_SECOND, rotateBoth, underLoad } from './rotateUnderLoad.ts';

const SHOWN_MAX = 20;
const { values } = parseArgs({ options: { rotations: { type: 'string', default: '20' } } });
const rotations = Number(values.rotations);
const ground = await openCertificateGround((line) => console.log(line));
try {
  const { load, handshakes, handshakeFailures, seconds } = await underLoad(ground, async () => {
    for (let turn = 1; turn <= rotations; turn += 1) {
      await rotateBoth(ground);
      console.log(`${turn} of ${rotations}`);
    }
  });
  const { allowed, denied, failures, tookMs } = load;
  const p99 = tookMs[Math.floor(tookMs.length * 0.99)] ?? 0;
  console.log(
    `${rotations} rotations of CA and leaf in ${seconds.toFixed(0)} s, ${REVIEWS_PER_SECOND} creates a second`,
  );
  console.log(
    `reviews: ${allowed} allowed, ${denied} denied, ${failures.length} failed; p99 ${p99.toFixed(0)} ms`,
  );
  console.log(`new connections of strict clients: ${handshakes}, ${handshakeFailures.length} failed`);
  for (const failure of [...failures, ...handshakeFailures].slice(0, SHOWN_MAX)) console.log(`  ${failure}`);
  if (failures.length + handshakeFailures.length > 0) process.exitCode = 1;
} finally {
  await ground.stop();
}
