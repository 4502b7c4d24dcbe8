/** Reads the split words of a command line one by one: names, files, durations, prefixes. Knows no command. */
import { parseCidr } from '../../policy/cidr.ts';
import type { ClusterNetwork } from '../../policy/facts.ts';
import type { Cidr } from '../../policy/model.ts';
import type { PolicyKind } from '../../policy/names.ts';
import { POLICY_ADDRESSES_MAX } from '../../policy/parsePolicy.ts';
import { DEFAULT_RULE_SETTINGS, type RuleSettings } from '../../policy/rules.ts';
import {
  CERTS_ACTIONS,
  type CertsAct,
  type ClusterChoice,
  type FactsChoice,
  type PolicyName,
  type StatusFormat,
  type Wait,
} from './command.ts';

/** The words of one command, split: options by their long names, and the rest in order. */
export interface SplitWords {
  readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
}

/** A gateway is empty within seconds; a cluster with many that leave one after another takes a few minutes. */
const TIMEOUT_DEFAULT_MS = 5 * 60_000;
/** A command is no place to wait for longer. */
const TIMEOUT_MAX_MS = 24 * 3_600_000;
/** Of an egress IP: one granule, and all. */
const [PORTS_MIN, PORTS_MAX] = [64, 64_512];
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

/** What people write before the slash of `KIND/NAME`, lower case: kinds, plurals and short names. */
const KIND_NAMES: Readonly<Record<string, PolicyKind>> = {
  egresspolicy: 'EgressPolicy',
  egresspolicies: 'EgressPolicy',
  egp: 'EgressPolicy',
  ciliumegressgatewaypolicy: 'CiliumEgressGatewayPolicy',
  ciliumegressgatewaypolicies: 'CiliumEgressGatewayPolicy',
  cegp: 'CiliumEgressGatewayPolicy',
};

/** Reads split words; what is wrong goes to the list, and a stand-in that nobody will see comes back. */
export class WordReader {
  readonly #words: SplitWords;
  readonly #problems: string[];

  constructor(words: SplitWords, problems: string[]) {
    this.#words = words;
    this.#problems = problems;
  }

  text(option: string): string | undefined {
    const value = this.#words.values[option];
    if (value === '') this.#problems.push(`--${option} is empty; give it a value`);
    return typeof value === 'string' ? value : undefined;
  }

  flag(option: string): boolean {
    return this.#words.values[option] === true;
  }

