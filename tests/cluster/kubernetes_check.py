"""Checks cluster/kubernetes and cluster/Containerfile without a cluster.

usage: kubernetes_check.py BINARIES REPOSITORY...

Each manifest is held against the API's published schemas, in which an unknown key is an error, and against the other files: numbers
and names that have to agree, exit codes, stages, and the options that the stages' `--help` tells, for the stages that lie in the folder
BINARIES. Prints a line for each repository that is in order and for each problem of the others, and exits with 1 if there is one.
"""

import functools
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import importlib_resources
import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

# backoffLimitPerIndex and podFailurePolicy are on by default from 1.29 on.
KUBERNETES = ["1.29.0", kubernetes_validate.latest_version()]
DEFINITIONS = "https://kubernetes.io/api/_definitions.json#/$defs/"
STRING, COUNT = {"type": "string"}, {"type": "integer", "minimum": 1}


def closed(required, **properties):
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


REPLICAS = closed(
    ["template", "restartPolicy"],
    replicas=COUNT,
    restartPolicy={"enum": ["Never", "OnFailure"]},
    template={"$ref": DEFINITIONS + "io.k8s.api.core.v1.PodTemplateSpec"},
)
# The fields that are used of the CustomResourceDefinition mpijobs.kubeflow.org, version v2beta1, of mpi-operator 0.8.2, and what its
# ValidateMPIJob asks for.
MPI_JOB = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "kubeflow.org/v2beta1"},
    kind={"const": "MPIJob"},
    metadata={"$ref": DEFINITIONS + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
    spec=closed(
        ["mpiReplicaSpecs", "slotsPerWorker", "runPolicy", "sshAuthMountPath"],
        slotsPerWorker=COUNT,
        launcherCreationPolicy={"enum": ["AtStartup", "WaitForWorkersReady"]},
        sshAuthMountPath=STRING,
        runPolicy=closed(["cleanPodPolicy"], cleanPodPolicy={"enum": ["None", "Running", "All"]}, backoffLimit=COUNT),
        mpiReplicaSpecs=closed(["Launcher", "Worker"], Launcher=REPLICAS, Worker=REPLICAS),
    ),
)


def published(api_version, definition):
    """The schema of an object of the API itself."""
    return {
        "$ref": DEFINITIONS + definition,
        "properties": {"apiVersion": {"const": api_version}},
        "required": ["apiVersion", "kind", "metadata", "spec"],
    }


KINDS = {
    "Job": published("batch/v1", "io.k8s.api.batch.v1.Job"),
    "MPIJob": MPI_JOB,
    "PersistentVolumeClaim": published("v1", "io.k8s.api.core.v1.PersistentVolumeClaim"),
}

problems = []


def require(holds, file, problem):
    if not holds:
        problems.append(f"{file}: {problem}")


class UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings name no key twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_manifests(folder):
    manifests = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=UniqueKeys))
        except yaml.YAMLError as error:
            require(False, path.name, str(error).replace("\n", " "))
            continue
        require(len(documents) == 1, path.name, f"expected one object, found {len(documents)}")
        manifests[path.name] = documents[0]
    return manifests


@functools.cache
def definitions(version):
    """The schemas of a version's objects, which allow no unknown keys."""
    folder = importlib_resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    return Resource.from_contents(json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))) @ Registry()


def check_schema(file, manifest):
    if manifest.get("kind") not in KINDS:
        return require(False, file, f"expected one of {sorted(KINDS)}, found {manifest.get('kind')}")
    for version in KUBERNETES:
        try:
            jsonschema.Draft202012Validator(KINDS[manifest["kind"]], registry=definitions(version)).validate(manifest)
        except jsonschema.ValidationError as error:
            place = ".".join(str(step) for step in error.path)
            return require(False, file, f"{place}: {error.message} (Kubernetes {version})")
    return True


def pods(manifest):
    """The pod specs of a manifest."""
    spec = manifest["spec"]
    if manifest["kind"] == "MPIJob":
        return [replicas["template"]["spec"] for replicas in spec["mpiReplicaSpecs"].values()]
    return [spec["template"]["spec"]] if manifest["kind"] == "Job" else []


def check_failures(file, job):
    """Another try after a drained node, none after exit codes that another try ends with too."""
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", [])
    of_action = {rule["action"]: rule for rule in rules}
    disruptions = of_action.get("Ignore", {}).get("onPodConditions", [])
    require({"type": "DisruptionTarget", "status": "True"} in disruptions, file, "expected DisruptionTarget to be ignored")
    codes = of_action.get("FailJob", {}).get("onExitCodes", {})
    expected = [2, 3, 4] if file == "stage.yaml" else [2, 3]
    found = codes.get("values")
    require(codes.get("operator") == "In" and found == expected, file, f"expected exit codes {expected} to fail the job, found {found}")
    pod = job["spec"]["template"]["spec"]
    names = [container["name"] for container in pod["containers"]]
    require(codes.get("containerName") in names, file, f"exit codes are those of one of the containers {names}")
    require(pod.get("restartPolicy") == "Never", file, "a podFailurePolicy needs restartPolicy: Never")


