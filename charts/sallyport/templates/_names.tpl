{{- define "sallyport.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* Argument: dict "root" $ "component" "webhook" */}}
{{- define "sallyport.name" -}}
{{- printf "%s-%s" (include "sallyport.fullname" .root) .component -}}
{{- end -}}

{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "sallyport.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" where this release installs the cilium.io kind: wanted, and no CRD of that name is there that is not Sallyport's. */}}
{{- define "sallyport.installsCiliumKind" -}}
{{- if and .Values.crds.install .Values.crds.ciliumEgressGatewayPolicy -}}
{{- $there := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "ciliumegressgatewaypolicies.cilium.io" -}}
{{- if or (not $there) (eq "sallyport" (dig "metadata" "labels" "app.kubernetes.io/name" "" $there)) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}
