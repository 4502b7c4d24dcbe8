{{/* What every program is told. A fieldRef is one field to the API server: with its default written out, a second manager has the same. */}}
{{- define "sallyport.env" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { apiVersion: v1, fieldPath: metadata.name } }
- name: SALLYPORT_NAMESPACE
  valueFrom: { fieldRef: { apiVersion: v1, fieldPath: metadata.namespace } }
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end -}}

{{/* The time relations that agents and controller must have alike. */}}
{{- define "sallyport.durations" -}}
- name: HEARTBEAT_MILLISECONDS
  value: {{ .Values.failover.heartbeatMilliseconds | quote }}
- name: SESSION_MILLISECONDS
  value: {{ .Values.failover.sessionMilliseconds | quote }}
{{- end -}}

{{/* The Deployments pass the restricted pod security standard. */}}
{{- define "sallyport.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "sallyport.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Replicas apart from one another where that is possible: by node first, by zone as well. */}}
{{- define "sallyport.spread" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "sallyport.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* Fields that users set for each program. Argument: the program's values. */}}
{{- define "sallyport.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .nodeSelector }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
