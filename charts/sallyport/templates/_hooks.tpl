{{/* Argument: the order, as text. Gone when all went well; what failed stays to be looked at, until the next try. */}}
{{- define "sallyport.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The selector as one text. */}}
{{- define "sallyport.selectorText" -}}
app.kubernetes.io/name=sallyport,app.kubernetes.io/instance={{ .root.Release.Name }},app.kubernetes.io/component={{ .component }}
{{- end -}}
