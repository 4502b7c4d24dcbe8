/** The pages of `validate` and of `facts`, which belong together. */

export const HELP_VALIDATE = `sallyport validate: say what the admission webhook would say, before anything is applied

usage: sallyport validate [-f] FILE|FOLDER|- … [--live | --cluster-facts FILE] [options]

Reads policies (CiliumEgressGatewayPolicy of cilium.io/v1alpha1, EgressPolicy of sallyport.dev/v1alpha1) from YAML or JSON,
several documents in a file, alone or in Lists; of Cilium's own policies (cilium.io/v2) what would quarrel with them. Other kinds
are counted and ignored. Defaults are filled in, then the
webhook's own parser and rules judge each policy, as if all were applied in the order given: a later one is held against
those before it that would not be refused. An object that stands unchanged in the cluster is judged all the same.

Folders are searched through and through for .yaml, .yml and .json, in alphabetical order; folders whose name begins with a
dot, and node_modules, are left out. Templates of Helm charts are no YAML: render them first (see the examples).

What has to be known of a cluster:
  (nothing)               only what the policies show, alone and together. The report names the rules that were not
                          judged, such as pool-unroutable and pool-node-address.
  --live                  asks the cluster of your kubeconfig for nodes, gateways, policies and so on.
  --cluster-facts FILE    the same from a file that \`sallyport facts\` wrote, for places without access to the cluster.

options:
  -f, --filename FILE     a file, a folder, or - for standard input; may be repeated. Plain words do the same.
  -o, --output FORMAT     text (default), json (stable, see docs/cli.md) or sarif (2.1.0, for code scanning)
      --strict            warnings count as violations in the exit code
      --routable CIDR     a network that is routed to the gateways (network.routableCidrs of the chart); may be repeated
      --pod-cidr CIDR, --service-cidr CIDR
                          networks that the cluster does not show by itself (network.podCidrs, network.serviceCidrs)
      --pool-addresses-max N, --initial-ports N
                          where the chart's values differ from its defaults
      --kubeconfig FILE   which kubeconfig --live uses (default: KUBECONFIG, then ~/.kube/config)
      --context NAME      which of its contexts
  -h, --help              this page

exit codes:
  0  no violation; warnings do not count, unless --strict
  1  at least one policy would be refused
  2  wrong usage, a file that cannot be read or is no YAML, a cluster that does not answer: nothing was judged

examples:
  sallyport validate policy.yaml
  sallyport validate -f policies/ --live
  helm template my-chart | sallyport validate -f - --cluster-facts facts.json
  sallyport validate -f policies/ --output sarif > sallyport.sarif
  kubectl get egresspolicies -o yaml | sallyport validate -f -
`;

export const HELP_FACTS = `sallyport facts: write down what policies of a cluster are judged against

usage: sallyport facts [options] > FILE

Reads a live cluster and prints one JSON document, a Kubernetes List of Lists: nodes, GatewayNodes, policies of both kinds and
what else the rules look at. \`sallyport validate --cluster-facts FILE\` judges by it where there is no access to the
cluster, as in CI. Only the fields that rules need are written, and of annotations only those of sallyport.dev; no Secret is
read. Collections that your credentials may not read are named on standard error and left out: rules that need them are
then not judged, and reports say so.

The file grows old: write it anew when nodes or networks change.

options:
      --kubeconfig FILE   which kubeconfig (default: KUBECONFIG, then ~/.kube/config)
      --context NAME      which of its contexts
  -h, --help              this page

exit codes:
  0  the facts were written
  2  wrong usage, or a cluster that does not answer or refuses

examples:
  sallyport facts > facts.json
  sallyport facts --context production > facts.json
  sallyport validate -f policies/ --cluster-facts facts.json
`;
