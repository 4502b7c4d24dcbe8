/**
 * An API server as far as the webhook's certificates need one: objects by path, versions, and the patches in use. Replicas of the
 * webhook run in it by rounds; who is asked is trusted or not as an API server would find it.
 */
import { X509Certificate } from 'node:crypto';
import { CERTIFICATE_FAILURES, type CertificateMeter } from '../../certs/io/certificateMeter.ts';
import type { IssuedPair } from '../../certs/io/issue.ts';
import { type CertificateOptions, keepCertificates } from '../../certs/io/keepCertificates.ts';
import type { KubeClient, KubeErrorCode, KubeOutcome } from '../../kube/kubeClient.ts';
import { createLogger } from '../../runtime/logger.ts';

export const SECRET = '/api/v1/namespaces/sallyport/secrets/webhook-cert';
export const VALIDATING = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/sallyport';
export const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sallyport';
export const PODS = '/api/v1/namespaces/sallyport/pods';
export const PROPAGATION_MS = 30_000;

export type Json = Record<string, unknown>;
interface Webhook {
  readonly name: string;
  readonly failurePolicy?: string;
  readonly clientConfig: { caBundle?: string; service?: unknown };
}
interface PatchOperation {
  readonly op: string;
  readonly path: string;
  readonly value: string;
}

/** What becomes of a write: `lost` takes effect and is not answered, `dropped` neither. */
export type Fate = 'done' | 'lost' | 'dropped' | 'forbidden';

export class CertificateWorld {
  readonly objects = new Map<string, Json>();
  readonly clock = { wallMs: Date.now(), monotonicMs: 0 };
  /** Paths of the writes that were asked for. */
  readonly writes: string[] = [];
  /** Told of each write before it happens. */
  fate: (write: { readonly verb: string; readonly path: string }) => Fate = () => 'done';
  /** Whether a read of this path is refused. */
  hides: (path: string) => boolean = () => false;
  #version = 0;
  /** What each configuration said, and until when, in monotonic milliseconds. */
  #past: readonly { readonly bundles: readonly string[]; readonly untilMs: number }[] = [];

  constructor() {
    this.installConfiguration(VALIDATING);
    this.installConfiguration(MUTATING);
  }

