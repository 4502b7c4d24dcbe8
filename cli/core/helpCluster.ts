/** The pages of the commands that look at a cluster or ask something of it. */

export const CLUSTER_OPTIONS = `      --kubeconfig FILE   which kubeconfig (default: KUBECONFIG, then ~/.kube/config)
      --context NAME      which of its contexts
  -h, --help              this page`;

export const WAIT_OPTIONS = `      --wait              stay until it is done, and say what happens on the way
      --timeout TIME      how long to stay at the most, such as 90s or 10m (default 5m); needs --wait`;

const ACT_EXIT_CODES = `exit codes:
  0  done; without --wait: asked for
  1  with --wait: not done in time. It stays asked for.
  2  wrong usage, or a cluster that does not answer or refuses`;

export const HELP_STATUS = `sallyport status: which egress IP, where, healthy, who is next, and which gateway leaves

usage: sallyport status [options]

Prints three tables, from what the controller and the agents themselves say in the cluster:

  EGRESS IP   who answers for the address (GATEWAY), whether that gateway reports to be healthy, who would take over in which
              order (STANDBYS), the phase (Announced: answered for as assigned; Moving; Pending; Unplaced: nowhere), since
              when, for which policies, and why.
  GATEWAY     how many egress IPs it holds and can hold, whether its data plane is ready, whether it is healthy, and why it
              gives up what it holds: drained, cordoned, tainted, unhealthy, not-allowed (its label is gone).
  POLICY      its conditions Accepted, Programmed and Available, how many pods it selects, and what is amiss.

options:
  -o, --output FORMAT     text (default) or json (stable, see docs/cli.md)
${CLUSTER_OPTIONS}

exit codes:
  0  the status was read, whatever it says
  2  wrong usage, or a cluster that does not answer or refuses

examples:
  kubectl sallyport status
  sallyport status -o json | jq -r '.egressIps[] | select(.gateway == "") | .address'
`;

export const HELP_DRAIN = `sallyport drain: let a gateway hand over its egress IPs

usage: sallyport drain NODE [--wait] [--timeout TIME] [options]

Sets the annotation sallyport.dev/drain=true on the node. Its egress IPs go to other gateways, one gateway after another where
several leave, and no connection breaks by it. Pods stay on the node, and new ones may come: \`kubectl drain\` is for those, and
a cordoned node hands its egress IPs over as well. The annotation stays until \`sallyport undrain NODE\`.

With --wait each address is told as it leaves. The node is empty when no address names it as its holder, is answered by
it, or waits for it to let go. Where it stays full, the reason of each address is told: mostly no better gateway has room.

options:
${WAIT_OPTIONS}
${CLUSTER_OPTIONS}

${ACT_EXIT_CODES}

needs the permission to get and patch nodes, and to list and watch egressips.sallyport.dev

examples:
  kubectl sallyport drain gw-1
  sallyport drain gw-1 --wait --timeout 2m && reboot-it gw-1
`;

export const HELP_UNDRAIN = `sallyport undrain: let a gateway hold egress IPs again

usage: sallyport undrain NODE [options]

Takes the annotation sallyport.dev/drain off the node. What it had handed over stays where it is, unless a policy says
returnPolicy: Return, or \`sallyport rebalance\` asks for an even spread. A node that is cordoned as well holds nothing
until \`kubectl uncordon NODE\`; that is said.

options:
${CLUSTER_OPTIONS}

exit codes:
  0  done, also where it was not drained
  2  wrong usage, or a cluster that does not answer or refuses

needs the permission to get and patch nodes

examples:
  kubectl sallyport undrain gw-1
`;

export const HELP_REBALANCE = `sallyport rebalance: spread a policy's addresses evenly over the gateways that there are now

usage: sallyport rebalance POLICY [--wait] [--timeout TIME] [options]

Gives the policy's annotation sallyport.dev/rebalance a new value, the time. The controller moves addresses of the policy from
the fullest gateway to the emptiest until no move would make the two more even. Moves are planned ones and lose nothing;
there are at most 30 a minute, and none in the first minute of a new controller.

POLICY is a name, or egresspolicy/NAME or cegp/NAME where both kinds have a policy of that name.

options:
${WAIT_OPTIONS}
${CLUSTER_OPTIONS}

${ACT_EXIT_CODES}

needs the permission to get and patch the policy; with --wait also to list and watch its kind

examples:
  kubectl sallyport rebalance egress-gateway-policy
  sallyport rebalance cegp/egress-gateway-policy --wait
`;

export const HELP_ROTATE_PEER_KEY = `sallyport rotate-peer-key: change the key that agents prove themselves to each other with

usage: sallyport rotate-peer-key [-n NAMESPACE] [options]

Sets the annotation sallyport.dev/rotate on the Secret sallyport-peer-key. The controller adds a new key, lets the agents
accept it, then sign with it, and removes the old one; no packet is lost by that. Where all agents follow, the old key is
worth nothing after about two minutes. It is changed every week anyway: this is for a key that somebody has seen.

The key itself is not shown. docs/operations.md says what to do where the change does not go on.

options:
  -n, --namespace NAME    where Sallyport runs (default: where its ConfigMap sallyport-voters is)
${CLUSTER_OPTIONS}

exit codes:
  0  asked for
  2  wrong usage, or a cluster that does not answer or refuses

needs the permission to patch that Secret; without --namespace also to list ConfigMaps in all namespaces

examples:
  kubectl sallyport rotate-peer-key
  sallyport rotate-peer-key -n sallyport-system --context production
`;
