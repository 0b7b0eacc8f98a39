{{- define "chatvault.name" -}}
{{- if contains "chatvault" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-chatvault" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "chatvault.selector" -}}
app.kubernetes.io/name: chatvault
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chatvault.labels" -}}
{{ include "chatvault.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "chatvault.image" -}}
{{- $repository := required "image.repository: name your registry's image" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" $repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "chatvault.secretName" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "chatvault.name" .)) }}
{{- end }}

{{- define "chatvault.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "chatvault.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Settings of every process: secrets only ever as files. */}}
{{- define "chatvault.env" -}}
- {name: CHATVAULT_SECRET_KEY_FILE, value: /run/secrets/chatvault/secret_key}
- {name: CHATVAULT_KEY_PEPPER_FILE, value: /run/secrets/chatvault/key_pepper}
- {name: CHATVAULT_VAULT_KEYS_FILE, value: /run/secrets/chatvault/vault_keys}
- {name: DATABASE_URL_FILE, value: /run/secrets/chatvault/database_url}
- {name: REDIS_URL_FILE, value: /run/secrets/chatvault/redis_url}
{{- if .Values.broker.existingSecret }}
- {name: CHATVAULT_CELERY_BROKER_URL_FILE, value: /run/secrets/chatvault/celery_broker_url}
{{- end }}
{{- if .Values.database.replicaSecret }}
- {name: CHATVAULT_DATABASE_REPLICA_URL_FILE, value: /run/secrets/chatvault/database_replica_url}
{{- end }}
- {name: CHATVAULT_PREPARE_AT_START, value: "false"}
- name: CHATVAULT_ALLOWED_HOSTS
  value: {{ printf "localhost,127.0.0.1,%s" (required "hostname: under which name is ChatVault reached?" .Values.hostname) | quote }}
- name: CHATVAULT_CSRF_TRUSTED_ORIGINS
  value: {{ printf "https://%s" .Values.hostname | quote }}
{{- with .Values.trustedProxies }}
- {name: CHATVAULT_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- if and .Values.ingress.tlsSecret .Values.trustedProxies }}
- {name: CHATVAULT_HTTPS, value: "true"}
{{- end }}
{{- with .Values.metrics.networks }}
- {name: CHATVAULT_METRICS_NETWORKS, value: {{ join "," . | quote }}}
{{- end }}
{{- if .Values.metrics.tokenSecret }}
- {name: CHATVAULT_METRICS_TOKEN_FILE, value: /run/secrets/chatvault/metrics_token}
{{- end }}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- /* Who makes tables and partitions has the owner's address too: prepare and worker. */}}
{{- define "chatvault.ownerEnv" -}}
{{- if .Values.database.ownerSecret }}
- {name: CHATVAULT_DATABASE_OWNER_URL_FILE, value: /run/secrets/owner/database_owner_url}
{{- end }}
{{- end }}

{{- define "chatvault.ownerMounts" -}}
{{- if .Values.database.ownerSecret }}
- {name: owner, mountPath: /run/secrets/owner, readOnly: true}
{{- end }}
{{- end }}

{{- define "chatvault.ownerVolumes" -}}
{{- with .Values.database.ownerSecret }}
- name: owner
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: {{ $.Values.database.ownerKey }}, path: database_owner_url}
{{- end }}
{{- end }}

{{- define "chatvault.envFrom" -}}
{{- range .Values.providerSecrets }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "chatvault.mounts" -}}
- {name: state, mountPath: /state}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /run/secrets/chatvault, readOnly: true}
{{- end }}

{{- define "chatvault.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "chatvault.secretName" . }}
          items:
            - {key: secret_key, path: secret_key}
            - {key: key_pepper, path: key_pepper}
            - {key: vault_keys, path: vault_keys}
      - secret:
          name: {{ required "database.existingSecret: name the Secret with PostgreSQL's URL" .Values.database.existingSecret }}
          items:
            - {key: {{ .Values.database.key }}, path: database_url}
      - secret:
          name: {{ required "redis.existingSecret: name the Secret with Redis' URL" .Values.redis.existingSecret }}
          items:
            - {key: {{ .Values.redis.key }}, path: redis_url}
      {{- if .Values.metrics.tokenSecret }}
      - secret:
          name: {{ .Values.metrics.tokenSecret }}
          items:
            - {key: {{ .Values.metrics.tokenKey }}, path: metrics_token}
      {{- end }}
      {{- if .Values.broker.existingSecret }}
      - secret:
          name: {{ .Values.broker.existingSecret }}
          items:
            - {key: {{ .Values.broker.key }}, path: celery_broker_url}
      {{- end }}
      {{- if .Values.database.replicaSecret }}
      - secret:
          name: {{ .Values.database.replicaSecret }}
          items:
            - {key: {{ .Values.database.replicaKey }}, path: database_replica_url}
      {{- end }}
{{- end }}

{{- /* Parts of a pod's spec that all have. Argument: list of the root and the component's values. */}}
{{- define "chatvault.pod" -}}
{{- $root := index . 0 }}{{- $own := index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "chatvault.podSecurityContext" $root | nindent 2 }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "chatvault.spread" -}}
{{- $root := index . 0 }}{{- $component := index . 1 }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "chatvault.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $component }}
  {{- end }}
{{- end }}

{{- /* The process lives: /livez. It may be sent requests: /readyz, also false while it drains. */}}
{{- define "chatvault.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- /* Background roles serve nothing: their probe asks whether their process is alive. */}}
{{- define "chatvault.backgroundProbes" -}}
startupProbe:
  exec: {command: [python, -I, -S, /app/healthcheck.py]}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  exec: {command: [python, -I, -S, /app/healthcheck.py]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 4
{{- end }}
