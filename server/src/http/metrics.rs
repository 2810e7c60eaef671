//! `GET /metrics`: every number of this process in the text format of `OpenMetrics`, or in the classic one of Prometheus where
//! `Accept` asks for it.
//! The engines' own counters are read when somebody asks; nothing is counted twice.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use engine::registry::{Models, ServedModel};
use engine::{HistogramSnapshot, Histograms, MetricsSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry as Page, Unit};
use tokio::sync::Semaphore;

use super::openapi::problems;
use super::traffic::Traffic;
use super::{Problem, ProblemKind, ServerState};
use crate::lifecycle::{Lifecycle, Phase};
use crate::reload::Reloader;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operation",
    responses((status = 200, description = "Prometheus' text form.", content_type = "*/*")),
    extensions(("x-responses" = json!(problems(&[ProblemKind::Unauthorized])))),
)]
pub(super) async fn metrics(State(state): State<Arc<ServerState>>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut text = String::new();
    // Only a writer can fail, and a string does not.
    prometheus_client::encoding::text::encode(&mut text, &state.page).map_err(|_| Problem::Internal)?;
    let (content_type, text) = if wants_classic(&headers) { (CLASSIC, classic(&text)) } else { (OPEN_METRICS, text) };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// Whether a client prefers plain text to `OpenMetrics`. Who does not say gets what was always given.
fn wants_classic(headers: &HeaderMap) -> bool {
    let lines: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    let quality = |name: &str| {
        let ranges = lines.iter().flat_map(|line| line.split(','));
        let of = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|range| range.eq_ignore_ascii_case(name));
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |quality| quality.parse().ok());
            quality.filter(|_| is_named)
        };
        ranges.filter_map(of).fold(0.0_f32, f32::max)
    };
    quality("text/plain") > quality("application/openmetrics-text")
}

