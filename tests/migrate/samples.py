"""Queues in the words of every scheduler whose queues are read."""

KAI = """
apiVersion: scheduling.run.ai/v2
kind: Queue
metadata: {name: research}
spec:
  resources:
    gpu: {quota: 16, limit: -1, overQuotaWeight: 2}
    cpu: {quota: -1, limit: -1}
---
apiVersion: scheduling.run.ai/v2
kind: Queue
metadata: {name: vision}
spec:
  parentQueue: research
  priority: 200
  reclaimMinRuntime: 1h30m
  preemptMinRuntime: 1h
  resources:
    gpu: {quota: 8, limit: 0}
    cpu: {quota: 4000}
"""

VOLCANO = """
apiVersion: v1
kind: List
items:
- apiVersion: scheduling.volcano.sh/v1beta1
  kind: Queue
  metadata: {name: root}
  spec: {weight: 1}
- apiVersion: scheduling.volcano.sh/v1beta1
  kind: Queue
  metadata: {name: vision}
  spec:
    parent: root
    weight: 4
    deserved: {nvidia.com/gpu: 16, cpu: 64}
    guarantee: {resource: {nvidia.com/gpu: 4, cpu: 16, memory: 64Gi}}
    capability: {nvidia.com/gpu: "24"}
    reclaimable: false
    dequeueStrategy: fifo
"""

KUEUE = """
apiVersion: kueue.x-k8s.io/v1beta1
kind: ResourceFlavor
metadata: {name: h100}
spec: {nodeLabels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
---
apiVersion: kueue.x-k8s.io/v1beta1
kind: ResourceFlavor
metadata: {name: spot}
spec: {nodeLabels: {lifecycle: spot}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: Cohort
metadata: {name: org}
spec:
  resourceGroups:
  - coveredResources: [nvidia.com/gpu]
    flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 8}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: vision}
spec:
  cohortName: org
  namespaceSelector: {matchLabels: {team: vision}}
  queueingStrategy: StrictFIFO
  fairSharing: {weight: "0.5"}
  preemption: {reclaimWithinCohort: Any, withinClusterQueue: LowerPriority}
  resourceGroups:
  - coveredResources: [cpu, nvidia.com/gpu, nvidia.com/mig-3g.40gb]
    flavors:
    - name: h100
      resources:
      - {name: cpu, nominalQuota: 100}
      - {name: nvidia.com/gpu, nominalQuota: 16, borrowingLimit: 8, lendingLimit: 4}
    - name: spot
      resources:
      - {name: nvidia.com/gpu, nominalQuota: 8}
---
apiVersion: kueue.x-k8s.io/v1beta1
kind: ClusterQueue
metadata: {name: alone}
spec:
  stopPolicy: Hold
  resourceGroups:
  - coveredResources: [nvidia.com/gpu]
    flavors: [{name: spot, resources: [{name: nvidia.com/gpu, nominalQuota: 4}]}]
---
apiVersion: kueue.x-k8s.io/v1beta1
kind: LocalQueue
metadata: {name: lq, namespace: vision-dev}
spec: {clusterQueue: vision}
"""

ELASTIC_QUOTA = """
apiVersion: scheduling.x-k8s.io/v1alpha1
kind: ElasticQuota
metadata: {name: quota, namespace: a}
spec: {min: {nvidia.com/gpu: 4, cpu: 4}, max: {nvidia.com/gpu: 8}}
---
apiVersion: scheduling.x-k8s.io/v1alpha1
kind: ElasticQuota
metadata: {name: quota, namespace: b}
spec: {min: {nvidia.com/gpu: 1}}
---
apiVersion: scheduling.sigs.k8s.io/v1alpha1
kind: ElasticQuota
metadata:
  name: team
  namespace: kube-system
  labels:
    quota.scheduling.koordinator.sh/parent: koordinator-root-quota
    quota.scheduling.koordinator.sh/allow-lent-resource: "false"
  annotations:
    quota.scheduling.koordinator.sh/shared-weight: '{"nvidia.com/gpu":"7"}'
    quota.scheduling.koordinator.sh/namespaces: '["x","y"]'
spec: {min: {nvidia.com/gpu: 4}, max: {nvidia.com/gpu: 8}}
"""

YUNIKORN = """
partitions:
- name: default
  placementrules: [{name: tag, value: namespace}]
  queues:
  - name: root
    submitacl: "*"
    queues:
    - name: Org_A
      properties: {application.sort.policy: fifo, priority.offset: "100", preemption.delay: 30s}
      resources: {guaranteed: {nvidia.com/gpu: 16, vcore: 10}, max: {nvidia.com/gpu: 32}}
      queues:
      - name: vision
        maxapplications: 4
        resources: {guaranteed: {nvidia.com/gpu: 8}}
        limits:
        - {limit: each, users: ["*"], maxresources: {nvidia.com/gpu: 2, memory: 8Gi}}
        - {limit: some, users: [ann], groups: [staff], maxresources: {nvidia.com/gpu: 4}}
"""

ALL = {"kai": KAI, "volcano": VOLCANO, "kueue": KUEUE, "elasticquota": ELASTIC_QUOTA, "yunikorn": YUNIKORN}