def check_shares(file, job):
    spec = job["spec"]
    environment = {entry["name"]: entry.get("value") for entry in spec["template"]["spec"]["containers"][0].get("env", [])}
    if file not in ("ingest.yaml", "score.yaml"):
        require(spec.get("completionMode") is None and "JOB_COMPLETIONS" not in environment, file, "one pod makes all, found shares")
        return
    require(spec.get("completionMode") == "Indexed", file, "expected completionMode: Indexed")
    require("backoffLimitPerIndex" in spec, file, "expected a backoffLimitPerIndex")
    completions, variable = spec.get("completions"), environment.get("JOB_COMPLETIONS")
    require(variable == str(completions), file, f"expected JOB_COMPLETIONS {completions}, as completions, found {variable}")
    require(spec.get("parallelism", 1) <= (completions or 0), file, f"expected a parallelism of {completions} at most")


def check_pod(file, pod, facts):
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for volume in volumes.values():
        claim = volume.get("persistentVolumeClaim", {}).get("claimName", facts["claim"])
        require(claim == facts["claim"], file, f"expected the claim {facts['claim']} of volume.yaml, found {claim}")
        config = volume.get("configMap", {}).get("name", facts["config"])
        require(config == facts["config"], file, f"expected the ConfigMap {facts['config']} of run-all, found {config}")
    security = pod.get("securityContext", {})
    require(security.get("runAsNonRoot") is True, file, "expected runAsNonRoot: true")
    user = [security.get(key) for key in ("runAsUser", "runAsGroup", "fsGroup")]
    require(user == facts["user"] + facts["user"][1:], file, f"expected the user {facts['user']} of the Containerfile, found {user}")
    for container in pod["containers"]:
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        require(set(mounts) == set(volumes), file, f"expected mounts of {sorted(volumes)}, found {sorted(mounts)}")
        limits = container["resources"]
        require(limits["requests"] == limits["limits"], file, f"expected requests as the limits, found {limits}")
        security = container.get("securityContext", {})
        confined = security.get("allowPrivilegeEscalation") is False and security.get("readOnlyRootFilesystem") is True
        require(confined and security.get("capabilities") == {"drop": ["ALL"]}, file, f"expected no privileges, found {security}")
        tag = facts["version"] + ("-mpi" if file == "train.yaml" else "")
        require(container["image"] == f"disranker:{tag}", file, f"expected the image disranker:{tag}, found {container['image']}")
        require(f"--tag disranker:{tag} " in facts["containerfile"], file, f"the Containerfile tells how disranker:{tag} is built")


def check_command(file, words, facts, mounts):
    """A stage's command line: the stage, its options, keys and paths."""
    program, options = words[0], words[1:]
    stage = program.removesuffix("-mpi")
    require(stage in facts["stages"], file, f"expected a stage of stages/order, found {program}")
    ranks = file == "train.yaml"
    require(program.endswith("-mpi") == ranks and (not ranks or stage in ("teacher", "distill")), file, f"{program} does not run here")
    known = known_options(program, facts["binaries"])
    for option in (word for word in options if word.startswith("--")):
        require(known is None or option in known, file, f"{program} has no option {option}")
    overrides = [value for option, value in zip(options, options[1:]) if option == "--set"]
    for key in (value.split("=")[0] for value in overrides):
        table, _, name = key.partition(".")
        require(table == "run" and name in facts["run_keys"], file, f"expected a key of [run], found {key}")
    config = options[options.index("--config") + 1] if "--config" in options else None
    require(config == f"{mounts.get('config')}/pipeline.toml", file, f"expected the ConfigMap's pipeline.toml, found {config}")
    root = f"run.root={mounts.get('data')}/runs"
    require(root in overrides, file, f"expected {root}, on the shared volume")
    return overrides


@functools.cache
def known_options(program, binaries):
    binary = binaries / program
    if not binary.exists():
        return None
    told = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z][a-z-]*", told))