  readonly client = {
    get: async (path: string) => {
      const object = this.objects.get(path);
      if (this.hides(path)) return refuse('forbidden');
      return object === undefined ? refuse('not-found') : ok(object);
    },
    create: async (path: string, body: unknown) => {
      const object = body as Json;
      const full = `${path}/${metadataOf(object).name}`;
      return this.#write('create', full, () => (this.objects.has(full) ? 'already-exists' : object));
    },
    replace: async (path: string, body: unknown) =>
      this.#write('replace', path, () => {
        const stored = this.objects.get(path);
        if (stored === undefined) return 'not-found';
        const expected = metadataOf(body as Json).resourceVersion;
        return expected === metadataOf(stored).resourceVersion ? (body as Json) : 'conflict';
      }),
    mergePatch: async (path: string, patch: unknown) =>
      this.#write('mergePatch', path, () => {
        const stored = this.objects.get(path);
        return stored === undefined ? 'not-found' : (mergePatch(stored, patch) as Json);
      }),
    jsonPatch: async (path: string, patch: readonly unknown[]) =>
      this.#write('jsonPatch', path, () => {
        const stored = this.objects.get(path);
        return stored === undefined ? 'not-found' : patchBundles(stored, patch as readonly PatchOperation[]);
      }),
  } as unknown as KubeClient; // the other verbs are never reached from here

  #write(verb: string, path: string, change: () => Json | KubeErrorCode): KubeOutcome<unknown> {
    this.writes.push(`${verb} ${path}`);
    const fate = this.fate({ verb, path });
    if (fate === 'forbidden') return refuse('forbidden');
    const changed = fate === 'dropped' ? undefined : change();
    if (typeof changed === 'string') return refuse(changed);
    if (changed !== undefined) this.store(path, changed);
    if (fate === 'done') return ok(this.objects.get(path));
    return { kind: 'unknown', error: { code: 'timeout', transient: true, message: 'no answer' } };
  }

  /** Another world that stands as this one does; nobody runs in it yet. */
  copy(): CertificateWorld {
    const world = new CertificateWorld();
    world.objects.clear();
    for (const [path, object] of this.objects) world.store(path, object);
    Object.assign(world.clock, this.clock);
    world.forgetPast();
    return world;
  }

  store(path: string, object: Json): void {
    this.#version += 1;
    const before = this.bundles(path);
    if (before.length > 0) this.#past = [...this.#past, { bundles: before, untilMs: this.clock.monotonicMs }];
    const metadata = { ...metadataOf(object), resourceVersion: String(this.#version) };
    this.objects.set(path, structuredClone({ ...object, metadata }));
  }

  /** As somebody with kubectl does. */
  edit(path: string, change: (object: { metadata: Json; data: Json }) => void): void {
    const object = structuredClone(this.objects.get(path)) as { metadata: Json; data: Json } | undefined;
    if (object === undefined) throw new Error(`${path} is not there`);
    change(object);
    this.store(path, object as unknown as Json);
  }

  annotate(annotations: Readonly<Record<string, string>>): void {
    this.edit(SECRET, ({ metadata }) => {
      metadata.annotations = { ...(metadata.annotations as Json), ...annotations };
    });
  }

  annotations(): Readonly<Record<string, string>> {
    return (metadataOf(this.objects.get(SECRET) ?? {}).annotations ?? {}) as Record<string, string>;
  }

  secret(): { readonly data: Readonly<Record<string, string>> } {
    return this.objects.get(SECRET) as unknown as { data: Record<string, string> };
  }

  /** Without a caBundle, as a GitOps tool would have it. */
  installConfiguration(path: string): void {
    this.store(path, {
      metadata: { name: 'sallyport' },
      webhooks: [
        { name: 'policies.sallyport.dev', failurePolicy: 'Fail', clientConfig: { service: { name: 'w' } } },
        { name: 'cilium.sallyport.dev', failurePolicy: 'Fail', clientConfig: {} },
      ],
    });
  }

  webhooks(path: string): readonly Webhook[] {
    return (this.objects.get(path)?.webhooks ?? []) as Webhook[];
  }

  bundles(path: string): readonly string[] {
    return this.webhooks(path).map(({ clientConfig }) =>
      Buffer.from(clientConfig.caBundle ?? '', 'base64').toString(),
    );
  }

  /** Nobody is late any more. */
  forgetPast(): void {
    this.#past = [];
  }

  /** By every webhook of both configurations, at the world's time. */
  trusts(pair: IssuedPair | undefined): boolean {
    return this.#isTrusted(pair, [...this.bundles(VALIDATING), ...this.bundles(MUTATING)]);
  }

  /** Also by API servers that learn of a bundle as late as replicas allow for. */
  trustsLate(pair: IssuedPair | undefined): boolean {
    const late = this.#past.filter(({ untilMs }) => untilMs > this.clock.monotonicMs - PROPAGATION_MS);
    return this.trusts(pair) && late.every(({ bundles }) => this.#isTrusted(pair, bundles));
  }

  #isTrusted(pair: IssuedPair | undefined, bundles: readonly string[]): boolean {
    if (pair === undefined) return false;
    const leaf = new X509Certificate(pair.certPem);
    const isValid = ({ validFromDate, validToDate }: X509Certificate): boolean =>
      validFromDate.getTime() <= this.clock.wallMs && this.clock.wallMs < validToDate.getTime();
    return bundles.every((bundle) => {
      const cas = (bundle.match(/-----BEGIN[\s\S]+?END CERTIFICATE-----/g) ?? []).map(
        (it) => new X509Certificate(it),
      );
      return cas.some((ca) => isValid(leaf) && isValid(ca) && leaf.verify(ca.publicKey));
    });
  }

  wait(ms: number): void {
    this.clock.monotonicMs += ms;
    this.clock.wallMs += ms;
  }

  startReplica(podName: string, change: Partial<CertificateOptions> = {}): Replica {
    return new Replica(this, podName, change);
  }
}

export class Replica {
  readonly served: IssuedPair[] = [];
  readonly lines: { readonly level: string; readonly message: string }[] = [];
  readonly counts = new Map<string, number>();
  readonly keeper: ReturnType<typeof keepCertificates>;

  constructor(world: CertificateWorld, podName: string, change: Partial<CertificateOptions>) {
    const count = (what: string): void => void this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    const meter: CertificateMeter = {
      expires: () => {},
      phase: () => {},
      rotated: (kind) => count(`rotated ${kind}`),
      failed: (failure) => count(`failed ${CERTIFICATE_FAILURES.find((it) => it === failure)}`),
    };
    this.keeper = keepCertificates({
      client: world.client,
      namespace: 'sallyport',
      secretName: 'webhook-cert',
      serviceName: 'sallyport-webhook',
      podName,
      validatingConfiguration: 'sallyport',
      mutatingConfiguration: 'sallyport',
      propagationMs: PROPAGATION_MS,
      logger: createLogger({
        program: 'test',
        level: 'debug',
        write: (line) => void this.lines.push(JSON.parse(line)),
      }),
      meter,
      onCertificate: (pair) => void this.served.push(pair),
      wallClock: () => world.clock.wallMs,
      monotonic: () => world.clock.monotonicMs,
      ...change,
    });
  }

  get current(): IssuedPair | undefined {
    return this.served.at(-1);
  }

  round() {
    return this.keeper.round();
  }

  issued(): number {
    return (this.counts.get('rotated ca') ?? 0) + (this.counts.get('rotated leaf') ?? 0);
  }
}

function metadataOf(object: Json): Json {
  return (object.metadata ?? {}) as Json;
}

function patchBundles(stored: Json, patch: readonly PatchOperation[]): Json | KubeErrorCode {
  const copy = structuredClone(stored);
  const webhooks = copy.webhooks as Webhook[];
  for (const { op, path, value } of patch) {
    if (path === '/metadata/resourceVersion') {
      if (op !== 'test' || metadataOf(copy).resourceVersion !== value) return 'invalid';
      continue;
    }
    const [, index, field] = /^\/webhooks\/(\d+)\/(name|clientConfig\/caBundle)$/.exec(path) ?? [];
    const webhook = webhooks[Number(index)];
    if (webhook === undefined) return 'invalid';
    if (field === 'name' && webhook.name !== value) return 'invalid';
    if (field === 'clientConfig/caBundle') webhook.clientConfig.caBundle = value;
  }
  return copy;
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Json = { ...(typeof target === 'object' && target !== null ? (target as Json) : {}) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

function ok(value: unknown): KubeOutcome<unknown> {
  return { kind: 'ok', value: structuredClone(value) };
}

function refuse(code: KubeErrorCode): KubeOutcome<never> {
  return { kind: 'refused', error: { code, transient: false, message: code } };
}
