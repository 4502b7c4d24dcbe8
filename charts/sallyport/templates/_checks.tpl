{{/* What the schema cannot say: how values relate. All that is wrong is told at once, before anything is changed. */}}
{{- define "sallyport.checks" -}}
{{- $problems := concat
  (fromJsonArray (include "sallyport.durationProblems" .))
  (fromJsonArray (include "sallyport.networkProblems" .))
  (fromJsonArray (include "sallyport.probeProblems" .))
  (fromJsonArray (include "sallyport.clientProblems" .)) -}}
{{- if $problems -}}
{{- fail (printf "these values cannot work:\n- %s" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.durationProblems" -}}
{{- $problems := list -}}
{{- with .Values.failover -}}
{{- $least := mul 4 .heartbeatMilliseconds -}}
{{- if lt (int64 .sessionMilliseconds) $least -}}
{{- $problems = append $problems (printf "failover.sessionMilliseconds is %d, less than four heartbeats of %d ms: one lost and one late heartbeat would silence a healthy gateway; set it to at least %d" (int .sessionMilliseconds) (int .heartbeatMilliseconds) $least) -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "sallyport.networkProblems" -}}
{{- $problems := list -}}
{{- with .Values.network -}}
{{- if eq (int .tunnelPort) (int .peerPort) -}}
{{- $problems = append $problems (printf "network.tunnelPort and network.peerPort are both UDP port %d of every node; give each a port of its own" (int .tunnelPort)) -}}
{{- end -}}
{{- range $field := list "podCidrs" "serviceCidrs" -}}
{{- range $cidr := index $.Values.network $field -}}
{{- if has $cidr $.Values.network.routableCidrs -}}
{{- $problems = append $problems (printf "%s is in network.routableCidrs, where pools may lie, and in network.%s, where they may not; take it out of one" $cidr $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* On the host's network, like the agents: kubelet and kube-proxy. */ -}}
{{- $taken := dict "10248" "the kubelet" "10249" "kube-proxy" "10250" "the kubelet" "10256" "kube-proxy" -}}
{{- $port := int .Values.agent.metricsPort -}}
{{- with get $taken (toString $port) -}}
{{- $problems = append $problems (printf "agent.metricsPort is %d, which %s has on every node; choose another" $port .) -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "sallyport.probeProblems" -}}
{{- $problems := list -}}
{{- $names := list -}}
{{- range .Values.agent.healthProbes -}}
{{- if has .name $names -}}
{{- $problems = append $problems (printf "agent.healthProbes has two named %s; give each a name of its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $timeout := .timeoutSeconds | default 2 | int -}}
{{- $interval := .intervalSeconds | default 5 | int -}}
{{- if gt $timeout $interval -}}
{{- $problems = append $problems (printf "the health probe %s has a timeout of %d s, longer than its interval of %d s; make it at most as long" .name $timeout $interval) -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "sallyport.clientProblems" -}}
{{- $problems := list -}}
{{- with .Values.webhook.clientCertificates -}}
{{- if and .names (not .configMap) -}}
{{- $problems = append $problems "webhook.clientCertificates.names is set without a configMap, so nobody would be asked for a certificate; name the ConfigMap with the authority's, or take the names out" -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
