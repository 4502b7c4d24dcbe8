/** The page of `certs`. */
import { CLUSTER_OPTIONS, WAIT_OPTIONS } from './helpCluster.ts';

export const HELP_CERTS = `sallyport certs: the webhook's certificates, and who trusts them

usage: sallyport certs status [-n NAMESPACE] [-o FORMAT] [options]
       sallyport certs rotate [--ca] [-n NAMESPACE] [--wait] [--timeout TIME] [options]

status prints who keeps the certificates, in which phase a rotation is, and three tables:

  CERTIFICATE  the leaf that replicas serve, the CA that signs, one that is to sign next, and those that are trusted still.
  WEBHOOK      each webhook of the two configurations: whether it trusts the leaf, and by which CAs.
  REPLICA      what each replica of the webhook says that it trusts and serves, and when it said so. Only where the webhook
               keeps its certificates itself.

rotate asks for a new leaf, or with --ca for a new CA and a leaf of it, by the annotation sallyport.dev/rotate on the Secret. The
webhook takes it up at once and loses no review: a new CA is published first, and signs when every replica knows it. That takes
about half a minute. Certificates that cert-manager or a person keeps are not rotated by it.

options:
      --ca                rotate: the CA too
  -n, --namespace NAME    which of several installations (default: the only one)
  -o, --output FORMAT     status: text (default) or json (stable, see docs/cli.md)
${WAIT_OPTIONS}
${CLUSTER_OPTIONS}

exit codes:
  0  status: all is well. rotate: done; without --wait: asked for
  1  status: something is not, and is said. rotate --wait: not done in time; it stays asked for
  2  wrong usage, or a cluster that does not answer or refuses

needs the permission to list validating and to get mutating webhook configurations, and to get the Secret; rotate also to
patch it, with --wait to list and watch it. Keys are not shown.

examples:
  kubectl sallyport certs status
  sallyport certs status -o json | jq -r '.certificates[] | [.role, .expires] | @tsv'
  sallyport certs rotate --ca --wait --timeout 2m
`;
