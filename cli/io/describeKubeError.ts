/** Says what an answer of the API server means for the person who asked, and what to do about it. */
import type { KubeErrorCode } from '../../kube/kubeClient.ts';

const REMEDIES: Readonly<Record<KubeErrorCode, string>> = {
  'not-found': 'is Sallyport installed in this cluster?',
  conflict: 'somebody changed it in the same moment; try again',
  'already-exists': 'somebody made it in the same moment; try again',
  unauthorized:
    'the credentials were not accepted: log in again, or choose others with --kubeconfig or --context',
  forbidden: 'ask whoever runs the cluster for this permission, or use other credentials with --context',
  invalid: 'the versions of this command and of the cluster may not fit together',
  gone: 'try again',
  'too-many-requests': 'the API server has too much to do; try again in a moment',
  'server-error': 'the API server failed; try again, then look at its log',
  timeout: 'the API server did not answer in time; try again, then see whether it can be reached',
  unreachable: 'is this the right cluster (--kubeconfig, --context), and can it be reached from here?',
  protocol:
    'something other than an API server answered; is this the right cluster (--kubeconfig, --context)?',
};

/** @param doing what was tried, as in `reading the nodes`. */
export function describeKubeError(
  doing: string,
  { code, message }: { readonly code: KubeErrorCode; readonly message: string },
): string {
  return `${doing}: ${message}; ${REMEDIES[code]}`;
}
