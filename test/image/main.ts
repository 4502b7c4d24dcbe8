/** `node test/image/main.ts [product|probe]`: builds an image and prints the path of its OCI tar and its reference. */
import { buildImage } from './buildImage.ts';
import { buildProbeImage } from './buildProbeImage.ts';
import { readProvenance } from './imageLabels.ts';
import { REPOSITORY } from './imageStore.ts';

const began = performance.now();
const onProgress = (line: string): void => {
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1)} s ${line}\n`);
};
const { ociTarPath, reference } =
  process.argv[2] === 'probe'
    ? await buildProbeImage({ onProgress })
    : await buildImage({ onProgress, provenance: readProvenance(REPOSITORY) });
onProgress('done');
process.stdout.write(`${ociTarPath} ${reference}\n`);
