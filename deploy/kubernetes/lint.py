#!/usr/bin/env python3
"""Checks the manifests of jobs: Kubernetes' own against its schemas, Kubeflow's against the models of its Python packages.

    pip install kubernetes-validate kubeflow-training kubeflow-trainer-api
    python3 deploy/kubernetes/lint.py

A field that a schema does not know is an error. Overlays of the server are built first: see docs/deployment.md.
"""
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from kubeflow.training import models as operator
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

VERSIONS = ["1.30", "1.34", "1.37"]
FOLDER = Path(__file__).parent


def check_operator(kind, value, path):
    """Holds a value against a model of the training operator's package: names of fields, required ones, nested models."""
    if kind.startswith("dict("):
        for name, item in value.items():
            check_operator(kind[len("dict(str, "):-1], item, f"{path}.{name}")
        return
    model = getattr(operator, kind, None)
    if model is None:
        return
    known = {json: attribute for attribute, json in model.attribute_map.items()}
    unknown = set(value) - set(known)
    if unknown:
        raise ValueError(f"{path}: unknown fields {sorted(unknown)}")
    for name, item in value.items():
        check_operator(model.openapi_types[known[name]], item, f"{path}.{name}")
    # Fails where a required field is missing.
    model(**{known[name]: item for name, item in value.items()})


def check_trainer(kind, value, path):
    """Holds a value against a type of the trainer's package, whose models by themselves ignore fields that they do not know."""
    parts = getattr(kind, "__args__", ())
    if optional(parts):
        check_trainer(optional(parts), value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_trainer(parts[0], item, f"{path}[{index}]")
    elif getattr(kind, "__origin__", None) is dict:
        for name, item in value.items():
            check_trainer(parts[1], item, f"{path}.{name}")
    elif isinstance(value, dict) and hasattr(kind, "model_fields"):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        unknown = set(value) - set(fields)
        if unknown:
            raise ValueError(f"{path}: unknown fields {sorted(unknown)}")
        for name, item in value.items():
            check_trainer(fields[name], item, f"{path}.{name}")
        kind.from_dict(value)


def optional(parts):
    """The type that may be left out, of an optional one."""
    return parts[0] if len(parts) == 2 and parts[1] is type(None) else None


def check(document):
    api, kind = document["apiVersion"], document["kind"]
    if api.startswith("kubeflow.org/"):
        check_operator(f"KubeflowOrgV1{kind}", document, kind)
        for replica in document["spec"]["pytorchReplicaSpecs"].values():
            check_pod(replica["template"])
    elif api.startswith("trainer.kubeflow.org/"):
        check_trainer(TrainerV1alpha1TrainJob, document, kind)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def check_pod(template):
    """A pod inside of another object, as the template of a Deployment."""
    labels = template["metadata"]["labels"]
    pod = {**template, "spec": {**template["spec"], "restartPolicy": "Always"}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    check({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pod"}, "spec": spec})


def main():
    failed = False
    for path in sorted([*FOLDER.glob("training/*.yaml"), *FOLDER.glob("evaluation/*.yaml")]):
        for document in yaml.safe_load_all(path.read_text()):
            try:
                check(document)
                print(f"{path.relative_to(FOLDER)}: {document['kind']} is sound")
            except Exception as error:  # noqa: BLE001: every reason is worth printing.
                print(f"{path.relative_to(FOLDER)}: {error}", file=sys.stderr)
                failed = True
    sys.exit(failed)


main()
