{{/* What cannot work is said here, before anything is installed. */}}
{{- define "sluice.validate" -}}
{{- $auth := include "sluice.auth" . | fromJson -}}
{{- if and $auth.enabled (not $auth.existingSecret) -}}
{{- if lt (len $auth.adminPassword) 12 -}}
{{- fail "auth.adminPassword must have at least 12 characters: MLflow 3.17.2 refuses to start with a shorter one" -}}
{{- end -}}
{{- if eq $auth.adminPassword "password1234" -}}
{{- fail "auth.adminPassword is MLflow's documented default, password1234: choose another" -}}
{{- end -}}
{{- if and (hasPrefix "sqlite" $auth.databaseUri) (not (include "sluice.passThrough" .)) -}}
{{- fail "auth.databaseUri must be PostgreSQL: every pod would have a database of its own" -}}
{{- end -}}
{{- end -}}
{{- if and (include "sluice.passThrough" .) (not (include "sluice.hasUpstream" .)) -}}
{{- fail "the backend store is not PostgreSQL: all requests go to a stock server, so upstream.enabled or upstream.url is needed" -}}
{{- end -}}
{{- if and (eq .Values.queue.mode "kafka") (not .Values.queue.kafka.brokers) -}}
{{- fail "queue.mode kafka needs queue.kafka.brokers" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling and keda would both scale the same pods: enable one of them" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.prometheusAddress) -}}
{{- fail "keda needs keda.prometheusAddress" -}}
{{- end -}}
{{- if and .Values.tls.enabled (not .Values.tls.secretName) -}}
{{- fail "tls.enabled needs tls.secretName" -}}
{{- end -}}
{{- if and (or (include "sluice.registryUri" .) .Values.mlflow.registryStoreUriFrom) (not (include "sluice.passThrough" .)) -}}
{{- fail "mlflow.registryStoreUri: Sluice keeps the registry in the backend store's database; leave it out, or say the same as backendStoreUri" -}}
{{- end -}}
{{- range $kind := list "oss" "gcp" "azure" -}}
{{- if and (get $.Values.artifactStore $kind).enabled (not (include "sluice.hasUpstream" $)) -}}
{{- fail (printf "artifactStore.%s is for a stock server: upstream.enabled or upstream.url is needed" $kind) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.storage.enabled (eq .Values.storage.accessMode "ReadWriteOnce") (or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled .Values.keda.enabled) -}}
{{- fail "storage.accessMode ReadWriteOnce: a second pod could not mount the volume; one replica, or ReadWriteMany" -}}
{{- end -}}
{{- if and .Values.postgresql.enabled (include "sluice.storeUri" .) -}}
{{- fail "postgresql.enabled brings a database, and mlflow.backendStoreUri names another: choose one" -}}
{{- end -}}
{{- if and .Values.postgresql.enabled (or .Values.migrations.enabled .Values.backendStore.databaseUpgrade) -}}
{{- fail "migrations run before anything of the chart is there, postgresql.enabled's database too; an empty one gets its schema from Sluice" -}}
{{- end -}}
{{- if and .Values.upstream.enabled (not .Values.upstream.url) (not (include "sluice.hasStore" .)) -}}
{{- fail "the upstream needs mlflow.backendStoreUri or mlflow.backendStoreUriFrom" -}}
{{- end -}}
{{- if not (include "sluice.hasStore" .) -}}
{{- fail "no database: set mlflow.backendStoreUri, mlflow.backendStoreUriFrom, backendStore.existingSecret, or SLUICE_PG_URI in env, envFrom or externalSecrets" -}}
{{- end -}}
{{- end }}

{{/* Somebody says where the database is; envFrom and External Secrets are taken on trust. */}}
{{- define "sluice.hasStore" -}}
{{- $named := false -}}
{{- range concat .Values.env .Values.extraEnv -}}
{{- if has .name (list "SLUICE_PG_URI" "SLUICE_PG_URI_FILE" "MLFLOW_BACKEND_STORE_URI") }}{{ $named = true }}{{ end -}}
{{- end -}}
{{- if or $named (include "sluice.storeUri" .) .Values.postgresql.enabled .Values.mlflow.backendStoreUriFrom .Values.backendStore.existingSecret .Values.envFrom .Values.extraEnvFrom .Values.externalSecrets.enabled .Values.settings.pg_uri_file -}}true{{- end -}}
{{- end }}
