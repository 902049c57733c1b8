//! Metrics of this process, under the names that all programs have for them, and of what it was built from.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::Registry,
};

use crate::values::build;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    commit: &'static str,
    contract: &'static str,
}

/// Shows what this program was built from, as `build_info` in this registry.
pub(super) fn add_build(registry: &mut Registry) {
    let commit = build::COMMIT.unwrap_or("unknown");
    let labels = BuildLabels { version: build::VERSION, commit, contract: build::CONTRACT_SHA256 };
    registry.register("build", "Release, commit and SHA-256 of the contract of this program", Info::new(labels));
}

/// Shows what the system says of this process, where it says anything.
pub(super) fn add_process(registry: &mut Registry) {
    registry.register_collector(Box::new(ProcessCollector));
}

/// Reads `/proc` at each scrape.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        // Elsewhere, or where `/proc` is hidden, these metrics are missing.
        let Some(process) = system::process() else { return Ok(()) };
        let cpu = ConstCounter::new(process.cpu_seconds);
        let name = "process_cpu_seconds";
        cpu.encode(encoder.encode_descriptor(
            name,
            "Processor time used, of user and system.",
            None,
            cpu.metric_type(),
        )?)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that is resident.", process.resident_bytes),
            ("process_virtual_memory_bytes", "Memory that is mapped.", process.virtual_bytes),
            ("process_start_time_seconds", "When the process started, in seconds since 1970.", process.start_seconds),
            ("process_open_fds", "File descriptors that are open.", process.open_descriptors),
            ("process_max_fds", "File descriptors that may be open.", process.max_descriptors),
            ("process_threads", "Threads of the process.", process.threads),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What the system says of this process.
struct ProcessFigures {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    start_seconds: f64,
    open_descriptors: f64,
    max_descriptors: f64,
    threads: f64,
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{LimitValue, Process};

    use super::ProcessFigures;

    pub(super) fn process() -> Option<ProcessFigures> {
        let process = Process::myself().ok()?;
        let (stat, limits) = (process.stat().ok()?, process.limits().ok()?);
        let ticks = procfs::ticks_per_second() as f64;
        let max_descriptors = match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        Some(ProcessFigures {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: (stat.rss * procfs::page_size()) as f64,
            virtual_bytes: stat.vsize as f64,
            start_seconds: procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / ticks,
            open_descriptors: process.fd_count().ok()? as f64,
            max_descriptors,
            threads: stat.num_threads as f64,
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::ProcessFigures;

    pub(super) fn process() -> Option<ProcessFigures> {
        None
    }
}
