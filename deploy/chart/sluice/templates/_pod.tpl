{{/* The pod of a gateway or of a flusher: (dict "root" . "component" "gateway"). */}}

{{/* A probe without its switch. */}}
{{- define "sluice.probe" -}}
{{ toYaml (omit . "enabled") }}
{{- end }}

{{- define "sluice.podMeta" -}}
{{- $root := .root -}}
annotations:
  {{- if and $root.Values.metrics.enabled (not (include "sluice.monitor" $root | fromJson).enabled) }}
  prometheus.io/scrape: "true"
  prometheus.io/port: "5001"
  prometheus.io/path: {{ $root.Values.metrics.path | quote }}
  {{- end }}
  checksum/secret: {{ include (print $root.Template.BasePath "/secret.yaml") $root | sha256sum }}
  {{- with $root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "sluice.labels" . | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What all pods of the chart say about where they run. */}}
{{- define "sluice.podPlace" -}}
{{- $v := .root.Values -}}
serviceAccountName: {{ include "sluice.serviceAccountName" .root }}
automountServiceAccountToken: {{ $v.serviceAccount.automountServiceAccountToken }}
{{- with concat $v.imagePullSecrets $v.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml $v.podSecurityContext | nindent 2 }}
{{- with $v.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "sluice.spread" -}}
topologySpreadConstraints:
{{- with .root.Values.topologySpreadConstraints }}
{{ toYaml . | indent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "sluice.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{- define "sluice.mounts" -}}
{{- $v := .root.Values -}}
- {name: data, mountPath: /var/lib/sluice}
- {name: tmp, mountPath: /tmp}
{{- if eq .component "gateway" }}
{{- if $v.tls.enabled }}
- {name: tls, mountPath: /etc/sluice/tls, readOnly: true}
{{- end }}
{{- if (include "sluice.auth" .root | fromJson).enabled }}
- {name: auth, mountPath: /etc/sluice/auth, readOnly: true}
{{- end }}
{{- if $v.auth.htpasswd.existingSecret }}
- {name: htpasswd, mountPath: /etc/sluice/htpasswd, readOnly: true}
{{- end }}
{{- if include "sluice.s3Ca" .root }}
- {name: s3-ca, mountPath: /etc/sluice/s3, readOnly: true}
{{- end }}
{{- if $v.storage.enabled }}
- {name: artifacts, mountPath: {{ $v.storage.mountPath }}}
{{- end }}
{{- end }}
{{- with $v.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sluice.volumes" -}}
{{- $v := .root.Values -}}
{{- $auth := include "sluice.auth" .root | fromJson -}}
- name: tmp
  emptyDir: {}
{{- if not (and (include "sluice.keeps" .root) (eq .component "gateway")) }}
- name: data
  emptyDir: {}
{{- end }}
{{- if eq .component "gateway" }}
{{- if $v.tls.enabled }}
- name: tls
  secret: {secretName: {{ $v.tls.secretName | quote }}}
{{- end }}
{{- if $auth.enabled }}
- name: auth
  secret:
    secretName: {{ $auth.existingSecret | default (printf "%s-auth" (include "sluice.fullname" .root)) }}
    items: [{key: basic_auth.ini, path: basic_auth.ini}]
{{- end }}
{{- with $v.auth.htpasswd.existingSecret }}
- name: htpasswd
  secret: {secretName: {{ . | quote }}, items: [{key: auth, path: auth}]}
{{- end }}
{{- with include "sluice.s3Ca" .root }}
- name: s3-ca
  secret: {secretName: {{ . | quote }}, items: [{key: ca-bundle.crt, path: ca-bundle.crt}]}
{{- end }}
{{- if $v.storage.enabled }}
- name: artifacts
  persistentVolumeClaim: {claimName: {{ include "sluice.fullname" .root }}-artifacts}
{{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sluice.container" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $gateway := eq .component "gateway" -}}
- name: sluice
  image: {{ include "sluice.image" $root | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  args: [serve]
  env: {{- include "sluice.env" . | nindent 4 }}
  {{- with include "sluice.envFrom" $root | trim }}
  envFrom: {{- . | nindent 4 }}
  {{- end }}
  ports:
    {{- if $gateway }}
    - {name: {{ ternary "https" "http" $v.tls.enabled }}, containerPort: {{ include "sluice.port" $root }}}
    {{- end }}
    - {name: admin, containerPort: 5001}
  {{- if $v.probes.startup.enabled }}
  startupProbe:
    httpGet: {path: /livez, port: admin}
    {{- include "sluice.probe" $v.probes.startup | nindent 4 }}
  {{- end }}
  {{- if $v.probes.liveness.enabled }}
  livenessProbe:
    httpGet: {path: /livez, port: admin}
    {{- include "sluice.probe" $v.probes.liveness | nindent 4 }}
  {{- end }}
  {{- if $v.probes.readiness.enabled }}
  readinessProbe:
    httpGet: {path: /readyz, port: admin}
    {{- include "sluice.probe" $v.probes.readiness | nindent 4 }}
  {{- end }}
  resources: {{- toYaml (ternary $v.resources ($v.flushers.resources | default $v.resources) $gateway) | nindent 4 }}
  securityContext: {{- toYaml $v.securityContext | nindent 4 }}
  volumeMounts: {{- include "sluice.mounts" . | nindent 4 }}
{{- end }}

{{- define "sluice.upstreamContainer" -}}
{{- $v := .Values -}}
- name: mlflow
  image: {{ include "sluice.upstreamImage" . | quote }}
  imagePullPolicy: {{ $v.upstream.image.pullPolicy }}
  command: [mlflow, server]
  # Host names and CORS were judged by the gateway; it is called by nobody else.
  args:
    - --host={{ ternary "127.0.0.1" "0.0.0.0" (eq $v.upstream.kind "sidecar") }}
    - --port={{ ternary "5099" "5000" (eq $v.upstream.kind "sidecar") }}
    - --allowed-hosts=*
    {{- with include "sluice.artifactsDestination" . }}
    - --artifacts-destination={{ . }}
    {{- end }}
    {{- with include "sluice.artifactRoot" . }}
    - --default-artifact-root={{ . }}
    {{- end }}
    {{- with include "sluice.staticPrefix" . }}
    - --static-prefix={{ . }}
    {{- end }}
    {{- with include "sluice.registryUri" . }}
    - --registry-store-uri={{ . }}
    {{- end }}
    {{- with include "sluice.mode" . }}
    {{- if ne . "serve-artifacts" }}
    - --{{ . }}
    {{- end }}
    {{- end }}
    {{- range compact (splitList "\x00" (include "sluice.upstreamOptions" .)) }}
    - {{ . | quote }}
    {{- end }}
    {{- range $v.upstream.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    {{- with include "sluice.storeEnv" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "sluice.keyEnv" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with concat $v.env $v.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "sluice.envFrom" . | trim }}
  envFrom: {{- . | nindent 4 }}
  {{- end }}
  ports:
    - {name: upstream, containerPort: {{ ternary 5099 5000 (eq $v.upstream.kind "sidecar") }}}
  {{- if ne $v.upstream.kind "sidecar" }}
  readinessProbe:
    httpGet: {path: {{ include "sluice.staticPrefix" . }}/health, port: upstream}
    periodSeconds: 10
  {{- else if include "sluice.passThrough" . }}
  # Nothing is answered without it, and it listens where a kubelet cannot ask.
  readinessProbe:
    exec:
      command:
        - python
        - -c
        - import urllib.request; urllib.request.urlopen("http://127.0.0.1:5099{{ include "sluice.staticPrefix" . }}/health", timeout=4)
    periodSeconds: 5
    timeoutSeconds: 5
  {{- end }}
  resources: {{- toYaml $v.upstream.resources | nindent 4 }}
  securityContext: {{- toYaml $v.securityContext | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- if $v.storage.enabled }}
    - {name: artifacts, mountPath: {{ $v.storage.mountPath }}}
    {{- end }}
    {{- with $v.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "sluice.podSpec" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- include "sluice.podPlace" . }}
{{ include "sluice.spread" . }}
terminationGracePeriodSeconds: {{ add $v.drainDelaySeconds $v.drainTimeoutSeconds 15 }}
{{- with $v.extraInitContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  {{- include "sluice.container" . | nindent 2 }}
  {{- if and (eq .component "gateway") $v.upstream.enabled (eq $v.upstream.kind "sidecar") (not $v.upstream.url) }}
  {{- include "sluice.upstreamContainer" $root | nindent 2 }}
  {{- end }}
  {{- with $v.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes: {{- include "sluice.volumes" . | nindent 2 }}
{{- end }}
