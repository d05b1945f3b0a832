"""Files for clusters: whole, alike where they must be, and naming only what exists."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from crossrec.serving.addresses import TRUSTED_PROXIES, address_of, trusted_proxies
from crossrec.serving.arguments import (
    DOMAIN_ROUTE,
    SHARED_APPLICATION,
    SharedArguments,
    parse,
)

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
IMAGE = "crossrec:0.1.0"
HOME = "/mnt/crossrec"


def _read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def _groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


JOB = _read("kuberay/rayjob-train.yaml")
SERVICE = _read("kuberay/rayservice.yaml")
CLUSTERS = {"job": JOB["spec"]["rayClusterSpec"], "service": SERVICE["spec"]["rayClusterConfig"]}


@pytest.mark.parametrize(("resource", "kind"), [(JOB, "RayJob"), (SERVICE, "RayService")])
def test_a_kuberay_file_is_of_its_kind_and_has_a_name(resource: dict[str, Any], kind: str):
    assert (resource["apiVersion"], resource["kind"]) == ("ray.io/v1", kind)
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?", resource["metadata"]["name"])


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_group_has_the_image_the_home_and_its_resources(name: str):
    claim = _read("kuberay/storage.yaml")
    for group in _groups(CLUSTERS[name]):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        assert container["image"] == IMAGE
        assert {"name": "CROSSREC_HOME", "value": HOME} in container["env"]
        assert container["volumeMounts"] == [{"name": "home", "mountPath": HOME}]
        [volume] = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_replicas_on_several_machines_share_a_feedback_log_on_a_server():
    wanted = {"name": "crossrec-feedback", "key": "url"}
    for group in _groups(CLUSTERS["service"]):
        [container] = group["template"]["spec"]["containers"]
        [url] = [one for one in container["env"] if one["name"] == "CROSSREC_FEEDBACK_URL"]
        assert url["valueFrom"]["secretKeyRef"] == wanted
    assert "postgres]" in (CLUSTER / "Containerfile").read_text(encoding="utf-8")


def test_proxies_of_the_nodes_say_whom_they_speak_for_and_are_believed(
    monkeypatch: pytest.MonkeyPatch,
):
    image = (CLUSTER / "Containerfile").read_text(encoding="utf-8")
    path = re.search(r"RAY_SERVE_HAPROXY_BINARY_PATH=(\S+)", image)[1]
    assert f"RUN python -m crossrec.serving.haproxy {path}\n" in image
    groups = [group["template"]["spec"] for group in _groups(CLUSTERS["service"])]
    given = [
        one["value"]
        for pod in groups
        for one in pod["containers"][0]["env"]
        if one["name"] == TRUSTED_PROXIES
    ]
    assert len(given) == len(groups)
    vm = _read("vm/cluster.yaml")
    [option] = [one for one in vm["docker"]["run_options"] if TRUSTED_PROXIES in one]
    for networks in (*given, option.partition("=")[2]):
        monkeypatch.setenv(TRUSTED_PROXIES, networks)
        trusted = trusted_proxies()
    nodes = [vm["provider"]["head_ip"], *vm["provider"]["worker_ips"]]
    assert all(address_of(node, ["203.0.113.7"], trusted) == "203.0.113.7" for node in nodes)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_asks_for_a_token_and_runs_the_ray_of_the_image(name: str):
    assert CLUSTERS[name]["authOptions"] == {"mode": "token"}
    assert CLUSTERS[name]["rayVersion"] == ray.__version__
    constraints = (CLUSTER.parent / "constraints.txt").read_text(encoding="utf-8")
    assert f"ray=={ray.__version__}" in constraints


@pytest.mark.parametrize("name", CLUSTERS)
def test_workers_of_a_group_are_within_its_bounds(name: str):
    for group in CLUSTERS[name]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_job_calls_an_entry_point_of_the_image_with_workers_the_cluster_has():
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[0] == "python"
    assert (CLUSTER / "jobs" / Path(words[1]).name).is_file()
    assert Path(words[1]).parent == Path("/opt/crossrec/cluster/jobs")
    [group] = CLUSTERS["job"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    n_cpus = group["minReplicas"] * int(container["resources"]["limits"]["cpu"])
    assert int(words[words.index("--workers") + 1]) <= n_cpus
    assert "--run-name" in words  # or a retry would start from the beginning
    assert JOB["spec"]["backoffLimit"] >= 1


def test_the_service_embeds_the_serve_config_file():
    assert yaml.safe_load(SERVICE["spec"]["serveConfigV2"]) == _read("serve/config.yaml")


def test_the_serve_config_is_valid_and_names_builders_that_exist():
    config = ServeDeploySchema.model_validate(_read("serve/config.yaml"))
    for application in config.applications:
        module, _, builder = application.import_path.partition(":")
        assert callable(getattr(importlib.import_module(module), builder))
    by_name = {application.name: application for application in config.applications}
    encoder, shared = by_name["encoder"], by_name[SHARED_APPLICATION]
    assert shared.route_prefix == DOMAIN_ROUTE
    assert list(parse(SharedArguments, shared.args).domains) == encoder.args["domains"]
    assert encoder.route_prefix is None  # it is called by the domains, not over HTTP


def test_the_image_is_built_from_files_that_exist_and_holds_what_the_others_name():
    text = (CLUSTER / "Containerfile").read_text(encoding="utf-8")
    root = CLUSTER.parent
    copied = re.findall(r"^COPY (.+) \S+$", text, re.M)
    for name in shlex.split(" ".join(copied)):
        assert (root / name).exists(), name
    assert "WORKDIR /opt/crossrec" in text
    assert f"CROSSREC_HOME={HOME}" in text
    assert "-c constraints.txt" in text
    extras = set(re.search(r'"\.\[(.+)\]"', text)[1].split(","))
    declared = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", declared, re.M) for extra in extras)
    module, _, name = re.search(r"CALLBACK_IMPORT_PATH=(\S+)", text)[1].rpartition(".")
    assert getattr(importlib.import_module(module), name)()
    uid = re.search(r"^USER (\d+)$", text, re.M)[1]
    for group in (group for cluster in CLUSTERS.values() for group in _groups(cluster)):
        assert str(group["template"]["spec"]["securityContext"]["runAsUser"]) == uid


def test_the_launchers_file_uses_the_image_the_home_and_a_token():
    config = _read("vm/cluster.yaml")
    assert config["docker"]["image"] == IMAGE
    assert any(f"{HOME}:{HOME}" in option for option in config["docker"]["run_options"])
    starts = [config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]]
    assert all(start.startswith("RAY_AUTH_MODE=token ray start") for start in starts)
    assert config["min_workers"] <= len(config["provider"]["worker_ips"])
