{{/* What users say in one of two dialects, as one value each. "" = not said. */}}

{{/* (list . "name"): server.value_options, else trackingServer.extraArgs. */}}
{{- define "sluice.option" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $dashed := replace "_" "-" $name -}}
{{- range $from := list $root.Values.server.value_options $root.Values.trackingServer.extraArgs -}}
{{- range $key := list $name $dashed -}}
{{- if hasKey $from $key }}{{ printf "%v\x00" (get $from $key) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sluice.said" -}}
{{- include "sluice.option" . | splitList "\x00" | first -}}
{{- end }}

{{/* (list . "flag"): "true" when server.flag_options has it, with either kind of dash. */}}
{{- define "sluice.flag" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if or (has $name $root.Values.server.flag_options) (has (replace "_" "-" $name) $root.Values.server.flag_options) -}}true{{- end -}}
{{- end }}

{{- define "sluice.port" -}}
{{- $said := include "sluice.said" (list . "port") -}}
{{- $said | default (.Values.trackingServer.port | toString | replace "<nil>" "") | default "5000" -}}
{{- end }}

{{- define "sluice.workers" -}}
{{- $said := include "sluice.said" (list . "workers") -}}
{{- $said | default (.Values.trackingServer.workers | toString | replace "<nil>" "") -}}
{{- end }}

{{- define "sluice.staticPrefix" -}}
{{- .Values.server.staticPrefix | default (include "sluice.said" (list . "static_prefix")) -}}
{{- end }}

{{- define "sluice.artifactsDestination" -}}
{{- .Values.mlflow.artifactsDestination | default .Values.trackingServer.artifactsDestination | default (include "sluice.said" (list . "artifacts_destination")) -}}
{{- end }}

{{- define "sluice.artifactRoot" -}}
{{- .Values.mlflow.defaultArtifactRoot | default .Values.trackingServer.defaultArtifactRoot | default (include "sluice.said" (list . "default_artifact_root")) -}}
{{- end }}

{{/* serve-artifacts, no-serve-artifacts or artifacts-only. */}}
{{- define "sluice.mode" -}}
{{- if include "sluice.flag" (list . "artifacts_only") -}}artifacts-only
{{- else if include "sluice.flag" (list . "no_serve_artifacts") -}}no-serve-artifacts
{{- else -}}{{ .Values.trackingServer.mode | default "serve-artifacts" }}
{{- end -}}
{{- end }}

{{/* auth.*, over it what the ACK dialect says; as JSON. */}}
{{- define "sluice.auth" -}}
{{- $auth := deepCopy .Values.auth -}}
{{- if eq (include "sluice.said" (list . "app_name")) "basic-auth" }}{{ $_ := set $auth "enabled" true }}{{ end -}}
{{- $ack := .Values.trackingServer.basicAuth -}}
{{- $said := mergeOverwrite $auth $auth.createSecret $ack ($ack.createSecret | default dict) -}}
{{- toJson $said -}}
{{- end }}

{{- define "sluice.storeUri" -}}
{{- .Values.mlflow.backendStoreUri | default .Values.backendStore.backendStoreUri | default .Values.backendStore.createSecret.backendStoreUri | default (include "sluice.said" (list . "backend_store_uri")) -}}
{{- end }}

{{/* Sluice speaks PostgreSQL; with any other store all requests go to the upstream. */}}
{{- define "sluice.passThrough" -}}
{{- $uri := include "sluice.storeUri" . -}}
{{- if and $uri (not (hasPrefix "postgres" $uri)) -}}true{{- end -}}
{{- end }}

{{/* A registry in a database of its own. */}}
{{- define "sluice.registryUri" -}}
{{- $uri := .Values.mlflow.registryStoreUri | default (include "sluice.said" (list . "registry_store_uri")) -}}
{{- if ne $uri (include "sluice.storeUri" .) }}{{ $uri }}{{ end -}}
{{- end }}

{{/* Pods that keep what they accepted: a journal is a volume of each. */}}
{{- define "sluice.keeps" -}}
{{- if and (eq .Values.queue.mode "journal") (not (include "sluice.passThrough" .)) -}}true{{- end -}}
{{- end }}

{{- define "sluice.hasUpstream" -}}
{{- if or .Values.upstream.enabled .Values.upstream.url -}}true{{- end -}}
{{- end }}

{{- define "sluice.upstreamUrl" -}}
{{- if .Values.upstream.url -}}{{ .Values.upstream.url }}
{{- else if eq .Values.upstream.kind "sidecar" -}}http://127.0.0.1:5099
{{- else -}}http://{{ include "sluice.fullname" . }}-upstream:5000
{{- end -}}
{{- end }}

{{/* Every name under which the Service is called inside the cluster, and those of Ingress and HTTPRoute; each bare and with a
     port. What the user lists is added and never takes these away: the deployers inside would get 403. */}}
{{- define "sluice.allowedHosts" -}}
{{- $root := . -}}
{{- $service := include "sluice.serviceName" . -}}
{{- $hosts := list "localhost" "127.0.0.1" "[::1]" $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.%s" $service .Release.Namespace .Values.clusterDomain) -}}
{{- range .Values.ingress.hosts }}{{ if and $root.Values.ingress.enabled .host }}{{ $hosts = append $hosts .host }}{{ end }}{{ end -}}
{{- if .Values.httproute.enabled }}{{ $hosts = concat $hosts .Values.httproute.hostnames }}{{ end -}}
{{- $all := list "$(POD_IP)" "$(POD_IP):*" -}}
{{- range uniq $hosts }}{{ $all = append $all . }}{{ $all = append $all (printf "%s:*" .) }}{{ end -}}
{{- $said := include "sluice.said" (list . "allowed_hosts") -}}
{{- if $said }}{{ $all = concat $all (splitList "," $said) }}{{ end -}}
{{- $all = concat $all .Values.allowedHosts.extra -}}
{{- if has "*" $all -}}*{{- else -}}{{ $all | uniq | join "," }}{{- end -}}
{{- end }}

{{/* serviceMonitor.*, over it what stands below metrics; as JSON. */}}
{{- define "sluice.monitor" -}}
{{- toJson (mergeOverwrite (deepCopy .Values.serviceMonitor) .Values.metrics.serviceMonitor) -}}
{{- end }}

{{/* Options that mean something to the stock server alone: they go to the upstream's command line. */}}
{{- define "sluice.upstreamOptions" -}}
{{- $ours := list "host" "port" "workers" "allowed_hosts" "cors_allowed_origins" "x_frame_options" "static_prefix" "app_name" "artifacts_destination" "default_artifact_root" "backend_store_uri" "registry_store_uri" "expose_prometheus" -}}
{{- $out := list -}}
{{- range $key, $value := merge (dict) .Values.server.value_options .Values.trackingServer.extraArgs -}}
{{- $name := replace "-" "_" $key -}}
{{- if not (has $name $ours) }}{{ $out = append $out (printf "--%s=%v" (replace "_" "-" $name) $value) }}{{ end -}}
{{- end -}}
{{- range .Values.server.flag_options -}}
{{- $name := replace "-" "_" . -}}
{{- if not (has $name (list "no_serve_artifacts" "serve_artifacts" "artifacts_only" "disable_security_middleware")) }}{{ $out = append $out (printf "--%s" (replace "_" "-" $name)) }}{{ end -}}
{{- end -}}
{{- $out | join "\x00" -}}
{{- end }}

{{/* Secrets of variables with the credentials of the stores of artifacts, comma separated. */}}
{{- define "sluice.artifactSecrets" -}}
{{- $root := . -}}
{{- $out := list -}}
{{- range $kind, $store := .Values.artifactStore -}}
{{- if and $store.enabled (or $store.existingSecret $store.createSecret) -}}
{{- $out = append $out ($store.existingSecret | default (printf "%s-%s" (include "sluice.fullname" $root) $kind)) -}}
{{- end -}}
{{- end -}}
{{- $out | join "," -}}
{{- end }}

{{- define "sluice.s3Ca" -}}
{{- with .Values.artifactStore.s3 }}{{ if .enabled }}{{ .existingCaSecret }}{{ end }}{{ end -}}
{{- end }}