  #texts(option: string): readonly string[] {
    const value = this.#words.values[option];
    return Array.isArray(value) ? value.filter((it) => typeof it === 'string') : [];
  }

  none(): void {
    const [surplus] = this.#words.positionals;
    if (surplus !== undefined) this.#problems.push(`${JSON.stringify(surplus)} is one word too many`);
  }

  one(what: string): string {
    const [word, surplus] = this.#words.positionals;
    if (word === undefined || word === '') this.#problems.push(`${what} is missing`);
    if (surplus !== undefined) this.#problems.push(`${JSON.stringify(surplus)} is one word too many`);
    return word ?? '';
  }

  cluster(): ClusterChoice {
    const [kubeconfig, context] = [this.text('kubeconfig'), this.text('context')];
    return {
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
      ...(context === undefined ? {} : { context }),
    };
  }

  /** `-f` and plain words alike: pre-commit gives the latter. */
  sources(): readonly string[] {
    const sources = [...this.#texts('filename'), ...this.#words.positionals];
    if (sources.length === 0)
      this.#problems.push('nothing to validate; name files or folders, or - for standard input');
    if (sources.includes('')) this.#problems.push('a file name is empty');
    if (sources.filter((it) => it === '-').length > 1)
      this.#problems.push('- is named twice; it can be read once');
    return sources;
  }

  facts(): FactsChoice {
    const [path, live] = [this.text('cluster-facts'), this.flag('live')];
    if (path !== undefined && live)
      this.#problems.push('--cluster-facts and --live exclude each other; choose one');
    const choosesCluster = this.text('kubeconfig') !== undefined || this.text('context') !== undefined;
    if (choosesCluster && !live)
      this.#problems.push('--kubeconfig and --context say which cluster --live asks; add --live');
    if (path !== undefined) return { kind: 'file', path };
    return live ? { kind: 'live' } : { kind: 'none' };
  }

  cidrs(option: string): readonly Cidr[] {
    const texts = this.#texts(option).flatMap((text) => text.split(','));
    return texts.flatMap((text) => {
      const parsed = parseCidr(text.trim());
      if (parsed.kind === 'ok') return [parsed.value];
      this.#problems.push(`--${option}: ${parsed.error.message}`);
      return [];
    });
  }

  networks(): readonly ClusterNetwork[] {
    return (['pod', 'service'] as const).flatMap((what) =>
      this.cidrs(`${what}-cidr`).map(
        (cidr): ClusterNetwork => ({ cidr, use: `${what}s`, source: `--${what}-cidr` }),
      ),
    );
  }

  settings(): RuleSettings {
    const { poolAddressesMax, initialPorts } = DEFAULT_RULE_SETTINGS;
    return {
      poolAddressesMax: this.#integer('pool-addresses-max', {
        min: 1,
        max: Number(POLICY_ADDRESSES_MAX),
        fallback: poolAddressesMax,
      }),
      initialPorts: this.#integer('initial-ports', {
        min: PORTS_MIN,
        max: PORTS_MAX,
        fallback: initialPorts,
      }),
    };
  }

  #integer(
    option: string,
    { min, max, fallback }: { readonly min: number; readonly max: number; readonly fallback: number },
  ): number {
    const text = this.text(option);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!/^\d{1,6}$/.test(text) || value < min || value > max)
      this.#problems.push(`--${option} is ${text}; write a whole number from ${min} to ${max}`);
    return value;
  }

  format<const T extends string>(formats: readonly [T, ...T[]]): T {
    const text = this.text('output');
    if (text === undefined) return formats[0];
    const format = formats.find((known) => known === text);
    if (format === undefined) this.#problems.push(`--output is ${text}; it may be ${formats.join(' or ')}`);
    return format ?? formats[0];
  }

  wait(): Wait {
    const [wait, text] = [this.flag('wait'), this.text('timeout')];
    if (text === undefined) return { wait, timeoutMs: TIMEOUT_DEFAULT_MS };
    if (!wait) this.#problems.push('--timeout says how long --wait may take; add --wait');
    const [, count, unit] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
    const timeoutMs = Number(count) * (UNIT_MS[unit ?? ''] ?? 0);
    if (!(timeoutMs > 0 && timeoutMs <= TIMEOUT_MAX_MS))
      this.#problems.push(`--timeout is ${text}; write for example 90s or 5m, at most 24h`);
    return { wait, timeoutMs };
  }

  certs(formats: readonly [StatusFormat, ...StatusFormat[]]): CertsAct {
    const word = this.one('what to do (status or rotate)');
    const action = CERTS_ACTIONS.find((known) => known === word);
    if (action === undefined) this.#problems.push(`certs ${word}: it may be ${CERTS_ACTIONS.join(' or ')}`);
    const others = action === 'rotate' ? ['output'] : ['ca', 'wait', 'timeout'];
    for (const option of others)
      if (this.#words.values[option] !== undefined)
        this.#problems.push(`--${option} is not for certs ${action ?? word}`);
    if (action === 'rotate') return { action, what: this.flag('ca') ? 'ca' : 'leaf', ...this.wait() };
    return { action: 'status', format: this.format(formats) };
  }

  policy(): PolicyName {
    const word = this.one('POLICY');
    const [before, name, surplus] = word.split('/');
    if (name === undefined) return { name: word };
    const kind = KIND_NAMES[before?.toLowerCase() ?? ''];
    if (kind === undefined || name === '' || surplus !== undefined)
      this.#problems.push(`${word} is no policy; write NAME, egresspolicy/NAME or cegp/NAME`);
    return { name, ...(kind === undefined ? {} : { kind }) };
  }
}
