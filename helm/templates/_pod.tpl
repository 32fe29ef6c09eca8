{{/* Parts that every pod of the chart shares. */}}

{{- define "seqrec.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "seqrec.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Nine tenths of a memory limit in bytes, as GOMEMLIMIT has it; the rest is for what Go does not count. */}}
{{- define "seqrec.goMemLimit" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 -}}
{{- $quantity := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $quantity -}}
{{- $bytes := mulf (float64 (trimSuffix $unit $quantity)) (float64 (get $units $unit)) 0.9 -}}
{{- printf "%dMiB" (int64 (divf $bytes 1048576.0)) -}}
{{- end -}}

{{/* The environment of a container with the resources in the dict {root, resources}. */}}
{{- define "seqrec.env" -}}
{{- $limit := dig "limits" "memory" "" .resources -}}
{{- if $limit }}
- name: GOMEMLIMIT
  value: {{ include "seqrec.goMemLimit" $limit }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "seqrec.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Servers and ingesters run recsvc with the same mounts: the dict {root, component, resources, args}. */}}
{{- define "seqrec.recsvcPod" -}}
{{- $root := .root -}}
{{- $embedded := and (include "seqrec.embedded" $root) (eq .component "serve") -}}
metadata:
  annotations:
    checksum/config: {{ include "seqrec.config" (dict "root" $root "component" .component) | sha256sum }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "seqrec.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    seqrec/probes: "true"
    {{- with $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "seqrec.serviceAccount" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $root.Values.drain.delaySeconds $root.Values.drain.timeoutSeconds $root.Values.drain.marginSeconds }}
  securityContext:
    {{- include "seqrec.podSecurity" $root | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with include "seqrec.scheduling" $root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if eq .component "serve" }}
  {{- with $root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - labelSelector:
        matchLabels:
          {{- include "seqrec.selector" $root | nindent 10 }}
          app.kubernetes.io/component: serve
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- end }}
  containers:
    - name: recsvc
      image: {{ include "seqrec.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [/usr/bin/recsvc]
      workingDir: /var/lib/seqrec
      args: [{{ .args }}, --config, /etc/seqrec/config/recsvc.yaml]
      securityContext:
        {{- include "seqrec.containerSecurity" $root | nindent 8 }}
      env:
        {{- include "seqrec.env" . | trim | nindent 8 }}
      ports:
        {{- if eq .component "serve" }}
        - {name: data, containerPort: 8080}
        {{- if $root.Values.admin.expose }}
        - {name: admin, containerPort: 8081}
        {{- end }}
        {{- end }}
        - {name: probes, containerPort: 8082}
      startupProbe:
        httpGet: {path: /livez, port: probes}
        periodSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /readyz, port: probes}
        periodSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /livez, port: probes}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/seqrec/config, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if eq .component "serve" }}
        - {{ include "seqrec.modelsMount" (dict "root" $root "mirror" "registry-cache") }}
        {{- end }}
        {{- if $embedded }}
        - {name: history, mountPath: /var/lib/seqrec/history}
        {{- end }}
        {{- with include "seqrec.secretMounts" $root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "seqrec.fullname" $root }}-{{ .component }}
    - name: tmp
      emptyDir: {}
    {{- if eq .component "serve" }}
    {{- include "seqrec.modelsVolume" $root | nindent 4 }}
    {{- end }}
    {{- with include "seqrec.secretVolumes" $root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The models, or the folder, below the working one, in which a program mirrors the object store: the dict {root, mirror}. */}}
{{- define "seqrec.modelsMount" -}}
{name: models, mountPath: /var/lib/seqrec/{{ ternary .mirror "registry" (not (empty .root.Values.models.url)) }}}
{{- end -}}

{{- define "seqrec.modelsVolume" -}}
- name: models
{{- if .Values.models.url }}
  emptyDir: {}
{{- else }}
  persistentVolumeClaim:
    claimName: {{ include "seqrec.modelsClaim" . }}
{{- end }}
{{- end -}}

{{- define "seqrec.secretMounts" -}}
{{- if include "seqrec.hasKeys" . }}
- {name: keys, mountPath: /etc/seqrec/keys, readOnly: true}
{{- end }}
{{- if and .Values.redis.addresses (include "seqrec.redisSecret" .) }}
- {name: redis, mountPath: /etc/seqrec/redis, readOnly: true}
{{- end }}
{{- if and .Values.kafka.brokers .Values.kafka.saslMechanism }}
- {name: kafka, mountPath: /etc/seqrec/kafka, readOnly: true}
{{- end }}
{{- end -}}

{{- define "seqrec.secretVolumes" -}}
{{- if include "seqrec.hasKeys" . }}
- name: keys
  secret:
    secretName: {{ default (include "seqrec.fullname" .) .Values.auth.existingSecret }}
    items:
      - {key: {{ .Values.auth.existingSecret | empty | not | ternary .Values.auth.keysKey "keys.yaml" }}, path: keys.yaml}
{{- end }}
{{- if and .Values.redis.addresses (include "seqrec.redisSecret" .) }}
- name: redis
  secret:
    secretName: {{ include "seqrec.redisSecret" . }}
    items:
      - {key: {{ .Values.redis.existingSecret | empty | not | ternary .Values.redis.passwordKey "redis-password" }}, path: password}
{{- end }}
{{- if and .Values.kafka.brokers .Values.kafka.saslMechanism }}
- name: kafka
  secret:
    secretName: {{ required "kafka.existingSecret: kafka.saslMechanism needs a password" (include "seqrec.kafkaSecret" .) }}
    items:
      - {key: {{ .Values.kafka.existingSecret | empty | not | ternary .Values.kafka.passwordKey "kafka-password" }}, path: password}
{{- end }}
{{- end -}}
