{{- define "orchestrator-rbac.name" -}}smartops-orchestrator{{- end }}

{{- define "orchestrator-rbac.labels" -}}
app.kubernetes.io/name: smartops
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: smartops
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with (.Values.global | default dict).labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "orchestrator-rbac.subject" -}}
- kind: ServiceAccount
  name: {{ include "orchestrator-rbac.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* The rules of a generated file, as a role has them. */}}
{{- define "orchestrator-rbac.rules" -}}
{{- .root.Files.Get .file | fromYamlArray | toYaml }}
{{- end }}
