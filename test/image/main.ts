/** `node test/image/main.ts [product|probe]`: builds an image and prints the path of its OCI tar and its reference. */
import { buildImage } from './buildImage.ts';
import { buildProbeImage } from './buildProbeImage.ts';

const began = performance.now();
const onProgress = (line: string): void => {
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1)} s ${line}\n`);
};
const build = process.argv[2] === 'probe' ? buildProbeImage : buildImage;
const { ociTarPath, reference } = await build({ onProgress });
onProgress('done');
process.stdout.write(`${ociTarPath} ${reference}\n`);
