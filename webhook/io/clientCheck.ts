/**
 * Whether the other side of a connection proved to be an API server: by a certificate of the configured authority that
 * carries one of the configured names. Probes and scrapes come without one, so only reviews ask.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** A reason, or undefined where it may ask. */
export function whyNotAllowed(socket: Socket, names: readonly string[]): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized)
    return 'show a client certificate of the configured authority';
  const { subject, subjectaltname = '' } = socket.getPeerCertificate();
  // The type says one text; a subject with several common names gives a list.
  const commonNames: readonly string[] = [subject?.CN ?? []].flat();
  const alternative = subjectaltname.split(', ').map((name) => name.replace(/^DNS:/, ''));
  const shown = [...commonNames, ...alternative];
  if (shown.some((name) => names.includes(name))) return undefined;
  return 'the name in the client certificate is none of those that may ask';
}
