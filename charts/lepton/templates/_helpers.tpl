{{- define "lepton.fullname" -}}
{{- if contains "lepton" .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-lepton" .Release.Name | trunc 50 }}{{ end }}
{{- end }}

{{- define "lepton.serviceAccount" -}}
{{- default (include "lepton.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "lepton.selector" -}}
app.kubernetes.io/name: lepton
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "lepton.labels" -}}
{{ include "lepton.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: lepton
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "lepton.image" -}}
{{- $tag := default .chart.AppVersion .image.tag -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ $tag }}{{ end }}
{{- end }}

{{- /* What the operator may do in the namespaces of jobs. */ -}}
{{- define "lepton.jobRules" -}}
- apiGroups: [lepton.ai]
  resources: [leptonjobs]
  verbs: [list, watch, delete]
- apiGroups: [lepton.ai]
  resources: [leptonjobs/status]
  verbs: [update]
- apiGroups: [lepton.ai]
  resources: [leptonjobs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
{{- if .Values.config.networkPolicy }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
{{- end }}
# Gang schedulers: only what the cluster serves is ever asked for.
- apiGroups: [scheduling.k8s.io]
  resources: [workloads, podgroups]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [scheduling.volcano.sh, scheduling.x-k8s.io]
  resources: [podgroups]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
