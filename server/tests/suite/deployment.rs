//! What `deploy/` says about this server: images and manifests name its real routes, ports, flags, metrics and times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::CommandFactory;
use serde_json::Value;
use server::config::ServerArgs;
use tower::ServiceExt;

use crate::http::app;

/// Read by the server though no flag: keys do not belong on a command line.
const KEYS_VARIABLE: &str = "TRM_API_KEYS";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(name: &str) -> Value {
    yaml(&deploy().join("kubernetes").join(name))
}

/// The value at a JSON pointer, which must be there.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    at(value, pointer).as_str().unwrap_or_else(|| panic!("{pointer} is not text in {value}"))
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v Vec<Value> {
    at(value, pointer).as_array().unwrap_or_else(|| panic!("{pointer} is not a list in {value}"))
}

fn container(deployment: &Value) -> &Value {
    at(deployment, "/spec/template/spec/containers/0")
}

/// The settings that an overlay's `ConfigMap` ends up with: the base's and its own.
fn settings(overlay: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for file in ["base", overlay].map(|folder| manifest(&format!("{folder}/kustomization.yaml"))) {
        for generator in file["configMapGenerator"].as_array().into_iter().flatten() {
            assert_eq!(generator["name"], "trm-server");
            for literal in list(generator, "/literals") {
                let (name, value) = literal.as_str().unwrap().split_once('=').unwrap();
                settings.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    settings
}

/// The variables that a Dockerfile sets in the last stage.
fn image_settings(dockerfile: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(deploy().join("docker").join(dockerfile)).unwrap().replace("\\\n", " ");
    let (_, last) = text.rsplit_once("\nFROM ").unwrap();
    let variables = last.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    variables.map(|entry| entry.split_once('=').unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// The rest of the only line of the last stage that begins with `instruction`.
fn instruction(dockerfile: &str, instruction: &str) -> String {
    let text = fs::read_to_string(deploy().join("docker").join(dockerfile)).unwrap().replace("\\\n", " ");
    let (_, last) = text.rsplit_once("\nFROM ").unwrap();
    let mut found = last.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    let rest = found.next().unwrap_or_else(|| panic!("no {instruction} in {dockerfile}")).trim().to_owned();
    assert!(found.next().is_none() || instruction == "RUN", "two of {instruction} in {dockerfile}");
    rest
}

/// Every variable that a flag reads, with the flag's default.
fn flags() -> BTreeMap<String, Option<String>> {
    let command = ServerArgs::command();
    let flags = command.get_arguments().filter_map(|argument| {
        let default = argument.get_default_values().first().map(|value| value.to_str().unwrap().to_owned());
        Some((argument.get_env()?.to_str().unwrap().to_owned(), default))
    });
    flags.collect()
}

/// A number of milliseconds: as set, else the flag's default.
fn milliseconds(settings: &BTreeMap<String, String>, variable: &str) -> u64 {
    let value = settings.get(variable).cloned().or_else(|| flags()[variable].clone());
    value.unwrap_or_else(|| panic!("{variable} is neither set nor has it a default")).parse().unwrap()
}

fn port_of(address: &str) -> u64 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

const DOCKERFILES: [&str; 2] = ["Dockerfile.cpu", "Dockerfile.cuda"];
const OVERLAYS: [&str; 2] = ["overlays/cpu", "overlays/gpu"];

#[test]
fn every_manifest_parses_and_belongs_to_a_kustomization() {
    let root = deploy().join("kubernetes");
    let mut open = vec![root.clone()];
    let mut kinds = BTreeSet::new();
    while let Some(folder) = open.pop() {
        let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let names: BTreeSet<String> =
            files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        open.extend(files.iter().filter(|path| path.is_dir()).cloned());
        for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
            kinds.insert(yaml(path)["kind"].as_str().unwrap_or("values").to_owned());
        }
        if names.contains("kustomization.yaml") {
            let kustomization = yaml(&folder.join("kustomization.yaml"));
            let mut named: BTreeSet<String> = ["kustomization.yaml".to_owned()].into();
            for field in ["resources", "components"] {
                for entry in kustomization[field].as_array().into_iter().flatten() {
                    let entry = entry.as_str().unwrap();
                    assert!(folder.join(entry).exists(), "{entry} of {} is not there", folder.display());
                    named.insert(entry.to_owned());
                }
            }
            for patch in kustomization["patches"].as_array().into_iter().flatten() {
                named.extend(patch["path"].as_str().map(str::to_owned));
            }
            let forgotten: Vec<_> = names.difference(&named).collect();
            assert!(forgotten.is_empty(), "{}: {forgotten:?} belong to nothing", folder.display());
        }
    }
    for kind in [
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "ServiceMonitor",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
}

#[tokio::test]
async fn probes_and_scrapes_ask_routes_that_there_are() {
    let deployment = manifest("base/deployment.yaml");
    let mut paths: BTreeSet<String> = ["startupProbe", "readinessProbe", "livenessProbe"]
        .map(|probe| {
            assert_eq!(text(container(&deployment), &format!("/{probe}/httpGet/port")), "http");
            text(container(&deployment), &format!("/{probe}/httpGet/path")).to_owned()
        })
        .into();
    assert_eq!(paths, ["/livez", "/readyz"].map(str::to_owned).into());
    paths.insert(text(&manifest("components/autoscaling/servicemonitor.yaml"), "/spec/endpoints/0/path").to_owned());
    for dockerfile in DOCKERFILES {
        let check = instruction(dockerfile, "HEALTHCHECK");
        let (_, path) = check.split_once("GET ").unwrap();
        paths.insert(path.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        let response = app().oneshot(Request::get(path.as_str()).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[test]
fn ports_agree_from_the_server_to_the_service() {
    let deployment = manifest("base/deployment.yaml");
    let port = at(container(&deployment), "/ports/0/containerPort").as_u64().unwrap();
    assert_eq!(port_of(flags()["TRM_BIND"].as_deref().unwrap()), port);
    for overlay in OVERLAYS {
        assert_eq!(settings(overlay)["TRM_BIND"], format!("0.0.0.0:{port}"));
    }
    for dockerfile in DOCKERFILES {
        assert_eq!(instruction(dockerfile, "EXPOSE"), port.to_string());
        assert_eq!(image_settings(dockerfile)["TRM_BIND"], format!("0.0.0.0:{port}"));
    }
    let name = text(container(&deployment), "/ports/0/name");
    assert_eq!(text(&manifest("base/service.yaml"), "/spec/ports/0/targetPort"), name);
    let scraped = manifest("components/autoscaling/servicemonitor.yaml");
    assert_eq!(text(&scraped, "/spec/endpoints/0/port"), text(&manifest("base/service.yaml"), "/spec/ports/0/name"));
    assert_eq!(text(&manifest("base/networkpolicy.yaml"), "/spec/ingress/0/ports/0/port"), name);
}

#[test]
fn everything_that_is_set_is_a_flag_and_fits_it() {
    let flags = flags();
    let known = |name: &str| flags.contains_key(name) || name == KEYS_VARIABLE;
    let deployment = manifest("base/deployment.yaml");
    let mut all: BTreeSet<String> =
        list(container(&deployment), "/env").iter().map(|entry| text(entry, "/name").to_owned()).collect();
    let images = DOCKERFILES.map(image_settings);
    let overlays = OVERLAYS.map(settings);
    for values in images.iter().chain(&overlays) {
        all.extend(values.keys().cloned());
        // As the flags that the variables stand for, so that wrong values are reported.
        let command = ServerArgs::command();
        let mut typed = vec!["server".to_owned()];
        for (name, value) in values {
            let Some(argument) =
                command.get_arguments().find(|argument| argument.get_env().is_some_and(|e| e == name.as_str()))
            else {
                continue;
            };
            let flag = format!("--{}", argument.get_long().unwrap());
            typed.push(flag);
            if argument.get_action().takes_values() {
                typed.push(value.clone());
            }
        }
        ServerArgs::command().try_get_matches_from(&typed).unwrap_or_else(|error| panic!("{typed:?}: {error}"));
    }
    let unknown: Vec<_> = all.iter().filter(|name| *name != "ORT_DYLIB_PATH" && !known(name)).collect();
    assert!(unknown.is_empty(), "no flag of the server reads {unknown:?}");
    for required in ["TRM_THREADS", "TRM_API_KEYS_FILE"] {
        assert!(all.contains(required), "{required}");
    }
    assert_eq!(images[1]["TRM_REQUIRE_CUDA"], "true");
}

#[test]
fn a_pod_has_time_to_end() {
    let deployment = manifest("base/deployment.yaml");
    let grace = at(&deployment, "/spec/template/spec/terminationGracePeriodSeconds").as_u64().unwrap() * 1000;
    let pause = at(container(&deployment), "/lifecycle/preStop/sleep/seconds").as_u64().unwrap() * 1000;
    for overlay in OVERLAYS {
        let settings = settings(overlay);
        let drain = milliseconds(&settings, "TRM_DRAIN_TIMEOUT_MS");
        let delay = milliseconds(&settings, "TRM_DRAIN_DELAY_MS");
        assert!(pause + delay + drain < grace, "{overlay}: {pause} + {delay} + {drain} ms, killed after {grace} ms");
        // What was accepted last may take as long as any request.
        assert!(milliseconds(&settings, "TRM_REQUEST_TIMEOUT_MS") <= drain, "{overlay}");
    }
}

#[test]
fn selectors_find_the_pods_and_pods_are_restricted() {
    let deployment = manifest("base/deployment.yaml");
    let labels = at(&deployment, "/spec/template/metadata/labels");
    assert_eq!(at(&deployment, "/spec/selector/matchLabels"), labels);
    assert_eq!(at(&manifest("base/service.yaml"), "/spec/selector"), labels);
    for file in ["base/poddisruptionbudget.yaml", "components/autoscaling/servicemonitor.yaml"] {
        assert_eq!(at(&manifest(file), "/spec/selector/matchLabels"), labels, "{file}");
    }
    assert_eq!(at(&manifest("base/networkpolicy.yaml"), "/spec/podSelector/matchLabels"), labels);
    assert_eq!(at(&manifest("base/service.yaml"), "/metadata/labels"), labels, "the ServiceMonitor looks for these");
    assert_eq!(text(&deployment, "/spec/template/spec/serviceAccountName"), "trm-server");
    assert_eq!(text(&manifest("base/serviceaccount.yaml"), "/metadata/name"), "trm-server");

    let pod = at(&deployment, "/spec/template/spec");
    assert_eq!(at(pod, "/securityContext/runAsNonRoot"), true);
    assert_eq!(text(pod, "/securityContext/seccompProfile/type"), "RuntimeDefault");
    let context = at(container(&deployment), "/securityContext");
    assert_eq!(at(context, "/readOnlyRootFilesystem"), true);
    assert_eq!(at(context, "/allowPrivilegeEscalation"), false);
    assert_eq!(list(context, "/capabilities/drop"), &["ALL"]);
    let user = at(pod, "/securityContext/runAsUser").as_u64().unwrap();
    for dockerfile in DOCKERFILES {
        assert_eq!(instruction(dockerfile, "USER"), format!("{user}:{user}"));
        assert_eq!(instruction(dockerfile, "STOPSIGNAL"), "SIGTERM");
    }
    let keys = list(container(&deployment), "/env").iter().find(|entry| entry["name"] == "TRM_API_KEYS_FILE").unwrap();
    let folder = text(container(&deployment), "/volumeMounts/0/mountPath");
    assert!(text(keys, "/value").starts_with(&format!("{folder}/")), "{keys}");
    // Read by the group alone; written down in decimal, since YAML 1.2 has other octal numbers than YAML 1.1.
    assert_eq!(at(pod, "/volumes/0/secret/defaultMode").as_u64(), Some(0o440));
}

/// The metric on the page is the one that the adapter renames and the autoscaler reads.
#[tokio::test]
async fn the_autoscaler_follows_a_metric_that_the_server_has() {
    let autoscaler = manifest("components/autoscaling/horizontalpodautoscaler.yaml");
    let metric = text(&autoscaler, "/spec/metrics/0/pods/metric/name");
    let adapter = manifest("prometheus-adapter.yaml");
    assert_eq!(text(&adapter, "/rules/custom/0/name/as"), metric);
    assert!(text(&adapter, "/rules/custom/0/seriesQuery").starts_with(&format!("{metric}{{")));

    let response = app().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    let page = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let page = std::str::from_utf8(&page).unwrap();
    assert!(page.lines().any(|line| line.starts_with(&format!("{metric}{{model=\""))), "{page}");

    let target: u64 = text(&autoscaler, "/spec/metrics/0/pods/target/averageValue").parse().unwrap();
    for overlay in OVERLAYS {
        let capacity: u64 = settings(overlay)["TRM_QUEUE_CAPACITY"].parse().unwrap();
        assert!(2 * target <= capacity, "{overlay}: new pods come only when the queue of {capacity} is nearly full");
    }
    assert_eq!(
        text(&autoscaler, "/spec/scaleTargetRef/name"),
        text(&manifest("base/deployment.yaml"), "/metadata/name")
    );
}