def check_job(file, job, facts):
    check_failures(file, job)
    check_shares(file, job)
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    words = container["command"] + container.get("args", [])
    overrides = check_command(file, words, facts, mounts)
    threads = {"name": "THREADS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    require("run.threads=$(THREADS)" in overrides and threads in container["env"], file, "expected as many threads as the limit of cpu")
    name = "disranker-" + (words[0] if file == "stage.yaml" else f"{words[0]}-shards")
    require(job["metadata"]["name"] == name, file, f"expected the name {name}, which run-all waits for, found {job['metadata']['name']}")


def check_training(file, job, facts):
    spec = job["spec"]
    launcher, worker = (spec["mpiReplicaSpecs"][role] for role in ("Launcher", "Worker"))
    require(launcher.get("replicas", 1) == 1, file, "expected one launcher")
    launcher, worker = (replicas["template"]["spec"]["containers"][0] for replicas in (launcher, worker))
    mounts = {mount["name"]: mount["mountPath"] for mount in worker["volumeMounts"]}
    words = launcher["command"] + launcher.get("args", [])
    start = next(at for at, word in enumerate(words) if word.endswith("-mpi"))
    overrides = check_command(file, words[start:], facts, mounts)
    mpirun = " ".join(words[:start])
    for flag in ("time 5", "intvl 2", "probes 3"):
        require(f"--mca oob_tcp_keepalive_{flag}" in mpirun, file, f"expected mpirun's --mca oob_tcp_keepalive_{flag}")
    require(mpirun.startswith("mpirun ") and "--bind-to none" in mpirun, file, "expected mpirun with --bind-to none")
    passed, set_here = set(re.findall(r"-x (\w+)", mpirun)), {entry["name"] for entry in launcher.get("env", [])}
    require(passed == set_here, file, f"expected mpirun to pass on {sorted(set_here)}, found {sorted(passed)}")
    threads = next((int(value.split("=")[1]) for value in overrides if value.startswith("run.threads=")), 0)
    cpus = int(worker["resources"]["limits"]["cpu"])
    slots = spec["slotsPerWorker"]
    require(threads * slots == cpus, file, f"expected run.threads {cpus}/{slots}, the workers' cpus by their ranks, found {threads}")
    require(threads.bit_count() == 1, file, f"expected a power of two as run.threads, found {threads}")
    name = f"disranker-{words[start].removesuffix('-mpi')}"
    require(job["metadata"]["name"] == name, file, f"expected the name {name}, which run-all waits for, found {job['metadata']['name']}")
    port = worker["readinessProbe"]["tcpSocket"]["port"]
    lines = re.findall(r"'(\w+) ([^']*)'", facts["containerfile"])
    require([value for key, value in lines if key == "Port"] == [str(port)] * 2, file, f"expected the Containerfile's port, found {port}")
    keys = spec["sshAuthMountPath"]
    require(("HostKey", f"{keys}/id_rsa") in lines, file, f"expected the folder of the Containerfile's HostKey, found {keys}")
    require(worker["command"] == ["/usr/sbin/sshd", "-De"], file, f"expected workers to run sshd, found {worker['command']}")


def check_containerfile(facts, rust_version):
    file, text = "Containerfile", facts["containerfile"]
    rust = re.search(r"^ARG RUST=([\d.]+)$", text, re.MULTILINE)
    number = lambda version: [int(part) for part in version.split(".")]
    found = rust and rust.group(1)
    require(rust and number(found) >= number(rust_version), file, f"expected Rust {rust_version} or later, found {found}")
    users = re.findall(r"^USER (.*)$", text, re.MULTILINE)
    require(users and len(set(users)) == 1, file, f"expected one user for all images, found {users}")
    require(f"useradd --uid {facts['user'][0]} " in text, file, f"expected a user of number {facts['user'][0]}")
    require("FROM base AS mpi" in text, file, "expected the target mpi")


def read_facts(root, manifests, binaries):
    cargo = tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]
    schema = json.loads((root / "schemas/pipeline.schema.json").read_text(encoding="utf-8"))
    containerfile = (root / "cluster/Containerfile").read_text(encoding="utf-8")
    script = (root / "cluster/kubernetes/run-all").read_text(encoding="utf-8")
    config = re.search(r'create configmap (\S+) --from-file "pipeline\.toml=', script)
    user = re.search(r"^USER (\d+):(\d+)$", containerfile, re.MULTILINE)
    facts = {
        "binaries": binaries,
        "claim": manifests["volume.yaml"]["metadata"]["name"],
        "config": config and config.group(1),
        "containerfile": containerfile,
        "run_keys": schema["definitions"]["RunConfig"]["properties"].keys(),
        "stages": (root / "stages/order").read_text(encoding="utf-8").split(),
        "user": [int(number) for number in user.groups()] if user else [None, None],
        "version": cargo["version"],
    }
    check_containerfile(facts, cargo["rust-version"])
    return facts


def check_repository(root, binaries):
    """Fills `problems`."""
    manifests = read_manifests(root / "cluster/kubernetes")
    expected = ["ingest.yaml", "score.yaml", "stage.yaml", "train.yaml", "volume.yaml"]
    require(sorted(manifests) == expected, "cluster/kubernetes", f"expected {expected}, found {sorted(manifests)}")
    # Facts are looked up in objects of the right form.
    if problems or not all([check_schema(file, manifest) for file, manifest in manifests.items()]):
        return
    facts = read_facts(root, manifests, binaries)
    access = manifests["volume.yaml"]["spec"]["accessModes"]
    require(access == ["ReadWriteMany"], "volume.yaml", f"expected ReadWriteMany, found {access}")
    for file, manifest in manifests.items():
        for pod in pods(manifest):
            check_pod(file, pod, facts)
        check = {"Job": check_job, "MPIJob": check_training}.get(manifest["kind"])
        if check:
            check(file, manifest, facts)


def main():
    binaries, *roots = map(pathlib.Path, sys.argv[1:])
    code = 0
    for root in roots:
        problems.clear()
        check_repository(root, binaries)
        for line in problems or [f"valid for Kubernetes {' and '.join(KUBERNETES)}"]:
            print(f"{root}: {line}")
        code = max(code, len(problems) > 0)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
