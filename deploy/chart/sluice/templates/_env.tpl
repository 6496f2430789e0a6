{{/* The variables of a pod. (dict "root" . "component" "gateway"). Kubernetes takes the last of two with one name, so what a
     user sets comes behind what the chart knows, and settings behind all. */}}

{{- define "sluice.plainEnv" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $flusher := eq .component "flusher" -}}
{{- $collects := eq .component "gc" -}}
{{- $env := dict -}}
{{- $_ := set $env "SLUICE_LOG_FORMAT" "json" -}}
{{- if not $collects -}}
{{- $_ := set $env "SLUICE_LISTEN" (ternary "none" (printf "%s:%s" (include "sluice.said" (list $root "host") | default $v.trackingServer.host | default "0.0.0.0") (include "sluice.port" $root)) $flusher) -}}
{{- $_ := set $env "SLUICE_ADMIN_LISTEN" "0.0.0.0:5001" -}}
{{- $_ := set $env "SLUICE_DATA_DIR" "/var/lib/sluice" -}}
{{- $_ := set $env "SLUICE_DRAIN_DELAY" (ternary "0s" (printf "%ds" (int $v.drainDelaySeconds)) $flusher) -}}
{{- $_ := set $env "SLUICE_DRAIN_TIMEOUT" (printf "%ds" (int $v.drainTimeoutSeconds)) -}}
{{- $_ := set $env "SLUICE_QUEUE" $v.queue.mode -}}
{{- if eq $v.queue.mode "kafka" -}}
{{- $_ := set $env "SLUICE_KAFKA_BROKERS" $v.queue.kafka.brokers -}}
{{- $_ := set $env "SLUICE_KAFKA_TOPIC" $v.queue.kafka.topic -}}
{{- $_ := set $env "SLUICE_FLUSHERS" (ternary (toString $v.flushers.threads) "0" $flusher) -}}
{{- range $name, $value := $v.queue.kafka.properties -}}
{{- $_ := set $env (printf "SLUICE_KAFKA_%s" ($name | upper | replace "." "_")) (toString $value) -}}
{{- end -}}
{{- end -}}
{{- with $v.redis.uri }}{{ $_ := set $env "SLUICE_REDIS_URI" . }}{{ end -}}
{{- end -}}
{{- if not $flusher -}}
{{- with include "sluice.artifactsDestination" $root }}{{ $_ := set $env "SLUICE_ARTIFACTS_DESTINATION" . }}{{ end -}}
{{- with include "sluice.artifactRoot" $root }}{{ $_ := set $env "SLUICE_DEFAULT_ARTIFACT_ROOT" . }}{{ end -}}
{{- with include "sluice.s3Ca" $root }}{{ $_ := set $env "AWS_CA_BUNDLE" "/etc/sluice/s3/ca-bundle.crt" }}{{ end -}}
{{- end -}}
{{- if not (or $flusher $collects) -}}
{{- with include "sluice.workers" $root }}{{ $_ := set $env "SLUICE_WORKERS" . }}{{ end -}}
{{- with include "sluice.staticPrefix" $root }}{{ $_ := set $env "SLUICE_STATIC_PREFIX" . }}{{ end -}}
{{- $mode := include "sluice.mode" $root -}}
{{- if eq $mode "no-serve-artifacts" }}{{ $_ := set $env "SLUICE_SERVE_ARTIFACTS" "false" }}{{ end -}}
{{- if eq $mode "artifacts-only" }}{{ $_ := set $env "SLUICE_ARTIFACTS_ONLY" "true" }}{{ end -}}
{{- $_ := set $env "SLUICE_ALLOWED_HOSTS" (include "sluice.allowedHosts" $root) -}}
{{- range $name := list "cors_allowed_origins" "x_frame_options" -}}
{{- with include "sluice.said" (list $root $name) }}{{ $_ := set $env (printf "SLUICE_%s" (upper $name)) . }}{{ end -}}
{{- end -}}
{{- range $flag := list "disable_security_middleware" "enable_workspaces" -}}
{{- with include "sluice.flag" (list $root $flag) }}{{ $_ := set $env (printf "SLUICE_%s" (upper $flag)) . }}{{ end -}}
{{- end -}}
{{- if $v.tls.enabled -}}
{{- $_ := set $env "SLUICE_TLS_CERT" "/etc/sluice/tls/tls.crt" -}}
{{- $_ := set $env "SLUICE_TLS_KEY" "/etc/sluice/tls/tls.key" -}}
{{- end -}}
{{- $auth := include "sluice.auth" $root | fromJson -}}
{{- if $auth.enabled -}}
{{- $_ := set $env "SLUICE_AUTH" "basic" -}}
{{- $_ := set $env "SLUICE_AUTH_CONFIG" "/etc/sluice/auth/basic_auth.ini" -}}
{{- end -}}
{{- if $v.auth.htpasswd.existingSecret }}{{ $_ := set $env "SLUICE_AUTH_HTPASSWD" "/etc/sluice/htpasswd/auth" }}{{ end -}}
{{- with $v.trustedProxies }}{{ $_ := set $env "SLUICE_TRUSTED_PROXIES" (join "," .) }}{{ end -}}
{{- with include "sluice.hasUpstream" $root }}{{ $_ := set $env "SLUICE_UPSTREAM" (include "sluice.upstreamUrl" $root) }}{{ end -}}
{{- end -}}
{{- range $name, $value := $v.settings -}}
{{- $_ := set $env (printf "SLUICE_%s" (upper $name)) (toString $value) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end }}

