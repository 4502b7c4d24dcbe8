/** The webhook's server with its own limits as a program, whose memory others look at: prints its port, certificates in `argv`. */
import { type Certificates, startTestWebhook } from './testWebhook.ts';

const certificates = JSON.parse(process.argv[2] ?? '') as Certificates;
const { port } = await startTestWebhook(certificates);
process.stdout.write(`${port}\n`);
