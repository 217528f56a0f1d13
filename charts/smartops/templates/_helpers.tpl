{{- /* Labels, images and the halves of a pod that both programs share. */}}

{{- define "smartops.chart" -}}
{{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Labels of an object: (dict "root" $ "component" "webhook"). */}}
{{- define "smartops.labels" -}}
{{ include "smartops.lastingLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ include "smartops.chart" .root }}
{{- end }}

{{- /* Those that no upgrade changes: SmartOps' own kinds have no others, because each write of them is judged, and one
that says nothing new would wait for a webhook for nothing. */}}
{{- define "smartops.lastingLabels" -}}
{{ include "smartops.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: smartops
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The labels pods are selected by; they never change. */}}
{{- define "smartops.selector" -}}
app.kubernetes.io/name: smartops
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Annotations, where there are any: a list of maps, of which a later one wins. */}}
{{- define "smartops.annotations" -}}
{{- $all := dict }}
{{- range . }}{{ $all = mergeOverwrite $all (deepCopy (. | default dict)) }}{{ end }}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* An image's name: (dict "root" $ "image" .Values.webhook.image). */}}
{{- define "smartops.image" -}}
{{- $name := .image.repository }}
{{- with .root.Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end }}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "smartops.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "smartops.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Where pods go: (dict "root" $ "component" "webhook" "values" .Values.webhook). */}}
{{- define "smartops.scheduling" -}}
{{- $selector := include "smartops.selector" . | fromYaml -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else if ne .values.antiAffinity "off" }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector) }}
affinity:
  podAntiAffinity:
    {{- if eq .values.antiAffinity "hard" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      {{- toYaml (list $term) | nindent 6 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- toYaml (list (dict "weight" 100 "podAffinityTerm" $term)) | nindent 6 }}
    {{- end }}
{{- end }}
{{- $spread := list }}
{{- range .values.topologySpreadConstraints }}
{{- $spread = append $spread (mergeOverwrite (dict "labelSelector" (dict "matchLabels" $selector)) (deepCopy .)) }}
{{- end }}
{{- with $spread }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* How a new pod takes an old one's place: it serves before the old one stops. Where each must have a node of its own
there may be none to spare, and it would wait for ever: there an old one stops first, unless it is the only one. */}}
{{- define "smartops.strategy" -}}
{{- if and (eq .antiAffinity "hard") (not .affinity) (gt (int .replicas) 1) -}}
rollingUpdate: {maxUnavailable: 1, maxSurge: 0}
{{- else -}}
rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
{{- end }}
{{- end }}

{{- /* The rules about Secrets in a generated file, or all but those: (dict "text" … "secrets" true). */}}
{{- define "smartops.rules" -}}
{{- $secrets := .secrets }}
{{- $kept := list }}
{{- range .text | fromYamlArray }}
{{- if eq $secrets (has "secrets" .resources) }}{{ $kept = append $kept . }}{{ end }}
{{- end }}
{{- toYaml $kept }}
{{- end }}

{{- /* Flags both programs take. */}}
{{- define "smartops.commonArgs" -}}
- {{ printf "--log-format=%s" .Values.log.format | quote }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
- --drain-seconds={{ .Values.stopping.drainSeconds | int64 }}
- --grace-seconds={{ .Values.stopping.graceSeconds | int64 }}
{{- with .Values.tracing.endpoint }}
- {{ printf "--otlp-endpoint=%s" . | quote }}
- --trace-sample-ratio={{ $.Values.tracing.sampleRatio }}
{{- end }}
{{- end }}

{{- /* Environment both programs run in: (dict "values" .Values.webhook). */}}
{{- define "smartops.env" -}}
# One arena: a program of few threads gives memory back instead of keeping it for each of them.
- name: MALLOC_ARENA_MAX
  value: "1"
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "smartops.stopping" -}}
{{- if .Values.stopping.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.stopping.preStopSeconds }}
{{- end }}
{{- end }}

{{- /* Probes: (dict "port" "health" "scheme" "HTTP"). */}}
{{- define "smartops.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}, scheme: {{ .scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{- /* The target namespaces as a list: none where the chart of the rights is left out and names none. */}}
{{- define "smartops.targets" -}}
{{- dig "orchestrator-rbac" "targetNamespaces" list (omit .Values "") | toYaml }}
{{- end }}

{{- /* The namespace that is meant where none is named. */}}
{{- define "smartops.target" -}}
{{ .Values.controller.defaultNamespace | default (first (include "smartops.targets" . | fromYamlArray)) }}
{{- end }}

{{- /* The Secret with the certificate of the API, and the one that is mounted where it is not the controller's own. */}}
{{- define "smartops.controllerCertificate" -}}
{{- $tls := .Values.controller.tls }}
{{- if eq $tls.source "secret" }}{{ $tls.secretName }}
{{- else if eq $tls.source "cert-manager" }}smartops-orchestrator-tls
{{- else }}smartops-orchestrator-certificate
{{- end }}
{{- end }}

{{- /* How long what a program issues itself is good for. */}}
{{- define "smartops.lifetimes" -}}
- --certificate-lifetime={{ .Values.certificates.lifetime }}
- --ca-lifetime={{ .Values.certificates.caLifetime }}
{{- end }}

{{- /* The Secret with the webhook's certificate, where somebody else keeps it. */}}
{{- define "smartops.webhookCertificate" -}}
{{ ternary "smartops-webhook-tls" .Values.certificates.secretName (eq .Values.certificates.source "cert-manager") }}
{{- end }}

{{- /* How metrics are read: over TLS from the controller, whose certificate is in a Secret. */}}
{{- define "smartops.controllerScrape" -}}
{{- if eq .Values.controller.tls.source "off" -}}
scheme: http
{{- else -}}
scheme: https
tlsConfig:
  ca:
    secret:
      name: {{ include "smartops.controllerCertificate" . }}
      key: ca.crt
  serverName: smartops-orchestrator.{{ .Release.Namespace }}.svc
{{- end }}
{{- end }}

{{- /* A span in seconds. */}}
{{- define "smartops.seconds" -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 }}
{{- $last := sub (len .) 1 | int }}
{{- mul (substr 0 $last . | int) (get $units (substr $last (len .) .)) }}
{{- end }}

{{- /* Whether there is a certificate that somebody renews when a third of `certificates.lifetime` is left. */}}
{{- define "smartops.isRenewed" -}}
{{- $sources := list .Values.certificates.source .Values.controller.tls.source }}
{{- if or (has "self-managed" $sources) (has "cert-manager" $sources) }}true{{ end }}
{{- end }}

{{- /* Seconds before its end at which a certificate is an alert. */}}
{{- define "smartops.certificateExpiry" -}}
{{- $own := 1209600 }}
{{- $quarter := div (include "smartops.seconds" .Values.certificates.lifetime | int64) 4 }}
{{- $asked := int64 .Values.monitoring.prometheusRule.certificateExpirySeconds }}
{{- if $asked }}{{ $asked }}
{{- else if not (include "smartops.isRenewed" .) }}{{ $own }}
{{- else if has "secret" (list .Values.certificates.source .Values.controller.tls.source) }}{{ min $own $quarter }}
{{- else }}{{ $quarter }}
{{- end }}
{{- end }}

{{- /* A span as cert-manager writes it, without days. */}}
{{- define "smartops.hours" -}}
{{- if hasSuffix "d" . }}{{ mul 24 (trimSuffix "d" . | int) }}h{{ else }}{{ . }}{{ end }}
{{- end }}
