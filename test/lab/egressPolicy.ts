/** A policy as a user writes it: the pods whose label `app` is its name, everywhere. */
export function egressPolicy(
  name: string,
  ippools: readonly object[],
  spec: object = {},
  gateway: object = {},
) {
  return {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: { name },
    spec: {
      selectors: [{ matchLabels: { app: name } }],
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { ippools, ...gateway },
      ...spec,
    },
  };
}
