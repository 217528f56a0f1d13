//! The objects that are written.

use serde_json::{Value, json};

use crate::stage::NAMESPACE;

/// A pod template with one container.
pub(crate) fn template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{
            "name": app,
            "image": format!("registry.example.com/shop/{app}:1.0.0"),
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        }]},
    })
}

/// An object of the namespace.
pub(crate) fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"app": name}},
        "spec": spec,
    })
}

/// A workload of group apps whose spec is a number, a selector and a template.
pub(crate) fn replicated(kind: &str, name: &str, replicas: u32) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    let spec = json!({"replicas": replicas, "selector": selector, "template": template(name)});
    object("apps/v1", kind, name, &spec)
}

/// A Deployment as large as those of real shops: two containers with probes and much environment, an init container,
/// volumes, affinity. About 10 KB as the API server sends it, with its managedFields.
pub(crate) fn large_deployment() -> Value {
    let name = "checkout";
    let variables = |component: &str| -> Vec<Value> {
        (0..5)
            .map(|i| match i % 3 {
                0 => json!({"name": format!("{component}_FEATURE_{i:02}"), "value": "enabled"}),
                1 => json!({"name": format!("{component}_ENDPOINT_{i:02}"),
                    "value": format!("http://service-{i:02}.shop.svc.cluster.local:8080/api/v1")}),
                _ => json!({"name": format!("{component}_SECRET_{i:02}"),
                    "valueFrom": {"secretKeyRef": {"name": "checkout", "key": format!("key-{i:02}")}}}),
            })
            .collect()
    };
    let probe = |path: &str| {
        json!({"httpGet": {"path": path, "port": "http"}, "initialDelaySeconds": 5,
            "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3})
    };
    let container = |name: &str, component: &str, port: u32| {
        json!({
            "name": name,
            "image": format!("registry.example.com/shop/{name}:4.2.1"),
            "args": ["--listen=0.0.0.0", "--log-format=json", "--shutdown-timeout=25s"],
            "ports": [{"name": "http", "containerPort": port}, {"name": "metrics", "containerPort": port + 1}],
            "env": variables(component),
            "envFrom": [{"configMapRef": {"name": format!("{name}-settings")}}],
            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"},
                "limits": {"cpu": "1", "memory": "512Mi"}},
            "readinessProbe": probe("/readyz"),
            "livenessProbe": probe("/healthz"),
            "startupProbe": probe("/healthz"),
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
            "securityContext": {"runAsNonRoot": true, "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/checkout", "readOnly": true},
                {"name": "scratch", "mountPath": "/tmp"}],
        })
    };
    let mut deployment = replicated("Deployment", name, 3);
    deployment["metadata"]["annotations"] = json!({
        "example.com/owner": "team-checkout",
        "example.com/runbook": "https://wiki.example.com/checkout/runbook",
    });
    deployment["spec"]["template"]["metadata"]["annotations"] =
        json!({"prometheus.io/scrape": "true", "prometheus.io/port": "8081"});
    let mut proxy = container("proxy", "PROXY", 9000);
    proxy["ports"] = json!([{"name": "admin", "containerPort": 9001}]);
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        proxy[probe]["httpGet"]["port"] = json!("admin");
    }
    deployment["spec"]["template"]["spec"] = json!({
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 40,
        "securityContext": {"runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{"name": "migrate", "image": "registry.example.com/shop/migrate:4.2.1",
            "command": ["/migrate", "--wait"], "env": [{"name": "DATABASE", "value": "checkout"}]}],
        "containers": [container("checkout", "CHECKOUT", 8080), proxy],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": name}}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
            "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app": name}}}}]}},
        "volumes": [{"name": "settings", "configMap": {"name": "checkout-settings"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}}],
    });
    deployment
}

/// A HorizontalPodAutoscaler; the versions write the CPU's target in different ways.
pub(crate) fn autoscaler(version: &str, target: &str, min: u32, max: u32) -> Value {
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "minReplicas": min,
        "maxReplicas": max,
    });
    if version == "v1" {
        spec["targetCPUUtilizationPercentage"] = json!(80);
    } else {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec["metrics"] =
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
    }
    object(
        &format!("autoscaling/{version}"),
        "HorizontalPodAutoscaler",
        &format!("{target}-{version}"),
        &spec,
    )
}

/// A custom resource with a scale subresource at a path of its own.
pub(crate) fn definition() -> Value {
    let number = json!({"type": "integer"});
    let size =
        json!({"type": "object", "properties": {"size": number, "flavour": {"type": "string"}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "caches.example.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "caches", "singular": "cache", "kind": "Cache"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": size, "status": size}}},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
            }],
        },
    })
}