/// The page in the classic format: families are named as their samples are, `info` is a gauge, and nothing ends the page.
fn classic(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut renamed: Option<(String, String)> = None;
    let lines: Vec<&str> = page.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "EOF" | "UNIT", ..] => continue,
            ["#", "HELP" | "TYPE", name, rest] => {
                if renamed.as_ref().is_none_or(|(known, _)| known != name) {
                    renamed = Some((name.to_owned(), classic_name(name, &lines[index..])));
                }
                let name = renamed.as_ref().map_or(name, |(_, name)| name.as_str());
                let rest = if words[1] == "TYPE" {
                    rest.replace("info", "gauge").replace("unknown", "untyped")
                } else {
                    rest.to_owned()
                };
                for part in ["# ", words[1], " ", name, " ", &rest] {
                    text.push_str(part);
                }
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The name of a family of counters or facts, which ends as its samples do.
fn classic_name(name: &str, lines: &[&str]) -> String {
    let kind = lines.iter().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
    match kind {
        Some("counter") => format!("{name}_total"),
        Some("info") => format!("{name}_info"),
        _ => name.to_owned(),
    }
}

/// What the page of one server shows.
pub(super) fn page(traffic: &Traffic, process: ProcessState, models: Arc<Models>) -> Page {
    let mut page = Page::default();
    page.register_collector(Box::new(Engines(models)));
    traffic.register(&mut page);
    page.register_collector(Box::new(process));
    page
}

/// The engines of whatever models are served when somebody asks.
#[derive(Debug)]
struct Engines(Arc<Models>);

/// A model's numbers, taken once for a whole page.
struct Sample {
    model: Arc<ServedModel>,
    metrics: MetricsSnapshot,
    histograms: Histograms,
}

impl Sample {
    fn of(model: &Arc<ServedModel>) -> Self {
        let (metrics, histograms) = (model.engine.metrics(), model.engine.histograms());
        Self { model: model.clone(), metrics, histograms }
    }

    fn label(&self) -> [(&'static str, &str); 1] {
        [("model", self.model.card.name.as_str())]
    }
}

impl Collector for Engines {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let samples: Vec<Sample> = self.0.current().models().iter().map(Sample::of).collect();
        models_info(&mut encoder, &samples)?;
        gauges(&mut encoder, &samples)?;
        outcomes(&mut encoder, &samples)?;
        plain_counters(&mut encoder, &samples)?;
        times(&mut encoder, &samples)?;
        histograms(&mut encoder, &samples)
    }
}

fn models_info(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor("trm_model", "The models that are served", None, MetricType::Info)?;
    for sample in samples {
        let card = &sample.model.card;
        let task = sample.model.task.to_string();
        let labels = [
            ("model", card.name.as_str()),
            ("task", &task),
            ("sha256", &card.sha256),
            ("architecture", card.arch.name()),
        ];
        metric.encode_info(&labels)?;
    }
    Ok(())
}

fn gauges(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    type Read = fn(&Sample) -> usize;
    let all: [(&str, &str, Read); 5] = [
        ("trm_queue_waiting", "Puzzles that wait for a slot", |sample| sample.metrics.waiting),
        ("trm_queue_capacity", "Puzzles that may wait", |sample| sample.model.engine.options().queue_capacity),
        ("trm_slots", "Slots for chains", |sample| sample.model.engine.options().slots),
        ("trm_slots_in_use", "Slots that hold a chain", |sample| sample.metrics.slots_in_use),
        ("trm_engine_up", "1 while the engine's thread lives", |sample| usize::from(sample.model.engine.is_alive())),
    ];
    for (name, help, read) in all {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for sample in samples {
            metric.encode_family(&sample.label())?.encode_gauge(&(read(sample) as i64))?;
        }
    }
    Ok(())
}

fn outcomes(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    let mut metric =
        encoder.encode_descriptor("trm_requests", "Puzzles by what became of them", None, MetricType::Counter)?;
    for Sample { model, metrics, .. } in samples {
        let outcomes = [
            ("answered", metrics.answered),
            ("rejected", metrics.rejected),
            ("cancelled", metrics.cancelled),
            ("expired", metrics.expired),
            ("failed", metrics.failed),
        ];
        for (outcome, count) in outcomes {
            count_one(&mut metric, &[("model", model.card.name.as_str()), ("outcome", outcome)], count)?;
        }
    }
    let mut metric = encoder.encode_descriptor(
        "trm_answers",
        "Answers by whether they obey the rules",
        None,
        MetricType::Counter,
    )?;
    for Sample { model, metrics, .. } in samples {
        let unverified = metrics.answered.saturating_sub(metrics.verified);
        for (verified, count) in [("true", metrics.verified), ("false", unverified)] {
            count_one(&mut metric, &[("model", model.card.name.as_str()), ("verified", verified)], count)?;
        }
    }
    Ok(())
}

fn plain_counters(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    type Read = fn(&MetricsSnapshot) -> u64;
    let all: [(&str, &str, Read); 5] = [
        ("trm_requests_accepted", "Puzzles that entered the queue", |metrics| metrics.accepted),
        ("trm_answers_restarted", "Answers that took more than one chain", |metrics| metrics.restarted),
        ("trm_steps", "Supervision steps: occupied rows over all batches", |metrics| metrics.rows),
        ("trm_padding_rows", "Rows computed only to fill a fixed batch size", |metrics| metrics.padding_rows),
        ("trm_batches", "Batches run", |metrics| metrics.turns),
    ];
    for (name, help, read) in all {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for sample in samples {
            count_one(&mut metric, &sample.label(), read(&sample.metrics))?;
        }
    }
    Ok(())
}

fn times(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    type Seconds = fn(&MetricsSnapshot) -> f64;
    let all: [(&str, &str, Seconds); 2] = [
        ("trm_engine_busy", "Time inside the engine's turns, the model included", |metrics| metrics.busy_seconds),
        ("trm_model", "Time inside the model", |metrics| metrics.model_seconds),
    ];
    for (name, help, read) in all {
        let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        for sample in samples {
            metric
                .encode_family(&sample.label())?
                .encode_counter::<NoLabelSet, _, f64>(&read(&sample.metrics), None)?;
        }
    }
    Ok(())
}

fn count_one(metric: &mut MetricEncoder<'_>, labels: &[(&'static str, &str)], count: u64) -> fmt::Result {
    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)
}

