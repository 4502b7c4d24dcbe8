/** Who makes the webhook's certificates, as its environment says: a part of config.ts. */

type Environment = Readonly<Record<string, string | undefined>>;

export const CERTIFICATE_MODES = ['selfManaged', 'certManager', 'existingSecret'] as const;
export type CertificateMode = (typeof CERTIFICATE_MODES)[number];

export interface CertificateSettings {
  /**
   * Who makes the certificates: the webhook itself, cert-manager, or somebody else. In the latter two the Secret is only read.
   * CERT_MODE, default selfManaged.
   */
  readonly mode: CertificateMode;
  /** Holds CA and leaf. CERT_SECRET, required. */
  readonly secretName: string;
  /**
   * Whether the caBundle fields of the webhook configurations are written: true for selfManaged, false for certManager.
   * MANAGE_CA_BUNDLE (true, false), for existingSecret, default true.
   */
  readonly manageCaBundle: boolean;
  /**
   * How long a bundle stands before a leaf is served that needs it, milliseconds, 100..600000. Too short: an API server that
   * learns of it late refuses the webhook meanwhile. CERT_PROPAGATION_MILLISECONDS, default 15000.
   */
  readonly propagationMs: number;
  /** Label selector of the webhook's pods, none of which a rotation forgets. POD_SELECTOR, default: by what they state. */
  readonly podSelector?: string;
}

const PROPAGATION_DEFAULT_MS = 15_000;
const PROPAGATION_MIN_MS = 100;
const PROPAGATION_MAX_MS = 600_000;

export function readCertificateSettings(
  env: Environment,
  problems: string[],
  secretName: string,
): CertificateSettings {
  const text = env.CERT_MODE || 'selfManaged';
  const mode = CERTIFICATE_MODES.find((known) => known === text);
  if (mode === undefined) problems.push(`CERT_MODE is ${text}; use one of ${CERTIFICATE_MODES.join(', ')}`);
  const manage = env.MANAGE_CA_BUNDLE ?? '';
  if (!['', 'true', 'false'].includes(manage))
    problems.push(`MANAGE_CA_BUNDLE is ${manage}; use true or false`);
  if (manage !== '' && text !== 'existingSecret')
    problems.push(`MANAGE_CA_BUNDLE is set, but CERT_MODE is ${text}; it is for existingSecret`);
  const podSelector = env.POD_SELECTOR ?? '';
  return {
    mode: mode ?? 'selfManaged',
    secretName,
    manageCaBundle: mode === 'existingSecret' ? manage !== 'false' : mode !== 'certManager',
    propagationMs: readPropagation(env, problems),
    ...(podSelector === '' ? {} : { podSelector }),
  };
}

function readPropagation(env: Environment, problems: string[]): number {
  const text = env.CERT_PROPAGATION_MILLISECONDS || String(PROPAGATION_DEFAULT_MS);
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= PROPAGATION_MIN_MS && value <= PROPAGATION_MAX_MS) return value;
  problems.push(
    `CERT_PROPAGATION_MILLISECONDS is ${text}; use a whole number from ${PROPAGATION_MIN_MS} to ${PROPAGATION_MAX_MS}`,
  );
  return PROPAGATION_DEFAULT_MS;
}
