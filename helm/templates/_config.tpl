{{/*
The configuration file of recsvc, for the component in the dict {root, component}: what the chart
knows, laid over the value "config". A key of recsvc that moves is moved here and nowhere else.
*/}}
{{- define "seqrec.config" -}}
{{- $v := .root.Values -}}
{{- $own := dict
  "registry" (default "/var/lib/seqrec/registry" $v.models.url)
  "listen" (dict "data" ":8080" "admin" (ternary ":8081" "127.0.0.1:8081" $v.admin.expose) "probes" ":8082")
  "drain" (dict "delay" (printf "%ds" (int $v.drain.delaySeconds)) "timeout" (printf "%ds" (int $v.drain.timeoutSeconds)))
-}}
{{- if include "seqrec.embedded" .root -}}
{{- $_ := set $own "store" "/var/lib/seqrec/history" -}}
{{- else -}}
{{- $_ := set $own "redis" (fromYaml (include "seqrec.config.redis" .root)) -}}
{{- end -}}
{{- if $v.kafka.brokers -}}
{{- $_ := set $own "kafka" (fromYaml (include "seqrec.config.kafka" .root)) -}}
{{- $_ := set $own.kafka "ingest" (or (eq .component "ingest") (not $v.ingest.separate)) -}}
{{- end -}}
{{- $auth := dict -}}
{{- if include "seqrec.hasKeys" .root -}}
{{- $_ := set $auth "keys" "/etc/seqrec/keys/keys.yaml" -}}
{{- end -}}
{{- if $v.auth.origins -}}
{{- $_ := set $auth "origins" $v.auth.origins -}}
{{- end -}}
{{- if $auth -}}
{{- $_ := set $own "auth" $auth -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy $v.config) $own) -}}
{{- end -}}

{{- define "seqrec.config.redis" -}}
{{- with .Values.redis -}}
addresses: {{ toJson .addresses }}
{{- if .username }}
username: {{ .username | quote }}
{{- end }}
{{- if include "seqrec.redisSecret" $ }}
password_file: /etc/seqrec/redis/password
{{- end }}
{{- if .tls }}
tls: true
{{- end }}
{{- if .cluster }}
cluster: true
{{- end }}
{{- if .masterName }}
master_name: {{ .masterName | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "seqrec.config.kafka" -}}
{{- with .Values.kafka -}}
brokers: {{ toJson .brokers }}
topic: {{ .topic | quote }}
group: {{ .group | quote }}
{{- if .tls }}
tls: true
{{- end }}
{{- if .saslMechanism }}
sasl: {{ .saslMechanism }}
user: {{ .saslUsername | quote }}
password_file: /etc/seqrec/kafka/password
{{- end }}
{{- end -}}
{{- end -}}
