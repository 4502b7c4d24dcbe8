/**
 * Asks a webhook as a process of its own, so that neither its answers' reading nor what else the bench does is in the
 * times: `node askingProcess.ts PORT FILE`, where FILE holds the questions, and prints the figures.
 */
import { readFileSync } from 'node:fs';
import { measureHttps, type Question } from './measureHttps.ts';

const [port, file = ''] = process.argv.slice(2);
const questions = JSON.parse(readFileSync(file, 'utf8')) as readonly Question[];
process.stdout.write(JSON.stringify(await measureHttps(Number(port), questions)));
