{{- define "seqrec.trainPod" -}}
{{- $t := .Values.training -}}
restartPolicy: Never
serviceAccountName: {{ include "seqrec.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "seqrec.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $t.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $t.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if include "seqrec.oneNode" . }}
# The volume of models can be mounted on one node only: the servers'.
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "seqrec.selector" . | nindent 12 }}
            app.kubernetes.io/component: serve
{{- end }}
containers:
  - name: trainjob
    image: {{ include "seqrec.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/usr/bin/trainjob]
    workingDir: /var/lib/seqrec
    args: {{ toJson (concat $t.command (list "--config" "/etc/seqrec/config/trainjob.yaml")) }}
    securityContext:
      {{- include "seqrec.containerSecurity" . | nindent 6 }}
    env:
      {{- include "seqrec.env" (dict "root" . "resources" $t.resources) | trim | nindent 6 }}
    resources:
      {{- include "seqrec.trainResources" $t | nindent 6 }}
    volumeMounts:
      - {name: config, mountPath: /etc/seqrec/config, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      - {{ include "seqrec.modelsMount" (dict "root" . "mirror" ".registry") }}
      {{- if $t.dataClaim }}
      - {name: data, mountPath: /data, readOnly: true}
      {{- end }}
      {{- with include "seqrec.secretMounts" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "seqrec.fullname" . }}-train
  - name: tmp
    emptyDir: {}
  {{- include "seqrec.modelsVolume" . | nindent 2 }}
  {{- with $t.dataClaim }}
  - name: data
    persistentVolumeClaim:
      claimName: {{ . }}
      readOnly: true
  {{- end }}
  {{- with include "seqrec.secretVolumes" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The resources of a run, with its GPUs among the limits. */}}
{{- define "seqrec.trainResources" -}}
{{- $r := deepCopy .resources -}}
{{- if .gpus -}}
{{- $r = mergeOverwrite $r (dict "limits" (dict .gpuResource (int .gpus))) -}}
{{- end -}}
{{- toYaml $r -}}
{{- end -}}