{{/* Where the database is, for every container that asks it. */}}
{{- define "sluice.storeEnv" -}}
{{- $v := .Values -}}
{{- with $v.mlflow.backendStoreUriFrom }}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom: {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $v.backendStore.existingSecret }}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: MLFLOW_BACKEND_STORE_URI}
{{- end }}
{{- if .Values.postgresql.enabled }}
{{- range $key := list "POSTGRES_USER" "POSTGRES_PASSWORD" "POSTGRES_DB" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef: {name: {{ include "sluice.postgresSecret" $ }}, key: {{ $key }}}
{{- end }}
- name: MLFLOW_BACKEND_STORE_URI
  value: postgresql://$(POSTGRES_USER):$(POSTGRES_PASSWORD)@{{ include "sluice.fullname" . }}-postgres:5432/$(POSTGRES_DB)
{{- end }}
{{- if include "sluice.storeUri" . }}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom:
    secretKeyRef: {name: {{ include "sluice.fullname" . }}, key: MLFLOW_BACKEND_STORE_URI}
{{- end }}
{{- end }}

{{/* MLflow's servers with users do not start without a key that all of them share: made, unless the user names one in env. */}}
{{- define "sluice.makesKey" -}}
{{- $named := false -}}
{{- range concat .Values.env .Values.extraEnv }}{{ if eq .name "MLFLOW_FLASK_SERVER_SECRET_KEY" }}{{ $named = true }}{{ end }}{{ end -}}
{{- if and (include "sluice.auth" . | fromJson).enabled (not $named) -}}true{{- end -}}
{{- end }}

{{- define "sluice.keyEnv" -}}
{{- if include "sluice.makesKey" . }}
- name: MLFLOW_FLASK_SERVER_SECRET_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "sluice.fullname" . }}-key, key: secret-key}
{{- end }}
{{- end }}

{{- define "sluice.env" -}}
{{- $plain := include "sluice.plainEnv" . | fromYaml -}}
{{- with include "sluice.storeEnv" .root }}{{ . | trim }}{{ end }}
{{- if eq .component "gateway" }}{{ include "sluice.keyEnv" .root }}{{ end }}
- name: POD_IP  # $(POD_IP) below
  valueFrom:
    fieldRef: {fieldPath: status.podIP}
{{- range $name, $value := $plain }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .root.Values.redis.uriFrom }}
- name: SLUICE_REDIS_URI
  valueFrom: {{- toYaml . | nindent 4 }}
{{- end }}
{{- with concat .root.Values.env .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sluice.envFrom" -}}
{{- $v := .Values -}}
{{- if $v.externalSecrets.enabled }}
- secretRef: {name: {{ include "sluice.fullname" . }}-external}
{{- end }}
{{- with $v.queue.kafka.existingSecret }}
- secretRef: {name: {{ . | quote }}}
{{- end }}
{{- range compact (splitList "," (include "sluice.artifactSecrets" .)) }}
- secretRef: {name: {{ . | quote }}}
{{- end }}
{{- with concat $v.envFrom $v.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}
