/** What the chart's README says before its values. */
export const CHART_README_HEADER = `<!-- Made by scripts/renderChartReadme.ts from values.yaml; do not edit by hand. -->

# Sallyport's chart

Installs an egress gateway: a webhook that refuses policies that cannot work, a controller that places egress IPs, and an agent on
every node that carries the traffic. Needs Kubernetes 1.31 and helm 3 or 4.

    helm install sallyport charts/sallyport -n sallyport-system --create-namespace --wait
    kubectl label node NODE sallyport.dev/gateway=true
    helm test sallyport -n sallyport-system

Install, upgrade, rollback and uninstall, and what each does to traffic: docs/operations.md. The CRDs come with the chart, are
changed by an upgrade, and stay when the release is uninstalled.

What cannot work is refused before anything is changed: each value by \`values.schema.json\`, and how they relate by
\`templates/_checks.tpl\`. Rendering needs no cluster and is the same each time; where there is one, Cilium's own CRD of the name
\`ciliumegressgatewaypolicies.cilium.io\` is looked for and left alone.`;
