"""The manifests for Kubernetes: of the official schema, agreeing with one another and with us."""

import copy
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import PurePath
from typing import Any

import click
import kubernetes_validate
import pytest

from attachfs.cli.app import app
from tests.support.manifests import (
    DIRECTORY,
    FILES,
    Manifest,
    PodSpec,
    all_manifests,
    command_lines,
    manifests,
    named,
    pod_specs,
)

# Sidecars are settled since the first of them; what comes later may leave something behind.
_VERSIONS = ("1.33", kubernetes_validate.latest_version())
# A thousand checks read a megabyte of definitions each.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
_PODS = pod_specs()
_CONTAINERS = [(pod, container) for pod in _PODS for container in pod.containers]


def _named_after(value: Any) -> str | None:
    return value.name if isinstance(value, PodSpec) else None


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_a_manifest_is_of_the_official_schema(file: str, version: str) -> None:
    """Strictly: no field that Kubernetes does not know."""
    for manifest in manifests(file):
        kubernetes_validate.validate(manifest, version, strict=True)


def _fields(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every field whose name Kubernetes sets."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield (*at, name)
            # What is in these is named by whoever writes it.
            if name not in ("labels", "matchLabels", "stringData", "limits", "requests"):
                yield from _fields(below, (*at, name))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _fields(below, (*at, index))


@pytest.mark.parametrize("file", FILES)
def test_a_misspelt_field_is_noticed(file: str) -> None:
    """Wherever it is: so that check can fail."""
    for manifest in manifests(file):
        for *above, name in _fields(manifest):
            if name in ("apiVersion", "kind"):  # without them there is no schema to look at
                continue
            misspelt = copy.deepcopy(manifest)
            holder = misspelt
            for step in above:
                holder = holder[step]
            holder[f"{name}s"] = holder.pop(name)
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(misspelt, _VERSIONS[-1], strict=True)


def test_a_value_of_another_type_is_noticed() -> None:
    """A list where there is a word, for one."""
    (manifest,) = manifests("daemonset.yaml")
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, _VERSIONS[-1], strict=True)


@pytest.mark.parametrize(("pod", "container"), _CONTAINERS, ids=_named_after)
def test_every_command_line_is_one_of_ours(pod: PodSpec, container: Manifest) -> None:
    """Commands and options exist, values are of their types."""
    found = list(command_lines(container))
    assert found or "attachfs" not in container["image"], pod.name
    for words in found:
        _parse(words)


@pytest.mark.parametrize("words", ["attachfs mount /m --cache-sizes 1GiB", "attachfs stat /m"])
def test_a_command_line_that_is_none_is_noticed(words: str) -> None:
    """An option, and a command, that there are not."""
    with pytest.raises(click.UsageError):
        _parse(words.split())


def _parse(words: list[str]) -> None:
    name, command, rest = app.resolve_command(click.Context(app), words[1:])
    assert command is not None
    with command.make_context(name, rest):
        pass


@pytest.mark.parametrize(("pod", "container"), _CONTAINERS, ids=_named_after)
def test_what_a_command_names_is_mounted_there(pod: PodSpec, container: Manifest) -> None:
    """Every path is in a volume; probes and hooks ask the mount that the command makes."""
    mounted = [PurePath(each["mountPath"]) for each in container.get("volumeMounts", [])]
    mountpoints = set()
    for words in command_lines(container):
        values = [word.rpartition("=")[2] for word in words]
        for path in (PurePath(value) for value in values if value.startswith("/")):
            assert any(path.is_relative_to(place) for place in mounted), (pod.name, path)
        if words[1] in ("mount", "status", "umount"):
            mountpoints.add(words[2])
    assert len(mountpoints) <= 1


@pytest.mark.parametrize("pod", _PODS, ids=_named_after)
def test_volumes_are_those_that_are_mounted(pod: PodSpec) -> None:
    """None is missing, none is left over."""
    used = {each["name"] for some in pod.containers for each in some.get("volumeMounts", [])}
    assert used == pod.volumes.keys()


@pytest.mark.parametrize("pod", _PODS, ids=_named_after)
def test_secrets_and_claims_are_there(pod: PodSpec) -> None:
    """By name and key, in the namespace that there is."""
    secrets, claims = named("Secret"), named("PersistentVolumeClaim")
    assert pod.secrets <= secrets.keys()
    for key in pod.keys:
        assert key["key"] in secrets[pod.namespace, key["name"]]["stringData"]
    for volume in pod.volumes.values():
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        assert claim is None or (pod.namespace, claim) in claims


def test_the_namespace_is_there() -> None:
    """Of everything that is in one."""
    (namespace,) = (each for each in all_manifests() if each["kind"] == "Namespace")
    names = {each["metadata"].get("namespace") for each in all_manifests()} - {None}
    assert names == {namespace["metadata"]["name"]}


@pytest.mark.parametrize(("pod", "container"), _CONTAINERS, ids=_named_after)
def test_files_of_secrets_are_those_that_commands_read(pod: PodSpec, container: Manifest) -> None:
    """Each option that names a file of a Secret's volume names one of its keys."""
    for mount, words in product(container.get("volumeMounts", []), command_lines(container)):
        secret = pod.volumes[mount["name"]].get("secret")
        if secret is None:
            continue
        keys = named("Secret")[pod.namespace, secret["secretName"]]["stringData"].keys()
        place = PurePath(mount["mountPath"])
        for path in (PurePath(word) for word in words if word.startswith("/")):
            assert not path.is_relative_to(place) or path.name in keys


@pytest.mark.parametrize("pod", _PODS, ids=_named_after)
def test_files_of_secrets_are_the_owners_alone(pod: PodSpec) -> None:
    """What attachfs demands; fsGroup would have the kubelet open them to the group."""
    secrets = [volume["secret"] for volume in pod.volumes.values() if "secret" in volume]
    for secret in secrets:
        assert secret["defaultMode"] == 0o400
        assert "fsGroup" not in pod.spec.get("securityContext", {})


@pytest.mark.parametrize(("pod", "container"), _CONTAINERS, ids=_named_after)
def test_mounts_are_passed_on_as_kubernetes_allows(pod: PodSpec, container: Manifest) -> None:
    """Bidirectional takes a privileged container, which the schema does not say."""
    passed_on = {each.get("mountPropagation") for each in container.get("volumeMounts", [])}
    mounts = any(words[1] == "mount" for words in command_lines(container))
    privileged = container.get("securityContext", {}).get("privileged", False)
    assert mounts == privileged == ("Bidirectional" in passed_on), pod.name


def test_the_document_names_every_file() -> None:
    """And no other."""
    document = (DIRECTORY.parent / "scale.md").read_text()
    assert {file for file in FILES if f"(kubernetes/{file})" in document} == set(FILES)


def test_the_job_fits_a_restricted_namespace() -> None:
    """As the Pod Security Standards have it, of which the schema says nothing."""
    (pod,) = (pod for pod in _PODS if pod.name == "attachfs-verify")
    assert pod.spec["securityContext"]["runAsNonRoot"]
    assert pod.spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    kinds = {kind for volume in pod.volumes.values() for kind in volume.keys() - {"name"}}
    assert kinds <= {"persistentVolumeClaim", "emptyDir", "secret", "configMap", "projected"}
    for container in pod.containers:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