fn histograms(encoder: &mut DescriptorEncoder, samples: &[Sample]) -> fmt::Result {
    type Read = fn(&Histograms) -> &HistogramSnapshot;
    let all: [(&str, &str, Option<&Unit>, f64, Read); 4] = [
        ("trm_steps_per_answer", "Supervision steps of all chains of an answer", None, 1.0, |all| &all.steps),
        ("trm_queue", "From submission to the first step", Some(&Unit::Seconds), 1e6, |all| &all.queue_micros),
        ("trm_compute", "From the first step to the answer", Some(&Unit::Seconds), 1e6, |all| &all.compute_micros),
        ("trm_total", "From submission to the answer", Some(&Unit::Seconds), 1e6, |all| &all.total_micros),
    ];
    for (name, help, unit, units, read) in all {
        let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for sample in samples {
            let histogram = read(&sample.histograms);
            let bounds = histogram.bounds.iter().map(|&bound| bound as f64 / units).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts.iter().copied()).collect();
            let sum = histogram.sum as f64 / units;
            metric.encode_family(&sample.label())?.encode_histogram::<NoLabelSet>(
                sum,
                histogram.count(),
                &buckets,
                None,
            )?;
        }
    }
    Ok(())
}

/// The process as its operating system sees it, and what it does at the moment.
#[derive(Debug)]
pub(super) struct ProcessState {
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) places: Arc<Semaphore>,
    pub(super) max_in_flight: usize,
    pub(super) reloader: Option<Arc<Reloader>>,
}

impl Collector for ProcessState {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let in_flight = self.max_in_flight.saturating_sub(self.places.available_permits());
        let is_ready = self.lifecycle.phase() == Phase::Ready;
        gauge(&mut encoder, "trm_http_requests_in_flight", "Requests that are worked on", in_flight as i64)?;
        gauge(&mut encoder, "trm_ready", "1 while /readyz says 200", i64::from(is_ready))?;
        if let Some(reloader) = &self.reloader {
            let counts = reloader.counts();
            let mut metric = encoder.encode_descriptor(
                "trm_reloads",
                "Reloads of the models by outcome",
                None,
                MetricType::Counter,
            )?;
            count_one(&mut metric, &[("outcome", "succeeded")], counts.succeeded)?;
            count_one(&mut metric, &[("outcome", "failed")], counts.failed)?;
        }
        usage(&mut encoder)
    }
}

#[cfg(target_os = "linux")]
fn usage(encoder: &mut DescriptorEncoder) -> fmt::Result {
    use procfs::WithCurrentSystemInfo;

    // Without /proc, as in some sandboxes, these numbers are left out.
    let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
    let Ok(stat) = process.stat() else { return Ok(()) };
    let resident = stat.rss_bytes().get() as i64;
    gauge(encoder, "process_resident_memory_bytes", "Memory in use", resident)?;
    gauge(encoder, "process_threads", "Threads", stat.num_threads)?;
    if let Ok(count) = process.fd_count() {
        gauge(encoder, "process_open_fds", "Open file descriptors", count as i64)?;
    }
    let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    let cpu = ConstCounter::new(seconds);
    let metric = encoder.encode_descriptor(
        "process_cpu",
        "Processor time, user and system",
        Some(&Unit::Seconds),
        cpu.metric_type(),
    )?;
    cpu.encode(metric)
}

#[cfg(not(target_os = "linux"))]
fn usage(_encoder: &mut DescriptorEncoder) -> fmt::Result {
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}
