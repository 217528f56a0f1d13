{{- /*
What runs before an upgrade and an uninstall and in a test: a pod of the webhook's image, with a ServiceAccount and
rights that live as long as it does, generated below `files/hooks`. (dict "root" $ "name" … "hook" … "args" (list …)), and
where a rule names an object that values name otherwise: "instead" (dict NAME OTHER).
*/}}
{{- /* Whether hooks are rendered. Only helm runs them when they are due: to kubectl and kustomize a Job that takes
everything away before an uninstall is one to be run at once. So they are rendered where helm has a cluster before it, in
which kube-system is always found, and where somebody says that whatever renders knows hooks. */}}
{{- define "smartops.hook.isMeant" -}}
{{- if or (eq (.Values.hooks.render | default "") "always") (lookup "v1" "Namespace" "" "kube-system") }}true{{ end }}
{{- end }}

{{- define "smartops.hook.annotations" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* The rules a hook has in a place: (dict "hook" HOOK "place" "cluster"); nothing where it has none. */}}
{{- define "smartops.hook.rules" -}}
{{- $text := .hook.root.Files.Get (printf "files/hooks/%s/%s.yaml" .hook.name .place) }}
{{- range $name, $other := .hook.instead }}{{ $text = replace $name $other $text }}{{ end }}
{{- with $text | fromYamlArray }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "smartops.hook.rights" -}}
{{- $labels := include "smartops.labels" (dict "root" .root "component" "hook") }}
{{- $annotations := include "smartops.hook.annotations" (dict "hook" .hook "weight" "-10") }}
{{- $subject := dict "kind" "ServiceAccount" "name" .name "namespace" .root.Release.Namespace }}
{{- $name := .name }}
{{- $hook := . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
automountServiceAccountToken: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
rules:
  {{- include "smartops.hook.rules" (dict "hook" . "place" "cluster") | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}}
subjects:
  {{- toYaml (list $subject) | nindent 2 }}
{{- $namespaces := dict
  "system-namespace" .root.Release.Namespace
  "default-target-namespace" (include "smartops.target" .root) }}
{{- range $place, $namespace := $namespaces }}
{{- with include "smartops.hook.rules" (dict "hook" $hook "place" $place) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
rules:
  {{- . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  {{- toYaml (list $subject) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "smartops.hook.metadata" -}}
labels:
  {{- include "smartops.labels" (dict "root" .root "component" "hook") | nindent 2 }}
{{- with include "smartops.annotations" (list .root.Values.global.annotations) }}
{{ . }}
{{- end }}
{{- end }}

{{- define "smartops.hook.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ .name }}
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
securityContext:
  {{- include "smartops.podSecurityContext" .root | nindent 2 }}
{{- with $values.hooks.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hooks.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "smartops.image" (dict "root" .root "image" $values.webhook.image) }}
    imagePullPolicy: {{ $values.webhook.image.pullPolicy }}
    args:
      {{- range .args }}
      - {{ . | quote }}
      {{- end }}
      - --timeout-seconds={{ $values.hooks.timeoutSeconds | int64 }}
    resources:
      {{- toYaml $values.hooks.resources | nindent 6 }}
    securityContext:
      {{- include "smartops.securityContext" .root | nindent 6 }}
{{- end }}

{{- define "smartops.hook.job" -}}
{{ include "smartops.hook.rights" . }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "smartops.labels" (dict "root" .root "component" "hook") | nindent 4 }}
  annotations:
    {{- include "smartops.hook.annotations" (dict "hook" .hook "weight" "0") | nindent 4 }}
spec:
  backoffLimit: 2
  activeDeadlineSeconds: {{ add .root.Values.hooks.timeoutSeconds 30 }}
  template:
    metadata:
      {{- include "smartops.hook.metadata" . | nindent 6 }}
    spec:
      {{- include "smartops.hook.pod" . | nindent 6 }}
{{- end }}
