"""deploy/helm/tercet, rendered by Helm's own library and held against Kubernetes' schemas."""

from pathlib import Path
from typing import Any

import pytest

helm = pytest.importorskip("helm_python", reason="pip install --group deploy")
kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="pip install --group deploy"
)
yaml = pytest.importorskip("yaml")

CHART = Path(__file__).parents[2] / "deploy/helm/tercet"
KUBERNETES = ("1.25.0", "1.31.0", "1.37.0")
EVERYTHING: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "model": "microsoft/bitnet-b1.58-2B-4T",
    "settings": {"max_body_bytes": 4194304, "page": False, "kv-type": "int8", "ping_seconds": 2.5},
    "env": [{"name": "TZ", "value": "UTC"}],
    "preStopSeconds": 8,
    "drainSeconds": 60.5,
    "apiKeys": {"keys": ["one", "two"]},
    "hubToken": {"token": "hf_x"},
    "persistence": {"enabled": True, "accessMode": "ReadWriteMany", "storageClass": "nfs"},
    "autoscaling": {"enabled": True, "metric": "waiting", "target": 3},
    "networkPolicy": {
        "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
        "to": [{"ports": [{"port": 4318, "protocol": "TCP"}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "cpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}


def render(values: dict[str, Any] | None = None, name: str = "demo") -> dict[str, dict[str, Any]]:
    """The objects by kind; none has two of a kind but secrets, which are by their names."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values or {}, name=name, namespace="prod")
    objects = [
        found
        for path, text in files.items()
        if path.endswith(".yaml")
        for found in yaml.safe_load_all(text)
        if found
    ]
    return {
        found["metadata"]["name"] if found["kind"] == "Secret" else found["kind"]: found
        for found in objects
    }


def pod_of(values: dict[str, Any] | None = None) -> dict[str, Any]:
    pod: dict[str, Any] = render(values)["Deployment"]["spec"]["template"]["spec"]
    return pod


def environment_of(values: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod_of(values)["containers"][0]["env"]}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_every_object_is_what_kubernetes_takes(values: dict[str, Any], version: str) -> None:
    objects = render(values)
    of_kubernetes = [found for kind, found in objects.items() if kind != "ServiceMonitor"]

    assert len(of_kubernetes) >= 5
    for found in of_kubernetes:
        kubernetes_validate.validate(found, version, strict=True)


def test_the_linter_has_nothing_to_say_but_that_there_is_no_icon() -> None:
    messages = helm.lint(str(CHART), EVERYTHING, strict=True)["messages"]

    assert [message["error"] for message in messages] == ["icon is recommended"]


def test_a_pod_meets_the_restricted_standard() -> None:
    pod = pod_of()
    container = pod["containers"][0]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_grace_period_covers_the_whole_leave() -> None:
    pod = pod_of(EVERYTHING)

    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "8"]
    assert environment_of(EVERYTHING)["TERCET_DRAIN_SECONDS"] == "60.5"
    assert pod["terminationGracePeriodSeconds"] == 8 + 61 + 10


def test_settings_reach_the_server_as_it_reads_them() -> None:
    environment = environment_of(EVERYTHING)

    assert environment["TERCET_MAX_BODY_BYTES"] == "4194304"
    assert environment["TERCET_PAGE"] == "false"
    assert environment["TERCET_KV_TYPE"] == "int8"
    assert environment["TERCET_PING_SECONDS"] == "2.5"
    assert environment["TERCET_MODEL"] == "microsoft/bitnet-b1.58-2B-4T"


@pytest.mark.parametrize("name", ["log_format", "log-format"])
def test_a_default_that_is_set_otherwise_is_given_once(name: str) -> None:
    entries = pod_of({"settings": {name: "text"}})["containers"][0]["env"]

    given = [entry["value"] for entry in entries if entry["name"] == "TERCET_LOG_FORMAT"]
    assert given == ["text"]


def test_every_setting_of_the_default_pod_is_one_that_the_server_has() -> None:
    settings = pytest.importorskip("tercet_server.settings")
    names = {name.removeprefix("TERCET_").lower() for name in environment_of({})}

    assert names
    assert names <= set(settings.Settings.model_fields)


def test_keys_and_token_are_files_and_never_in_the_pod() -> None:
    objects = render(EVERYTHING)

    assert objects["demo-tercet-keys"]["stringData"] == {"api-keys": "one\ntwo"}
    assert objects["demo-tercet-hub"]["stringData"] == {"hf-token": "hf_x"}
    assert "hf_x" not in str(objects["Deployment"])
    assert environment_of(EVERYTHING)["TERCET_API_KEY_FILE"] == "/run/secrets/keys/api-keys"
    assert environment_of(EVERYTHING)["HF_TOKEN_PATH"] == "/run/secrets/hub/hf-token"


def test_secrets_of_ones_own_are_used_and_not_made() -> None:
    values = {"apiKeys": {"existingSecret": "mine", "keys": ["ignored"]}}
    objects = render(values)

    assert "mine-keys" not in objects
    assert not [kind for kind in objects if kind.startswith("demo-tercet-")]
    volumes = {volume["name"]: volume for volume in pod_of(values)["volumes"]}
    assert volumes["keys"]["secret"]["secretName"] == "mine"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"existingSecret": "mine"}, "TERCET_API_KEY_FILE"),
        ({"existingSecret": "mine", "withLimits": True}, "TERCET_API_KEYS_FILE"),
        ({"keys": ["one"], "withLimits": True}, "TERCET_API_KEY_FILE"),
    ],
)
def test_a_secret_may_hold_keys_with_limits(keys: dict[str, Any], name: str) -> None:
    environment = environment_of({"apiKeys": keys})

    assert [key for key in environment if "API_KEY" in key] == [name]
    assert environment[name] == "/run/secrets/keys/api-keys"


def test_other_keys_make_other_pods() -> None:
    def annotations_of(key: str) -> dict[str, str]:
        template = render({"apiKeys": {"keys": [key]}})["Deployment"]["spec"]["template"]
        annotations: dict[str, str] = template["metadata"]["annotations"]
        return annotations

    assert annotations_of("a") != annotations_of("b")
    assert annotations_of("a") == annotations_of("a")


def test_who_needs_nobody_may_call_nobody() -> None:
    assert render()["NetworkPolicy"]["spec"]["egress"] == []
    for model in ("/models/mine", "small=/models/a,large=/models/b"):
        assert render({"model": model})["NetworkPolicy"]["spec"]["egress"] == []
    for model in ("org/name", "/models/mine, other=org/name"):
        assert len(render({"model": model})["NetworkPolicy"]["spec"]["egress"]) == 1
    assert len(render(EVERYTHING)["NetworkPolicy"]["spec"]["egress"]) == 2


def test_the_autoscaler_follows_the_line_or_the_cpu_and_then_owns_the_count() -> None:
    def metric_of(**autoscaling: Any) -> dict[str, Any]:
        objects = render({"autoscaling": {"enabled": True, **autoscaling}})
        assert "replicas" not in objects["Deployment"]["spec"]
        metric: dict[str, Any] = objects["HorizontalPodAutoscaler"]["spec"]["metrics"][0]
        return metric

    waiting = metric_of(metric="waiting", target=3)
    assert waiting["pods"]["metric"]["name"] == "tercet_completions_waiting"
    assert waiting["pods"]["target"] == {"type": "AverageValue", "averageValue": "3"}
    assert metric_of(metric="waiting")["pods"]["target"]["averageValue"] == "2"
    assert metric_of()["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}
    assert render()["Deployment"]["spec"]["replicas"] == 2


def test_a_single_replica_may_be_evicted() -> None:
    assert "PodDisruptionBudget" in render()
    assert "PodDisruptionBudget" not in render({"replicas": 1})


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"replicas": -1},
        {"service": {"port": 0}},
        {"autoscaling": {"metric": "memory"}},
        {"settings": {"Bad Name": 1}},
        {"settings": {"port": 9000}},
        {"settings": {"drain-seconds": 60}},
        {"settings": {"tls_cert": "/x"}},
        {"apiKeys": {"keys": ["with blank"]}},
        {"persistence": {"size": "ten"}},
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(values)


def test_names_stay_within_what_kubernetes_allows() -> None:
    names = [found["metadata"]["name"] for found in render(EVERYTHING, name="x" * 53).values()]

    assert max(map(len, names)) <= 63
    assert {found["metadata"]["name"] for found in render(name="tercet").values()} == {
        "tercet",
        "tercet-test",
    }
