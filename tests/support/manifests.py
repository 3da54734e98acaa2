"""Kubernetes manifests: what they hold, and whom it concerns."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

DIRECTORY: Final = Path(__file__).parents[2] / "docs/kubernetes"
FILES: Final = sorted(path.name for path in DIRECTORY.glob("*.yaml"))

Manifest = dict[str, Any]


@dataclass(frozen=True)
class PodSpec:
    """What a manifest says of its pods, and in which namespace they are."""

    name: str
    namespace: str
    spec: Manifest

    @property
    def containers(self) -> list[Manifest]:
        """The containers, sidecars first."""
        found: list[Manifest] = [*self.spec.get("initContainers", []), *self.spec["containers"]]
        return found

    @property
    def volumes(self) -> dict[str, Manifest]:
        """The volumes by name."""
        return {volume["name"]: volume for volume in self.spec["volumes"]}

    @property
    def secrets(self) -> set[tuple[str, str]]:
        """The namespace and name of each Secret that is used."""
        volumes = [volume["secret"] for volume in self.volumes.values() if "secret" in volume]
        names = [volume["secretName"] for volume in volumes] + [key["name"] for key in self.keys]
        return {(self.namespace, name) for name in names}

    @property
    def keys(self) -> list[Manifest]:
        """The keys of Secrets that the environment is set by."""
        variables = [each for container in self.containers for each in container.get("env", [])]
        sources = (each.get("valueFrom", {}) for each in variables)
        return [source["secretKeyRef"] for source in sources if "secretKeyRef" in source]


def manifests(file: str) -> list[Manifest]:
    """Return the manifests of a file."""
    return list(yaml.safe_load_all((DIRECTORY / file).read_text()))


def all_manifests() -> list[Manifest]:
    """Return the manifests of every file."""
    return [manifest for file in FILES for manifest in manifests(file)]


def pod_specs() -> list[PodSpec]:
    """Return the pods that the manifests make."""
    found: list[PodSpec] = []
    for manifest in all_manifests():
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)  # of a CronJob
        spec = spec.get("template", {}).get("spec", spec)
        if "containers" in spec:
            found.append(
                PodSpec(manifest["metadata"]["name"], manifest["metadata"]["namespace"], spec)
            )
    return found


def named(kind: str) -> dict[tuple[str, str], Manifest]:
    """Return the manifests of a kind, by namespace and name."""
    return {
        (manifest["metadata"]["namespace"], manifest["metadata"]["name"]): manifest
        for manifest in all_manifests()
        if manifest["kind"] == kind
    }


def command_lines(container: Manifest) -> Iterator[list[str]]:
    """Yield every command of attachfs that a container is told to run, as words."""
    probes = [container.get(f"{when}Probe", {}) for when in ("startup", "liveness", "readiness")]
    hooks = container.get("lifecycle", {}).values()
    for words in (
        [*container.get("command", []), *container.get("args", [])],
        *(each["exec"]["command"] for each in (*probes, *hooks) if each),
    ):
        if words[:2] == ["sh", "-c"]:
            words = shlex.split(words[2].rpartition("exec ")[2])  # noqa: PLW2901 - what it becomes
        if words[:1] == ["attachfs"]:
            yield words
