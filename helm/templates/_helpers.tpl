{{/* Names and labels. */}}

{{- define "seqrec.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "seqrec.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "seqrec.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "seqrec.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "seqrec.selector" -}}
app.kubernetes.io/name: {{ include "seqrec.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "seqrec.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "seqrec.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "seqrec.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "seqrec.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "seqrec.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "seqrec.modelsClaim" -}}
{{- default (printf "%s-models" (include "seqrec.fullname" .)) .Values.models.existingClaim -}}
{{- end -}}

{{/* Questions: "true" or nothing. */}}

{{- define "seqrec.embedded" -}}
{{- if not .Values.redis.addresses }}true{{ end -}}
{{- end -}}

{{- define "seqrec.separateIngest" -}}
{{- if and .Values.kafka.brokers .Values.ingest.separate }}true{{ end -}}
{{- end -}}

{{- define "seqrec.hasKeys" -}}
{{- if or .Values.auth.keys .Values.auth.existingSecret }}true{{ end -}}
{{- end -}}

{{/* All pods share one node when they share a volume that only one node may write. */}}
{{- define "seqrec.oneNode" -}}
{{- if and (not .Values.models.url) (eq .Values.models.accessMode "ReadWriteOnce") }}true{{ end -}}
{{- end -}}

{{/* The Secrets that hold a password: "" when there is none. */}}

{{- define "seqrec.redisSecret" -}}
{{- if .Values.redis.existingSecret -}}
{{- .Values.redis.existingSecret -}}
{{- else if .Values.redis.password -}}
{{- include "seqrec.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "seqrec.kafkaSecret" -}}
{{- if .Values.kafka.existingSecret -}}
{{- .Values.kafka.existingSecret -}}
{{- else if .Values.kafka.saslPassword -}}
{{- include "seqrec.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* Combinations that no schema of single values can refuse. */}}
{{- define "seqrec.check" -}}
{{- if and (include "seqrec.embedded" .) (gt (int .Values.replicas) 1) }}
{{- fail "replicas: more than one server needs redis.addresses: an embedded store has one owner" }}
{{- end }}
{{- if and (include "seqrec.embedded" .) .Values.autoscaling.enabled }}
{{- fail "autoscaling.enabled: needs redis.addresses: an embedded store has one owner" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas: must not be above autoscaling.maxReplicas" }}
{{- end }}
{{- if and .Values.ingest.separate (not .Values.kafka.brokers) }}
{{- fail "ingest.separate: needs kafka.brokers" }}
{{- end }}
{{- if and .Values.ingest.separate (include "seqrec.embedded" .) }}
{{- fail "ingest.separate: needs redis.addresses: an embedded store has one owner" }}
{{- end }}
{{- if and .Values.keda.enabled (not (include "seqrec.separateIngest" .)) }}
{{- fail "keda.enabled: needs ingest.separate: only ingesters are scaled on lag" }}
{{- end }}
{{- if and .Values.redis.cluster .Values.redis.masterName }}
{{- fail "redis.cluster: must not be set together with redis.masterName" }}
{{- end }}
{{- if and .Values.admin.expose (not (include "seqrec.hasKeys" .)) }}
{{- fail "admin.expose: needs auth.keys or auth.existingSecret with a key of scope admin" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts: an Ingress needs a host" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs: an HTTPRoute needs a Gateway" }}
{{- end }}
{{- end -}}
