/** An API server that holds one Secret, as far as the keeper of the peer keys needs one: versions, and answers that get lost. */
import type { KubeClient, KubeErrorCode, KubeOutcome } from '../../kube/kubeClient.ts';

interface SecretObject {
  readonly metadata: Readonly<Record<string, unknown>> & {
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data: Readonly<Record<string, string>>;
}

/** What becomes of the next write: `lost` takes effect and is not answered, `dropped` neither. */
export type WriteFate = 'done' | 'lost' | 'dropped' | 'forbidden';

export class SecretApi {
  object: SecretObject | undefined;
  fate: WriteFate = 'done';
  /** Runs between a read and the write that follows it. */
  meanwhile: () => void = () => {};
  #version = 0;

  readonly client = {
    get: async () => (this.object === undefined ? refuse('not-found') : ok(this.object)),
    create: async (_path: string, body: unknown) => {
      this.#pass();
      return this.object === undefined ? this.#write(body) : refuse('already-exists');
    },
    replace: async (_path: string, body: unknown) => {
      this.#pass();
      if (this.object === undefined) return refuse('not-found');
      const expected = this.object.metadata.resourceVersion;
      // The keeper writes objects as it read them.
      const same = (body as SecretObject).metadata.resourceVersion === expected;
      return same ? this.#write(body) : refuse('conflict');
    },
  } as unknown as KubeClient; // The keeper uses no other verb.

  /** As somebody with kubectl does. */
  edit(change: (data: Record<string, string>, annotations: Record<string, string>) => void): void {
    if (this.object === undefined) return;
    const data = { ...this.object.data };
    const annotations = { ...this.object.metadata.annotations };
    change(data, annotations);
    this.#store({ ...this.object, metadata: { ...this.object.metadata, annotations }, data });
  }

  remove(): void {
    this.object = undefined;
  }

  #pass(): void {
    const { meanwhile } = this;
    this.meanwhile = () => {};
    meanwhile();
  }

  #write(body: unknown): KubeOutcome<unknown> {
    const { fate } = this;
    this.fate = 'done';
    if (fate === 'forbidden') return refuse('forbidden');
    if (fate !== 'dropped') this.#store(body as SecretObject); // As above.
    if (fate === 'done') return ok(this.object);
    return { kind: 'unknown', error: { code: 'timeout', transient: true, message: 'no answer' } };
  }

  #store(object: SecretObject): void {
    this.#version += 1;
    const metadata = { ...object.metadata, uid: 'uid', resourceVersion: String(this.#version) };
    this.object = structuredClone({ ...object, metadata });
  }
}

function ok(value: unknown): KubeOutcome<unknown> {
  return { kind: 'ok', value: structuredClone(value) };
}

function refuse(code: KubeErrorCode): KubeOutcome<never> {
  return { kind: 'refused', error: { code, transient: false, message: code } };
}
